// Against the sandbox's API server: the same client code as in a cluster, over TLS with a client certificate.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#runtime/clock.ts';
import { startApiServer } from '../../sandbox/apiserver/server.ts';
import { KubeClient } from './client.ts';
import { findConnection, ServiceAccountConnection } from './connection.ts';
import { Informer, type InformerStep } from './informer.ts';
import { KubeError } from './kube-error.ts';
import { CONFIG_MAPS, type ConfigMap } from './resources/config-map.ts';
import { eventually, RecordingIndex } from './testing.ts';

test('an informer follows a real API server through restarts of its connections', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'informer-'));
  const server = await startApiServer();
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const kubeconfig = join(folder, 'kubeconfig');
  server.writeKubeconfig(kubeconfig, `https://127.0.0.1:${port}`);
  using client = new KubeClient(await findConnection({ kubeconfig }));
  const index = new RecordingIndex<ConfigMap>();
  const steps: InformerStep[] = [];
  const fieldSelector = 'metadata.name=roots';
  using informer = new Informer({
    client,
    kind: CONFIG_MAPS,
    index,
    namespace: 'default',
    fieldSelector,
    observe: (step) => void steps.push(step),
  });
  try {
    informer.start();
    await eventually('the first list', () => informer.isSynced);
    const create = (name: string, v: string): Promise<unknown> =>
      client.request({
        method: 'POST',
        path: '/api/v1/namespaces/default/configmaps',
        body: { metadata: { name }, data: { v } },
      });
    await create('other', '1');
    await create('roots', '1');
    await eventually('the new object', () => index.live.get('default/roots')?.data['v'] === '1', 1000);
    assert.equal(index.live.size, 1, 'the selector keeps the others out');
    await assert.rejects(
      create('roots', '2'),
      (error: unknown) => error instanceof KubeError && error.isConflict && error.reason === 'AlreadyExists',
    );
    await client.request({
      method: 'PATCH',
      path: '/api/v1/namespaces/default/configmaps/roots',
      contentType: 'application/merge-patch+json',
      body: { data: { v: '2' } },
    });
    await eventually('the change', () => index.live.get('default/roots')?.data['v'] === '2', 1000);

    await server.close();
    await eventually('failures', () => steps.some((step) => step.kind === 'failure'));
    await server.client.delete('configmaps', 'default', 'roots');
    await server.listen({ host: '127.0.0.1', port });
    await eventually('the deletion that happened meanwhile', () => index.live.size === 0, 10_000);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
});

test('a pod presents its token, and reads it again when it is refused or old', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'token-'));
  const clock = new ManualClock();
  const connection = new ServiceAccountConnection('fd00::1', '443', folder, clock);
  const header = async (): Promise<string | undefined> => (await connection.credentials()).headers['authorization'];
  try {
    writeFileSync(join(folder, 'ca.crt'), 'ca');
    writeFileSync(join(folder, 'token'), 'one\n');
    assert.equal(connection.server.host, '[fd00::1]');
    assert.equal(await header(), 'Bearer one');
    writeFileSync(join(folder, 'token'), 'two\n');
    assert.equal(await header(), 'Bearer one');
    clock.advance(60_000);
    assert.equal(await header(), 'Bearer two');
    writeFileSync(join(folder, 'token'), 'three\n');
    connection.refresh();
    assert.equal(await header(), 'Bearer three');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
