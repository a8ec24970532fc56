import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { createTrustAnchor } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { certificateChecks } from './certificates.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.parse('2026-01-01T00:00:00Z');
/** Self-signed, with a key of a kind that proxies do not take. */
const ED25519 = `-----BEGIN CERTIFICATE-----
MIIBMjCB5aADAgECAhQR5bx9Thh+r4g6iTUDdMQJpzAnTTAFBgMrZXAwDjEMMAoG
A1UEAwwDb2RkMCAXDTI2MTEyMTExMTQ0N1oYDzIxMjYxMDI4MTExNDQ3WjAOMQww
CgYDVQQDDANvZGQwKjAFBgMrZXADIQDKvGP8+/QsIQK218QfNubXq9+0L9mlpbrj
Jm4UjovQBaNTMFEwHQYDVR0OBBYEFDJG+lTtovNIcV6KeaLLeRc9DbFTMB8GA1Ud
IwQYMBaAFDJG+lTtovNIcV6KeaLLeRc9DbFTMA8GA1UdEwEB/wQFMAMBAf8wBQYD
K2VwA0EAQJ5dWdRxxxzlgXKJVK8y3vHwHK79e+Xi8glJtwgxJB74XRKFmbC5OdBI
+TpqIFoLwVKc3vVAN7srv5Q4TQ3kDQ==
-----END CERTIFICATE-----
`;

/** What each of the three checks says. */
async function outcome(certificates: readonly X509Certificate[], nowMs: number): Promise<readonly string[]> {
  const checks = certificateChecks(
    'x',
    'hint',
    async () => certificates,
    () => nowMs,
  );
  return Promise.all(
    checks.map(async ({ run }) => {
      try {
        await run();
        return 'fine';
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    }),
  );
}

function anchor(startMs: number, days: number): X509Certificate {
  const validity = { notBeforeMs: startMs, notAfterMs: startMs + days * DAY_MS };
  return new X509Certificate(encodeCertificates([createTrustAnchor('cluster.local', validity).certificate.der]));
}

test('a certificate in its first days is fine, one that ends soon is told with its end', async () => {
  const good = anchor(START_MS, 100);
  assert.deepEqual(await outcome([good], START_MS + DAY_MS), ['fine', 'fine', 'fine']);
  assert.deepEqual(await outcome([good], START_MS + 50 * DAY_MS), [
    'fine',
    'fine',
    'will expire on 2026-04-11T00:00:00.000Z',
  ]);
});

test('outside of its time the validity is printed; another certificate beside it may be the valid one', async () => {
  const old = anchor(START_MS, 100);
  const next = anchor(START_MS + 90 * DAY_MS, 100);
  assert.match((await outcome([old], START_MS + 101 * DAY_MS))[1] ?? '', /^valid from Jan +1 .* to Apr 11 /);
  assert.match((await outcome([old], START_MS - DAY_MS))[1] ?? '', /^valid from/);
  assert.deepEqual(await outcome([old, next], START_MS + 101 * DAY_MS), ['fine', 'fine', 'fine']);
});

test('a key of another kind is named', async () => {
  const [first] = await outcome([new X509Certificate(ED25519)], START_MS);
  assert.equal(first, 'CN=odd has a key of type ed25519: ECDSA P-256 or RSA is needed');
});
