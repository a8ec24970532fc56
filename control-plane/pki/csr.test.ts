import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { createCsr, CsrError, parseCsr } from './csr.ts';
import { KeyError, PrivateKey } from './key.ts';

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

test('a private key never prints itself', () => {
  const key = PrivateKey.generate();
  for (const text of [inspect(key), inspect({ key }, { depth: 9 }), String(key), JSON.stringify({ key })]) {
    assert.match(text, /\[redacted\]/);
    assert.doesNotMatch(text, /BEGIN|publicDer/);
  }
  assert.throws(() => PrivateKey.fromPem('nonsense', 'Secret tulle/x tls.key'), KeyError);
});
