import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer, connect } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { INJECTOR_CERTIFICATE_SECRET, WEBHOOK_CONFIGURATION } from '#config/names.ts';
import type { KubeClient } from '#k8s/client.ts';
import type { LocalClient } from '../sandbox/apiserver/local-client.ts';
import { defaultValues } from '#config/values.ts';
import { webhookManifests } from '../control-plane/install/manifests/injector.ts';
import { startTestCluster, type TestCluster } from '../test/harness/api-server.ts';
import { createServingCertificate, ServingCertificates } from './serving-certificate.ts';

const NAME = 'tulle-injector.tulle.svc';
const DAY_MS = 86_400_000;
const SECRET = { namespace: 'tulle', name: INJECTOR_CERTIFICATE_SECRET };

test('a TLS client that trusts the authority accepts the certificate for its name only', async () => {
  const { certificatePem, keyPem, authorityPem } = createServingCertificate(NAME, Date.now());
  const server = createServer({ cert: certificatePem, key: keyPem }, (socket) => socket.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const dial = (servername: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', servername, ca: authorityPem }, () => resolve('accepted'));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.on('data', () => socket.destroy());
    });
  assert.equal(await dial(NAME), 'accepted');
  assert.equal(await dial('other.tulle.svc'), 'ERR_TLS_CERT_ALTNAME_INVALID');
  server.close();
});

describe('the webhook certificate in a cluster', () => {
  let cluster: TestCluster;
  let client: KubeClient;
  let api: LocalClient;
  before(async () => {
    cluster = await startTestCluster();
    client = cluster.client;
    api = cluster.server.client;
    const group = 'admissionregistration.k8s.io';
    for (const manifest of webhookManifests(defaultValues('0.0.0-test'))) {
      if (manifest.kind === 'MutatingWebhookConfiguration')
        await api.create(`mutatingwebhookconfigurations.${group}`, manifest);
      if (manifest.kind === 'ValidatingWebhookConfiguration')
        await api.create(`validatingwebhookconfigurations.${group}`, manifest);
    }
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });
  const certificates = (nowMs = Date.now()): ServingCertificates =>
    new ServingCertificates(client, 'tulle', NAME, () => nowMs);
  const bundle = (): string => {
    const object = api.get(
      'mutatingwebhookconfigurations.admissionregistration.k8s.io',
      undefined,
      WEBHOOK_CONFIGURATION,
    );
    const [webhook] = (object?.['webhooks'] as { clientConfig: { caBundle?: string } }[] | undefined) ?? [];
    return Buffer.from(webhook?.clientConfig.caBundle ?? '', 'base64').toString();
  };

  test('replicas that start together end with the same certificate', async () => {
    const all = await Promise.all([certificates().ensure(), certificates().ensure(), certificates().ensure()]);
    assert.equal(new Set(all.map(({ certificatePem }) => certificatePem)).size, 1);
    assert.equal((await certificates().ensure()).certificatePem, all[0]?.certificatePem);
  });

  test('the authority is written into the webhook once, and again when somebody removes it', async () => {
    const current = await certificates().ensure();
    assert.equal(await certificates().publish(current), true);
    assert.equal(bundle(), current.authorityPem);
    assert.equal(await certificates().publish(current), false);
    await api.patch(
      'mutatingwebhookconfigurations.admissionregistration.k8s.io',
      undefined,
      WEBHOOK_CONFIGURATION,
      'json',
      [{ op: 'remove', path: '/webhooks/0/clientConfig/caBundle' }],
    );
    assert.equal(await certificates().publish(current), true);
    assert.equal(bundle(), current.authorityPem);
  });

  test('it is renewed long before it expires, and after a jump of the clock', async () => {
    const first = await certificates().ensure();
    const later = await certificates(Date.now() + 200 * DAY_MS).ensure();
    assert.equal(later.certificatePem, first.certificatePem);
    const renewed = await certificates(Date.now() + 300 * DAY_MS).ensure();
    assert.notEqual(renewed.certificatePem, first.certificatePem);
    const [authority] = first.authorityPem.match(/-----BEGIN[^]+?END CERTIFICATE-----/) ?? [];
    assert.ok(
      renewed.authorityPem.includes(authority ?? '?'),
      'a replica that shows the old one for a moment is trusted',
    );
    const after400 = await certificates(Date.now() + 800 * DAY_MS).ensure();
    assert.equal(after400.authorityPem.match(/BEGIN/g)?.length, 1, 'what has ended is not kept');
    assert.ok(new Date(new X509Certificate(after400.certificatePem).validTo).getTime() > Date.now() + 1000 * DAY_MS);
  });

  test('when renewing is refused the stored one serves as long as it holds, and says why', async () => {
    const stored = await certificates().ensure();
    const path = `/api/v1/namespaces/${SECRET.namespace}/secrets/${SECRET.name}`;
    await api.patch('secrets', SECRET.namespace, SECRET.name, 'merge', { immutable: true });
    const late = await certificates(stored.notAfterMs - 10 * DAY_MS).ensure();
    assert.equal(late.certificatePem, stored.certificatePem);
    assert.match(late.renewalFailure?.message ?? '', /immutable/);
    await assert.rejects(certificates(stored.notAfterMs + DAY_MS).ensure(), /immutable/);
    await client.request({ method: 'DELETE', path });
    assert.equal((await certificates().ensure()).renewalFailure, undefined);
  });

  test('a Secret with nonsense in it is replaced', async () => {
    await api.patch('secrets', SECRET.namespace, SECRET.name, 'merge', {
      data: { 'tls.key': Buffer.from('nonsense').toString('base64') },
    });
    const repaired = await certificates().ensure();
    assert.match(repaired.keyPem, /PRIVATE KEY/);
    assert.equal((await certificates().ensure()).certificatePem, repaired.certificatePem);
  });
});
