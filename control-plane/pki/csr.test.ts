import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, ECDH, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { test } from 'node:test';
import type { Asn1Node } from 'node-forge/lib/asn1.js';
import { p256Keys, type KeyPair } from './crafted-certificate.ts';
import { createCsr, CsrError, parseCsr } from './csr.ts';
import { childrenOf, decodeDer, encodeDer } from './der.ts';
import { bitString, contextConstructed, integer, octetString, oid, sequence, set } from './der-writer.ts';
import { KeyError, PrivateKey } from './key.ts';
import { OID } from './oids.ts';
import { encodeName, encodeSubjectAltNames } from './subject-names.ts';

const NAME = 'web.a-namespace-with-a-rather-long-name.serviceaccount.identity.tulle.cluster.local';

function refused(der: Uint8Array, reason: RegExp): void {
  assert.throws(
    () => parseCsr(der),
    (error: unknown) => error instanceof CsrError && reason.test(error.message),
  );
}

test('a request names its identity and proves its key', () => {
  const key = PrivateKey.generate();
  const request = parseCsr(createCsr(key, NAME));
  assert.deepEqual(request.names, { dns: [NAME], uris: [], others: 0 });
  assert.deepEqual(request.commonNames, []);
  assert.equal(key.isKeyOf(request.publicDer), true);
});

test('openssl accepts our request and we accept its requests', () => {
  const folder = mkdtempSync(join(tmpdir(), 'csr-'));
  const openssl = (...args: readonly string[]): string =>
    execFileSync('openssl', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    writeFileSync(join(folder, 'ours.der'), createCsr(PrivateKey.generate(), NAME));
    const text = openssl('req', '-inform', 'DER', '-in', 'ours.der', '-verify', '-noout', '-text');
    assert.match(text, new RegExp(`DNS:${NAME}`));

    const make = (curve: string, san: string): Buffer => {
      openssl('ecparam', '-name', curve, '-genkey', '-noout', '-out', 'key.pem');
      openssl(
        'req',
        '-new',
        '-key',
        'key.pem',
        '-subj',
        '/O=x/CN=web.shop',
        '-addext',
        `subjectAltName=${san}`,
        '-outform',
        'DER',
        '-out',
        'req.der',
      );
      return Buffer.from(openssl('base64', '-in', 'req.der'), 'base64');
    };
    const request = parseCsr(make('prime256v1', 'DNS:web.shop,URI:spiffe://a/b,IP:10.0.0.1,email:a@b.c'));
    assert.deepEqual(request.commonNames, ['web.shop']);
    assert.deepEqual(request.names, { dns: ['web.shop'], uris: ['spiffe://a/b'], others: 2 });
    refused(make('secp384r1', 'DNS:web.shop'), /not ECDSA P-256/);
    PrivateKey.fromPem(openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout'), 'a SEC 1 key');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a request that was changed, cut off or is something else is refused', () => {
  const der = createCsr(PrivateKey.generate(), NAME);
  const changed = Buffer.from(der);
  const at = changed.indexOf(NAME);
  changed[at] = 0x78;
  refused(changed, /signature/);
  refused(Buffer.alloc(0), /cut off/);
  refused(Buffer.from('-----BEGIN CERTIFICATE REQUEST-----'), /PKCS#10/);
  refused(Buffer.concat([der, Buffer.from([0])]), /unexpected bytes/);
  refused(Buffer.alloc(20_000), /longer than/);
  for (let length = 0; length < der.length; length += 1) refused(der.subarray(0, length), /./);
});

test('requests with a flipped bit are refused or read, and nothing else', () => {
  const der = createCsr(PrivateKey.generate(), 'web.shop');
  for (let bit = 0; bit < der.length * 8; bit += 1) {
    const flipped = Buffer.from(der);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    try {
      parseCsr(flipped);
    } catch (error) {
      assert.ok(error instanceof CsrError, String(error));
    }
  }
});

/** A request that is right except for what is given. */
function craftCsr(parts: {
  version?: number;
  publicDer?: Buffer;
  keys?: KeyPair;
  attributes?: readonly Asn1Node[];
}): Buffer {
  const keys = parts.keys ?? p256Keys();
  const publicDer = parts.publicDer ?? keys.publicKey.export({ type: 'spki', format: 'der' });
  const info = sequence(
    integer(parts.version ?? 0),
    encodeName(),
    decodeDer('key', publicDer),
    contextConstructed(0, ...(parts.attributes ?? [])),
  );
  const signature = bitString(sign('sha256', encodeDer(info), keys.privateKey));
  return encodeDer(sequence(info, sequence(oid(OID.ecdsaWithSha256)), signature));
}

test('requests are refused that other libraries could read in another way', () => {
  assert.deepEqual(parseCsr(craftCsr({})).names, { dns: [], uris: [], others: 0 });
  refused(craftCsr({ version: 1 }), /version 1 of PKCS#10 is not known/);

  const keys = p256Keys();
  const plain = keys.publicKey.export({ type: 'spki', format: 'der' });
  const [algorithm] = childrenOf(decodeDer('key', plain));
  const point = Buffer.from(
    ECDH.convertKey(plain.subarray(26), 'prime256v1', undefined, undefined, 'compressed') as Buffer,
  );
  refused(craftCsr({ keys, publicDer: encodeDer(sequence(algorithm!, bitString(point))) }), /not ECDSA P-256/);
  const explicit = generateKeyPairSync('ec', { namedCurve: 'prime256v1', paramEncoding: 'explicit' });
  refused(craftCsr({ keys: explicit }), /not ECDSA P-256/);

  const names = encodeDer(encodeSubjectAltNames(['web.shop'], []));
  const list = sequence(oid(OID.subjectAltName), octetString(names));
  const request = (...extensions: readonly Asn1Node[]): Asn1Node =>
    sequence(oid(OID.extensionRequest), set(sequence(...extensions)));
  assert.deepEqual(parseCsr(craftCsr({ attributes: [request(list)] })).names.dns, ['web.shop']);
  refused(craftCsr({ attributes: [request(list, list)] }), /more than one list/);
  refused(craftCsr({ attributes: [request(list), request(list)] }), /more than one list/);
  refused(
    craftCsr({ attributes: [sequence(oid(OID.extensionRequest), set(sequence(), sequence(list)))] }),
    /at the end/,
  );
});

test('a name that is not ASCII is refused instead of becoming another one', () => {
  // Written as Latin-1, U+0177 would be "w".
  assert.throws(
    () => createCsr(PrivateKey.generate(), '\u0177eb.shop'),
    /subject alternative name: "\u0177eb.shop" is not a name/,
  );
});

test('a private key never prints itself', () => {
  const key = PrivateKey.generate();
  for (const text of [inspect(key), inspect({ key }, { depth: 9 }), String(key), JSON.stringify({ key })]) {
    assert.match(text, /\[redacted\]/);
    assert.doesNotMatch(text, /BEGIN|publicDer/);
  }
  const { d = '' } = createPrivateKey(key.exportPem()).export({ format: 'jwk' });
  const scalar = Buffer.from(d, 'base64url');
  const everything = {
    showHidden: true,
    customInspect: false,
    depth: 9,
    maxArrayLength: null,
    compact: true,
    breakLength: Infinity,
  };
  for (const text of [
    inspect(key, everything),
    JSON.stringify(Object.assign({}, key)),
    inspect(structuredClone(key), everything),
  ]) {
    assert.match(text, /publicDer/);
    for (const form of [[...scalar].join(','), [...scalar].join(', '), scalar.toString('hex'), d]) {
      assert.ok(!text.includes(form));
    }
  }
  assert.throws(() => PrivateKey.fromPem('nonsense', 'Secret tulle/x tls.key'), KeyError);
});
