import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { REPAIR_LEASE, TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import { defaultValues } from '#config/values.ts';
import type { Connection } from '#k8s/connection.ts';
import { asObject } from '#k8s/json.ts';
import { startFaultyServer } from '#k8s/testing.ts';
import { createLogger } from '#runtime/log.ts';
import { webhookManifests } from '../control-plane/install/manifests/injector.ts';
import { startTestCluster } from '../test/harness/api-server.ts';
import { until } from '../test/harness/until.ts';
import { startInjector } from './process.ts';

const DEADLINE_MS = 60_000;
const ADMISSION = 'admissionregistration.k8s.io';

/** An API server whose watch of namespaces never says anything; all else is that of the cluster. */
function startLateServer(connection: Connection): ReturnType<typeof startFaultyServer> {
  return startFaultyServer((request, url, response) => {
    if (url.pathname === '/api/v1/namespaces' && url.searchParams.has('watch')) return;
    void connection.credentials().then(({ headers, tls }) => {
      const { method, headers: own } = request;
      const target = new URL(`${url.pathname}${url.search}`, connection.server);
      const onward = httpsRequest(target, {
        method,
        headers: { ...own, ...headers, host: connection.server.host },
        ...tls,
      });
      onward.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
        response.on('close', () => answer.destroy());
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    });
  });
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** What the webhook answers about a new pod. */
function askWebhook(port: number, namespace: string): Promise<unknown> {
  const object = { metadata: { name: 'web' }, spec: { containers: [{ name: 'app' }] } };
  const body = JSON.stringify({
    request: { uid: 'u', kind: { group: '', kind: 'Pod' }, namespace, operation: 'CREATE', dryRun: true, object },
  });
  return new Promise((resolve, reject) => {
    const options = {
      port,
      method: 'POST',
      rejectUnauthorized: false,
      headers: { 'content-type': 'application/json' },
    };
    const sent = httpsRequest(options, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(asObject(JSON.parse(text))['response']));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('a pod gets its proxy though the watch has not shown its namespace yet', async () => {
  await using cluster = await startTestCluster();
  const api = cluster.server.client;
  const values = defaultValues('0.0.0-test');
  await api.create('configmaps', {
    metadata: { namespace: 'tulle', name: TRUST_ROOTS_CONFIG_MAP },
    data: { [TRUST_ROOTS_KEY]: '-----BEGIN CERTIFICATE-----' },
  });
  for (const manifest of webhookManifests(values))
    await api.create(`${manifest.kind.toLowerCase()}s.${ADMISSION}`, manifest);
  const late = await startLateServer(cluster.connection);
  const folder = mkdtempSync(join(tmpdir(), 'injector-'));
  const kubeconfig = join(folder, 'kubeconfig');
  const contexts = [{ name: 'late', context: { cluster: 'late', user: '' } }];
  const clusters = [
    { name: 'late', cluster: { server: late.connection.server.href, 'insecure-skip-tls-verify': true } },
  ];
  writeFileSync(kubeconfig, stringify({ clusters, contexts, 'current-context': 'late' }));
  const port = await freePort();
  const config = { logLevel: 'silent' as const, values, port, adminPort: 0, kubernetes: { kubeconfig } };
  const injector = await startInjector(config, createLogger('test', 'silent'));
  try {
    await until('the injector is ready', DEADLINE_MS, () => {
      const problems = injector.notReady();
      if (problems.length > 0) throw new Error(problems.join(', '));
    });
    const annotations = { 'linkerd.io/inject': 'enabled' };
    await api.create('namespaces', { metadata: { name: 'brand-new', annotations } });
    // More than once: a machine that is busy may not answer within the second that the injector waits.
    await until('a patch', DEADLINE_MS, async () => {
      const answer = asObject(await askWebhook(port, 'brand-new'));
      return answer['patchType'] === 'JSONPatch';
    });
    assert.deepEqual(await askWebhook(port, 'ghost'), { uid: 'u', allowed: true });
  } finally {
    await injector.stop();
    late.close();
    rmSync(folder, { recursive: true });
  }
  const lease = api.get('leases.coordination.k8s.io', values.namespace, REPAIR_LEASE);
  assert.notEqual(asObject(lease?.['spec'])['holderIdentity'], '', 'the next process does not repair at once');
});

test('why the webhook has no certificate is an Event of the Deployment that there is, and in what is not ready', async () => {
  for (const [singleProcess, deployment] of [
    [false, 'tulle-injector'],
    [true, 'tulle-control-plane'],
  ] as const) {
    await using cluster = await startTestCluster();
    await cluster.server.client.create('secrets', {
      metadata: { namespace: 'tulle', name: 'tulle-injector-k8s-tls' },
      type: 'kubernetes.io/tls',
      data: { 'tls.crt': '', 'tls.key': '' },
      immutable: true,
    });
    const folder = mkdtempSync(join(tmpdir(), 'injector-'));
    const kubeconfig = join(folder, 'kubeconfig');
    cluster.server.writeKubeconfig(kubeconfig, `https://127.0.0.1:${cluster.port}`);
    const values = { ...defaultValues('0.0.0-test'), singleProcess };
    const config = { logLevel: 'silent' as const, values, port: 0, adminPort: 0, kubernetes: { kubeconfig } };
    const injector = await startInjector(config, createLogger('test', 'silent'));
    try {
      await until('the event', DEADLINE_MS, () =>
        cluster.server.client.list('events', 'tulle').some(({ involvedObject, reason, message }) => {
          const isAbout = (involvedObject as { name?: string }).name === deployment;
          return isAbout && reason === 'WebhookCertificateFailed' && /immutable/.test(String(message));
        }),
      );
      assert.match(injector.notReady().join(), /the webhook certificate is not published yet: .*immutable/);
    } finally {
      await injector.stop();
      rmSync(folder, { recursive: true });
    }
  }
});
