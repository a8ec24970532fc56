import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ApiException,
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  makeInformer,
  type V1ConfigMap,
} from '@kubernetes/client-node';
import { TestServer, until } from './test-server.ts';

// The Node client, as the control plane uses it.
let server: TestServer;
const config = new KubeConfig();
before(async () => {
  server = await TestServer.start({ historyMax: 20 });
  config.loadFromString(server.server.kubeconfig(server.url));
});
after(() => server[Symbol.asyncDispose]());

test('the typed client creates, reads, patches and deletes', async () => {
  const core = config.makeApiClient(CoreV1Api);
  const body: V1ConfigMap = { metadata: { name: 'typed' }, data: { a: '1' } };
  const created = await core.createNamespacedConfigMap({ namespace: 'default', body });
  assert.equal(created.kind, 'ConfigMap');
  assert.ok(created.metadata?.creationTimestamp instanceof Date);
  const patch = [{ op: 'replace', path: '/data/a', value: '2' }];
  const patched = await core.patchNamespacedConfigMap({ name: 'typed', namespace: 'default', body: patch });
  assert.equal(patched.data?.['a'], '2');
  const listed = await core.listNamespacedConfigMap({ namespace: 'default', fieldSelector: 'metadata.name=typed' });
  assert.equal(listed.items.length, 1);
  await core.deleteNamespacedConfigMap({ name: 'typed', namespace: 'default' });
  await assert.rejects(core.readNamespacedConfigMap({ name: 'typed', namespace: 'default' }), (error) => {
    assert.ok(error instanceof ApiException);
    return error.code === 404;
  });
});

test('an informer replays what exists, follows changes and keeps to its selector', async () => {
  const core = config.makeApiClient(CoreV1Api);
  const { client } = server.server;
  const labels = { followed: 'yes' };
  await client.create('configmaps', { metadata: { name: 'before', namespace: 'default', labels } });
  const seen: string[] = [];
  const informer = makeInformer(
    config,
    '/api/v1/namespaces/default/configmaps',
    () => core.listNamespacedConfigMap({ namespace: 'default', labelSelector: 'followed=yes' }),
    'followed=yes',
  );
  for (const verb of ['add', 'update', 'delete'] as const) {
    informer.on(verb, (object: V1ConfigMap) => void seen.push(`${verb} ${object.metadata?.name}`));
  }
  const errors: unknown[] = [];
  informer.on('error', (error: unknown) => void errors.push(error));
  await informer.start();
  await until('the replay', () => seen.length === 1);
  await client.create('configmaps', { metadata: { name: 'during', namespace: 'default', labels } });
  await client.create('configmaps', { metadata: { name: 'other', namespace: 'default' } });
  await client.patch('configmaps', 'default', 'during', 'merge', { data: { a: 'b' } });
  await client.patch('configmaps', 'default', 'before', 'merge', { metadata: { labels: { followed: 'no' } } });
  await client.delete('configmaps', 'default', 'during');
  await until('all changes', () => seen.length >= 5);
  assert.deepEqual(seen, ['add before', 'add during', 'update during', 'delete before', 'delete during']);
  assert.deepEqual(errors, []);
  await informer.stop();
});

test('custom resources are served to the generic client', async () => {
  const { client } = server.server;
  await client.create('customresourcedefinitions.apiextensions.k8s.io', {
    metadata: { name: 'bars.demo.io' },
    spec: {
      group: 'demo.io',
      scope: 'Cluster',
      names: { plural: 'bars', kind: 'Bar' },
      versions: [
        { name: 'v1beta1', served: true, storage: false, schema: { openAPIV3Schema: schemaOf('size', 'old') } },
        { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schemaOf('size') } },
      ],
    },
  });
  const api = config.makeApiClient(CustomObjectsApi);
  const spec = { size: 2, lost: 1, old: 3 };
  const body = { apiVersion: 'demo.io/v1beta1', kind: 'Bar', metadata: { name: 'b' }, spec };
  await api.createClusterCustomObject({ group: 'demo.io', version: 'v1beta1', plural: 'bars', body });
  const read = (await api.getClusterCustomObject({
    group: 'demo.io',
    version: 'v1',
    plural: 'bars',
    name: 'b',
  })) as typeof body;
  assert.equal(read.apiVersion, 'demo.io/v1', 'every version shows the same object');
  assert.deepEqual(
    read.spec,
    { size: 2 },
    'what the version of the request or the stored version does not know is pruned',
  );
  assert.equal(client.get('bars.demo.io', undefined, 'b')?.apiVersion, 'demo.io/v1');
});

/** @param fields  of the specification, numbers all of them */
function schemaOf(...fields: readonly string[]): object {
  const properties = Object.fromEntries(fields.map((name) => [name, { type: 'integer' }]));
  return { type: 'object', properties: { spec: { type: 'object', properties } } };
}
