import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import type { Asn1Node } from 'node-forge/lib/asn1.js';
import { parseCertificate, type Certificate } from './certificate.ts';
import { authority, craftCertificate, craftExtension, p256Keys, type KeyPair } from './crafted-certificate.ts';
import { bitString, sequence } from './der-writer.ts';
import { readAuthority } from './issuer.ts';
import { OID } from './oids.ts';
import { encodePem } from './pem.ts';
import { verifyChain } from './trust-anchors.ts';

const NOW = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;

type Member = { readonly certificate: Certificate; readonly name: string; readonly keys: KeyPair };

function member(name: string, issuer: Member | undefined, extensions: readonly Asn1Node[], more: object = {}): Member {
  const keys = p256Keys();
  const der = craftCertificate({ name, keys, ...(issuer && { issuer }), extensions, ...more });
  return { certificate: parseCertificate(der), name, keys };
}

/** @param members  leaf first, anchor last */
function verdict(...members: readonly Member[]): string {
  const certificates = members.map((one) => one.certificate);
  const result = verifyChain(certificates.slice(0, -1), certificates.slice(-1), NOW);
  return result.isTrusted ? 'trusted' : result.reason;
}

test('no more authorities stand in a row than each of them allows', () => {
  const chain = (anchorLimit?: number, upperLimit?: number): string => {
    const anchor = member('anchor', undefined, [authority(anchorLimit)]);
    const upper = member('upper', anchor, [authority(upperLimit)]);
    const lower = member('lower', upper, [authority(0)]);
    return verdict(member('leaf', lower, []), lower, upper, anchor);
  };
  assert.equal(chain(), 'trusted');
  assert.equal(chain(2, 1), 'trusted');
  assert.equal(chain(2, 0), '"upper" allows 0 authorities below it, not 1');
  assert.equal(chain(1, 1), '"anchor" allows 1 authorities below it, not 2');

  // A certificate that an authority makes for a new key of itself does not count.
  const anchor = member('anchor', undefined, [authority(0)]);
  const renewed = member('anchor', anchor, [authority(0)]);
  assert.equal(verdict(member('leaf', renewed, []), renewed, anchor), 'trusted');
});

test('a certificate that may not sign certificates vouches for nobody', () => {
  const anchor = member('anchor', undefined, [authority()]);
  const usage = (bits: number): Asn1Node => craftExtension(OID.keyUsage, true, bitString(Buffer.from([bits]), 1));
  const notCa = craftExtension(OID.basicConstraints, true, sequence());
  for (const extensions of [[], [notCa], [authority(), usage(0x80)], [usage(0x04)]]) {
    const issuer = member('issuer', anchor, extensions);
    assert.match(verdict(member('leaf', issuer, []), issuer, anchor), /nothing trusted vouches for "leaf"/);
    const pem = encodePem('CERTIFICATE', issuer.certificate.der);
    const key = issuer.keys.privateKey.export({ type: 'pkcs8', format: 'pem' });
    assert.throws(
      () => readAuthority(pem, key, 'Secret tulle/x'),
      /Secret tulle\/x: tls.crt may not sign certificates/,
    );
  }
  const issuer = member('issuer', anchor, [authority(), usage(0x04)]);
  assert.equal(verdict(member('leaf', issuer, []), issuer, anchor), 'trusted');
});

test('limits that are not checked here are not ignored: critical extensions and name constraints', () => {
  const unknown = '1.3.6.1.4.1.99999.1';
  const nothing = sequence();
  const extensions: readonly (readonly [Asn1Node, RegExp])[] = [
    [craftExtension(unknown, true, nothing), /has the extension 1\.3\.6\.1\.4\.1\.99999\.1, which is not supported/],
    [craftExtension(OID.nameConstraints, true, nothing), /has name constraints, which is not supported/],
    [craftExtension(OID.nameConstraints, false, nothing), /has name constraints, which is not supported/],
    [craftExtension(unknown, false, nothing), /^trusted$/],
    [craftExtension(OID.extendedKeyUsage, true, nothing), /^trusted$/],
  ];
  for (const [extension, expected] of extensions) {
    const anchor = member('anchor', undefined, [authority()]);
    const issuer = member('issuer', anchor, [authority(), extension]);
    assert.match(verdict(member('leaf', issuer, []), issuer, anchor), expected);
    assert.match(verdict(member('leaf', anchor, [extension]), anchor), expected);
    const limited = member('anchor', undefined, [authority(), extension]);
    assert.match(verdict(member('leaf', limited, []), limited), expected);
  }
});

test('an authority that was renewed with the same key is found, whether its expired certificate stands first or not', () => {
  const keys = p256Keys();
  const root = (fromMs: number, toMs: number): Certificate =>
    parseCertificate(craftCertificate({ name: 'root', keys, fromMs, toMs, extensions: [authority()] }));
  const expired = root(0, NOW - DAY);
  const renewed = root(0, NOW + DAY);
  const leaf = member('leaf', { certificate: renewed, name: 'root', keys }, []).certificate;
  for (const anchors of [
    [expired, renewed],
    [renewed, expired],
  ]) {
    assert.deepEqual(verifyChain([leaf], anchors, NOW), { isTrusted: true, anchor: renewed, notAfterMs: NOW + DAY });
  }
  assert.match(JSON.stringify(verifyChain([leaf], [expired], NOW)), /root.* expired at 2026-05-31/);

  const anchor = member('anchor', undefined, [authority()]);
  const issuer = (toMs: number): Certificate =>
    parseCertificate(craftCertificate({ name: 'issuer', keys, issuer: anchor, toMs, extensions: [authority(0)] }));
  const below = member('below', { certificate: issuer(NOW), name: 'issuer', keys }, []).certificate;
  const offered = [below, issuer(NOW - DAY), issuer(NOW + DAY)];
  assert.equal(verifyChain(offered, [anchor.certificate], NOW).isTrusted, true);
});

test('keys and signatures that do not go together are refused, not thrown', () => {
  for (const keys of [generateKeyPairSync('ed25519'), generateKeyPairSync('rsa', { modulusLength: 2048 })]) {
    const root = { name: 'root', keys };
    const anchor = parseCertificate(craftCertificate({ ...root, extensions: [authority()] }));
    const leaf = parseCertificate(craftCertificate({ name: 'leaf', issuer: root }));
    assert.match(JSON.stringify(verifyChain([leaf], [anchor], NOW)), /nothing trusted vouches/);
  }
});

test('certificates that can be put together in many ways cost a bounded number of signature checks', () => {
  const keys = p256Keys();
  const loop = Array.from({ length: 20 }, (_, serial) =>
    parseCertificate(
      craftCertificate({ name: 'loop', keys, serial: Buffer.from([serial + 1]), extensions: [authority()] }),
    ),
  );
  const anchor = member('loop', undefined, [authority()]).certificate;
  const start = process.cpuUsage();
  assert.match(JSON.stringify(verifyChain(loop, [anchor], NOW)), /too many ways/);
  assert.ok(process.cpuUsage(start).user < 2_000_000);
  assert.match(JSON.stringify(verifyChain([...loop, ...loop], [anchor], NOW)), /more than 32 certificates/);

  let last = member('0', undefined, [authority()]);
  const chain = [last];
  for (let length = 1; length <= 9; length += 1) {
    last = member(String(length), last, [authority()]);
    chain.unshift(last);
  }
  assert.equal(verdict(...chain.slice(1)), 'trusted'); // eight and the anchor
  assert.match(verdict(...chain), /longer than 8/);
});
