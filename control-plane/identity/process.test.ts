import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { IdentityClient, type CertifyRequest, type CertifyResponse } from '#api/gen/identity.ts';
import { createLogger } from '#runtime/log.ts';
import { parseCertificate } from '#pki/certificate.ts';
import { createCsr } from '#pki/csr.ts';
import { PrivateKey } from '#pki/key.ts';
import { readTrustAnchors, verifyChain, writeTrustAnchors } from '#pki/trust-anchors.ts';
import { readIdentityConfig } from './config.ts';
import { startIdentity } from './process.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';
import { until } from '../../test/harness/until.ts';

const SERVER_NAME = 'tulle-identity.tulle.serviceaccount.identity.tulle.cluster.local';
const WEB = 'web.shop.serviceaccount.identity.tulle.cluster.local';
const ENVIRONMENT = {
  TULLE_IDENTITY_PORT: '0',
  TULLE_ADMIN_PORT: '0',
  TULLE_IDENTITY_ISSUANCE_LIFETIME: '60s',
  TULLE_SHUTDOWN_GRACE: '1s',
};

type Running = AsyncDisposable & {
  readonly cluster: TestCluster;
  readonly client: IdentityClient;
  readonly anchorsPem: string;
  readonly admin: (path: string) => Promise<{ readonly status: number; readonly text: string }>;
};

async function start(): Promise<Running> {
  const cluster = await startTestCluster();
  const running = await startIdentity(
    readIdentityConfig(ENVIRONMENT),
    cluster.connection,
    createLogger('test', 'silent'),
  );
  const port = await running.port;
  const anchorsPem = writeTrustAnchors(running.keeper.state.value?.bundle ?? []);
  const options = { 'grpc.ssl_target_name_override': SERVER_NAME };
  const client = new IdentityClient(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(anchorsPem)), options);
  return {
    cluster,
    client,
    anchorsPem,
    async admin(path) {
      const response = await fetch(`http://127.0.0.1:${running.adminPort}${path}`);
      return { status: response.status, text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await running.stop();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

function certify(client: IdentityClient, request: CertifyRequest): Promise<CertifyResponse> {
  return new Promise((resolve, reject) => {
    const deadline = { deadline: Date.now() + 5000 };
    client.certify(request, new Metadata(), deadline, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

async function refusal(client: IdentityClient, request: CertifyRequest): Promise<string> {
  try {
    await certify(client, request);
    return 'accepted';
  } catch (error) {
    const { code, details } = error as ServiceError;
    return `${status[code]} ${details}`;
  }
}

test('a workload that proves its service account gets a certificate that is trusted, for 60 seconds', async () => {
  await using running = await start();
  const key = PrivateKey.generate();
  const token = Buffer.from(`${await running.cluster.token('shop', 'web')}\n`);
  const response = await certify(running.client, {
    identity: WEB,
    token,
    certificateSigningRequest: createCsr(key, WEB),
  });
  const chain = [response.leafCertificate, ...response.intermediateCertificates].map((der) => parseCertificate(der));
  const [leaf] = chain;
  assert.deepEqual(leaf?.names, { dns: [WEB], uris: ['spiffe://cluster.local/ns/shop/sa/web'], others: 0 });
  assert.equal(key.isKeyOf(leaf.publicDer), true);
  const anchors = readTrustAnchors(running.anchorsPem, 'test');
  assert.equal(verifyChain(chain, anchors, Date.now()).isTrusted, true);
  assert.equal(leaf.notAfterMs - leaf.notBeforeMs, 380_000, 'a minute, 20 seconds more, and from five minutes ago');
  assert.equal(response.validUntil?.getTime(), leaf.notAfterMs);
  const { text } = await running.admin('/metrics');
  assert.match(text, /identity_certify_total\{code="OK"\} 1/);
  assert.match(text, /issuer_cert_ttl_seconds \d{6}/);
  assert.equal((await running.admin('/ready')).status, 200);
});

test('published anchors that somebody deletes or spoils are back long before the next round', async () => {
  await using running = await start();
  const { server } = running.cluster;
  const published = (): string => {
    const map = server.client.get('configmaps', 'tulle', 'linkerd-identity-trust-roots');
    return (map?.['data'] as Record<string, string> | undefined)?.['ca-bundle.crt'] ?? '';
  };
  for (const harm of [
    () => server.client.delete('configmaps', 'tulle', 'linkerd-identity-trust-roots'),
    () =>
      server.client.patch('configmaps', 'tulle', 'linkerd-identity-trust-roots', 'merge', {
        data: { 'ca-bundle.crt': 'spoilt' },
      }),
  ]) {
    await harm();
    assert.notEqual(published(), running.anchorsPem);
    await until('the anchors to be back', 10_000, () => published() === running.anchorsPem);
  }
});

test('whoever cannot prove to be that workload is refused with the code that proxies expect', async () => {
  await using running = await start();
  const { client, cluster } = running;
  const token = Buffer.from(await cluster.token('shop', 'web'));
  const key = PrivateKey.generate();
  const good: CertifyRequest = { identity: WEB, token, certificateSigningRequest: createCsr(key, WEB) };
  const other = WEB.replace('web', 'other');
  const cases: readonly (readonly [Partial<CertifyRequest>, RegExp])[] = [
    [{ identity: '' }, /^INVALID_ARGUMENT identity is missing/],
    [{ identity: 'Not A Name' }, /^INVALID_ARGUMENT identity is not a DNS name/],
    [{ token: Buffer.alloc(0) }, /^INVALID_ARGUMENT token is missing/],
    [{ token: Buffer.from('password') }, /^INVALID_ARGUMENT token is not a JSON web token/],
    [{ token: Buffer.alloc(70_000, 'a') }, /^INVALID_ARGUMENT token is longer/],
    [{ certificateSigningRequest: Buffer.alloc(0) }, /^INVALID_ARGUMENT certificate_signing_request is missing/],
    [
      { certificateSigningRequest: Buffer.from('junk') },
      /^INVALID_ARGUMENT certificate_signing_request: not a PKCS#10/,
    ],
    [
      { certificateSigningRequest: createCsr(key, other) },
      /^FAILED_PRECONDITION certificate_signing_request must name/,
    ],
    [
      { identity: other, certificateSigningRequest: createCsr(key, other) },
      /^FAILED_PRECONDITION the token is of web\.shop/,
    ],
    [{ token: Buffer.from('a.b.c') }, /^FAILED_PRECONDITION token: /],
    [
      { token: Buffer.from(await cluster.token('shop', 'web', 'https://kubernetes.default.svc')) },
      /^FAILED_PRECONDITION token: /,
    ],
  ];
  for (const [change, expected] of cases) assert.match(await refusal(client, { ...good, ...change }), expected);
  assert.equal(await refusal(client, good), 'accepted');
});

test('an API server that is away means a refusal that is worth retrying', async () => {
  await using running = await start();
  const token = Buffer.from(await running.cluster.token('shop', 'web'));
  await running.cluster.server.close();
  const request = { identity: WEB, token, certificateSigningRequest: createCsr(PrivateKey.generate(), WEB) };
  assert.match(await refusal(running.client, request), /^INTERNAL the token could not be reviewed/);
});

test('bad settings are reported together', () => {
  const bad = { TULLE_IDENTITY_PORT: 'x', TULLE_TRUST_DOMAIN: 'A B', TULLE_IDENTITY_ISSUER_LIFETIME: '1h' };
  assert.throws(
    () => readIdentityConfig(bad),
    /TULLE_TRUST_DOMAIN.*TULLE_IDENTITY_PORT.*TULLE_IDENTITY_ISSUER_LIFETIME/,
  );
});
