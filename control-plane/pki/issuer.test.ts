import assert from 'node:assert/strict';
import { execFileSync, type ExecFileSyncOptionsWithStringEncoding } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificateIdentity, CertificateError, parseCertificate } from './certificate.ts';
import { createIssuer, createTrustAnchor, crossSign, issueLeaf, readAuthority } from './issuer.ts';
import { PrivateKey } from './key.ts';
import { encodePem } from './pem.ts';
import { createTestAuthority } from './testing.ts';
import { readTrustAnchors, verifyChain, writeTrustAnchors } from './trust-anchors.ts';

const NOW = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;
const NAME = 'web.shop.serviceaccount.identity.tulle.cluster.local';
const URI = 'spiffe://cluster.local/ns/shop/sa/web';

function validity(fromMs: number, toMs: number): { notBeforeMs: number; notAfterMs: number } {
  return { notBeforeMs: fromMs, notAfterMs: toMs };
}

test('a leaf names its workload as DNS name first and SPIFFE id second', () => {
  const { leaf, issuer, anchor } = createTestAuthority(NOW);
  const { chain, key } = leaf(NAME, URI);
  const [certificate] = chain;
  assert.deepEqual(certificate?.names, { dns: [NAME], uris: [URI], others: 0 });
  assert.equal(certificateIdentity(certificate), NAME);
  assert.equal(certificate.isCa, false);
  assert.equal(key.isKeyOf(certificate.publicDer), true);
  assert.deepEqual(certificate.issuerDer, issuer.certificate.subjectDer);
  assert.equal(verifyChain(chain, [anchor.certificate], NOW).isTrusted, true);
});

test('a leaf does not outlive its issuer, nor an issuer its anchor', () => {
  const anchor = createTrustAnchor('test.local', validity(NOW, NOW + 10 * DAY));
  const issuer = createIssuer(anchor, 'test.local', validity(NOW, NOW + 100 * DAY));
  const leaf = issueLeaf(issuer, {
    publicDer: PrivateKey.generate().publicDer,
    dnsName: NAME,
    validity: validity(NOW, NOW + 50 * DAY),
  });
  assert.equal(issuer.certificate.notAfterMs, NOW + 10 * DAY);
  assert.equal(leaf.notAfterMs, NOW + 10 * DAY);
});

test('a chain is trusted only while all of it holds, and only under its own anchor', () => {
  const { leaf, anchor } = createTestAuthority(NOW);
  const foreign = createTestAuthority(NOW);
  const { chain } = leaf(NAME);
  const reason = (verdict: ReturnType<typeof verifyChain>): string => (verdict.isTrusted ? 'trusted' : verdict.reason);
  const anchors = [foreign.anchor.certificate, anchor.certificate];
  assert.equal(reason(verifyChain(chain, anchors, NOW)), 'trusted');
  assert.match(reason(verifyChain(chain, [foreign.anchor.certificate], NOW)), /nothing trusted vouches for "issuer/);
  assert.match(reason(verifyChain(chain.slice(0, 1), anchors, NOW)), /nothing trusted vouches for "web/);
  assert.match(reason(verifyChain(chain, anchors, NOW + 2 * DAY)), /"web.* expired at 2026-06-02/);
  assert.match(reason(verifyChain(chain, anchors, NOW - DAY)), /holds only from/);
  assert.match(reason(verifyChain([], anchors, NOW)), /no certificate/);
  const impostor = leaf('evil.shop').chain[0]!; // a leaf is no authority
  assert.match(
    reason(verifyChain([{ ...chain[0]!, issuerDer: impostor.subjectDer }, impostor], anchors, NOW)),
    /nothing trusted/,
  );
});

test('a leaf under a new anchor is trusted through the cross-signed anchor by those who know only the old one', () => {
  const old = createTrustAnchor('test.local', validity(NOW - DAY, NOW + 10 * DAY));
  const next = createTrustAnchor('test.local', validity(NOW - DAY, NOW + 100 * DAY));
  const issuer = createIssuer(next, 'test.local', validity(NOW, NOW + 5 * DAY));
  const leaf = issueLeaf(issuer, {
    publicDer: PrivateKey.generate().publicDer,
    dnsName: NAME,
    validity: validity(NOW, NOW + DAY),
  });
  const chain = [leaf, issuer.certificate, crossSign(next, old)];
  assert.equal(verifyChain(chain, [old.certificate], NOW).isTrusted, true);
  assert.equal(verifyChain(chain, [next.certificate], NOW).isTrusted, true);
});

test('openssl verifies the chain, strictly, and sees the extensions', () => {
  const { leaf, issuer, anchor } = createTestAuthority();
  const { chain } = leaf(NAME, URI);
  const folder = mkdtempSync(join(tmpdir(), 'issuer-'));
  const write = (file: string, der: Uint8Array): void =>
    writeFileSync(join(folder, file), encodePem('CERTIFICATE', der));
  const openssl = (...args: readonly string[]): string =>
    execFileSync('openssl', args, { cwd: folder, encoding: 'utf8' });
  try {
    write('anchor.pem', anchor.certificate.der);
    write('issuer.pem', issuer.certificate.der);
    write('leaf.pem', chain[0]!.der);
    const verify = [
      'verify',
      '-x509_strict',
      '-policy_check',
      '-check_ss_sig',
      '-CAfile',
      'anchor.pem',
      '-untrusted',
      'issuer.pem',
    ];
    for (const purpose of ['sslserver', 'sslclient']) {
      assert.equal(
        openssl(...verify, '-purpose', purpose, '-verify_hostname', NAME, 'leaf.pem').trim(),
        'leaf.pem: OK',
      );
    }
    const text = openssl('x509', '-in', 'leaf.pem', '-noout', '-text');
    assert.match(text, /Subject Alternative Name: critical\s+DNS:web\.shop[^,]+, URI:spiffe:/);
    assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
    assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
    assert.match(text, /Extended Key Usage: ?\s+TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(openssl('x509', '-in', 'issuer.pem', '-noout', '-text'), /CA:TRUE, pathlen:0/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('certificates that openssl made can be read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'issuer-'));
  try {
    const options: ExecFileSyncOptionsWithStringEncoding = {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    };
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        'k',
        '-out',
        'c',
        '-days',
        '20000',
        '-subj',
        '/C=DE/CN=own root',
        '-addext',
        'subjectAltName=DNS:a,URI:b:c',
      ],
      options,
    );
    const pem = execFileSync('cat', ['c'], options);
    const key = execFileSync('cat', ['k'], options);
    const { authority } = readAuthority(pem, key, 'Secret tulle/x');
    assert.equal(authority.certificate.commonName, 'own root');
    assert.equal(authority.certificate.isCa, true);
    assert.deepEqual(authority.certificate.names, { dns: ['a'], uris: ['b:c'], others: 0 });
    assert.ok(authority.certificate.notAfterMs > Date.UTC(2050, 0)); // a GeneralizedTime
    const issuer = createIssuer(authority, 'test.local', validity(NOW, NOW + DAY));
    assert.deepEqual(issuer.certificate.issuerDer, authority.certificate.subjectDer);
    assert.throws(() => readAuthority(pem, PrivateKey.generate().exportPem(), 'Secret tulle/x'), /is not the key of/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('bundles of anchors have one text for one set', () => {
  const one = createTestAuthority(NOW).anchor.certificate;
  const two = createTestAuthority(NOW + 1000).anchor.certificate;
  assert.equal(writeTrustAnchors([one, two]), writeTrustAnchors([two, one, two]));
  assert.deepEqual(
    readTrustAnchors(writeTrustAnchors([two, one]), 'test').map((c) => c.serialHex),
    [one.serialHex, two.serialHex],
  );
  assert.throws(() => readTrustAnchors('nothing', 'ConfigMap tulle/a'), /ConfigMap tulle\/a holds no PEM certificate/);
});

test('bytes that are no certificate are refused', () => {
  const { der } = createTestAuthority(NOW).anchor.certificate;
  for (let length = 0; length < der.length; length += 1) {
    assert.throws(() => parseCertificate(der.subarray(0, length)), CertificateError);
  }
});
