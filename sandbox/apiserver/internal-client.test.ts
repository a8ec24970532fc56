import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '#runtime/log.ts';
import type { KubeObject } from './object.ts';
import { startApiServer } from './server.ts';
import { StatusError } from './status-error.ts';

const log = createLogger('apiserver', 'silent');

function failsWith(code: number, reason: string): (error: unknown) => boolean {
  return (error) => error instanceof StatusError && error.code === code && error.reason === reason;
}

test('a watch replays what exists and then hears every commit before the write returns', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  await client.create('configmaps', { metadata: { name: 'a', namespace: 'default' } });
  const seen: string[] = [];
  using watch = client.watch('configmaps', {
    apply: (object, old) => seen.push(`${old === undefined ? 'new' : 'changed'} ${object.metadata.name}`),
    delete: (object) => seen.push(`gone ${object.metadata.name}`),
  });
  assert.deepEqual(seen, ['new a']);
  await client.patch('configmaps', 'default', 'a', 'merge', { data: { x: 'y' } });
  assert.deepEqual(seen, ['new a', 'changed a']);
  await client.delete('configmaps', 'default', 'a');
  assert.deepEqual(seen, ['new a', 'changed a', 'gone a']);
  watch[Symbol.dispose]();
  await client.create('configmaps', { metadata: { name: 'b', namespace: 'default' } });
  assert.equal(seen.length, 3);
});

test('failures are those a client would get over HTTP', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  const created = await client.create('configmaps', { metadata: { name: 'a', namespace: 'default' } });
  await assert.rejects(
    client.create('configmaps', { metadata: { name: 'a', namespace: 'default' } }),
    failsWith(409, 'AlreadyExists'),
  );
  await assert.rejects(client.delete('configmaps', 'default', 'ghost'), failsWith(404, 'NotFound'));
  await assert.rejects(client.delete('configmaps', 'default', 'a', { uid: 'other' }), failsWith(409, 'Conflict'));
  await client.update('configmaps', { ...created, data: { a: '1' } });
  await assert.rejects(client.update('configmaps', { ...created, data: { a: '2' } }), failsWith(409, 'Conflict'));
  assert.throws(() => client.list('unicorns'), failsWith(404, 'NotFound'));
});

test('a pod is bound once', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  await client.create('serviceaccounts', { metadata: { name: 'default', namespace: 'default' } });
  const spec = { containers: [{ name: 'c', image: 'x' }] };
  await client.create('pods', { metadata: { name: 'p', namespace: 'default' }, spec });
  const bind = (nodeName: string): Promise<KubeObject> =>
    client.patch('pods', 'default', 'p', 'merge', { spec: { nodeName } }, 'binding');
  const bound = await bind('n1');
  assert.equal((bound['spec'] as { nodeName: string }).nodeName, 'n1');
  await assert.rejects(bind('n2'), failsWith(409, 'Conflict'));
});

test('the last finalizer of a deleted object takes it away', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  await client.create('configmaps', { metadata: { name: 'a', namespace: 'default', finalizers: ['demo.io/x'] } });
  await client.delete('configmaps', 'default', 'a', { propagationPolicy: 'Orphan' });
  const held = client.get('configmaps', 'default', 'a');
  assert.deepEqual(held?.metadata.finalizers, ['demo.io/x', 'orphan']);
  assert.ok(held !== undefined);
  await client.update('configmaps', { ...held, metadata: { ...held.metadata, finalizers: [] } });
  assert.equal(client.get('configmaps', 'default', 'a'), undefined);
});

test('repeated events are counted on one object', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  const involved = await client.create('configmaps', { metadata: { name: 'a', namespace: 'default' } });
  for (let round = 0; round < 3; round += 1) {
    client.event(involved, 'Warning', 'Broken', 'it is broken', 'tester');
    await new Promise((resolve) => setImmediate(resolve));
  }
  const events = client.list('events', 'default');
  assert.deepEqual(
    events.map((event) => [event['reason'], event['count']]),
    [['Broken', 3]],
  );
});

test('a definition is usable inside the watch callback that sees it established', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  let listed: number | undefined;
  using _watch = client.watch('customresourcedefinitions.apiextensions.k8s.io', {
    apply: (object) => {
      const { conditions = [] } = (object['status'] ?? {}) as { conditions?: { type: string; status: string }[] };
      if (conditions.some(({ type, status }) => type === 'Established' && status === 'True')) {
        listed = client.list('foos.demo.io').length;
      }
    },
    delete: () => undefined,
  });
  await client.create('customresourcedefinitions.apiextensions.k8s.io', {
    metadata: { name: 'foos.demo.io' },
    spec: {
      group: 'demo.io',
      scope: 'Namespaced',
      names: { plural: 'foos', kind: 'Foo' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  });
  assert.equal(listed, 0);
  await client.create('foos.demo.io', { metadata: { name: 'a', namespace: 'default', finalizers: ['demo.io/x'] } });
  await client.delete('customresourcedefinitions.apiextensions.k8s.io', undefined, 'foos.demo.io');
  await new Promise((resolve) => setImmediate(resolve));
  const foo = client.get('foos.demo.io', 'default', 'a');
  assert.ok(foo?.metadata.deletionTimestamp !== undefined, 'objects go first');
  await client.update('foos.demo.io', { ...foo, metadata: { ...foo.metadata, finalizers: [] } });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.get('customresourcedefinitions.apiextensions.k8s.io', undefined, 'foos.demo.io'), undefined);
  assert.throws(() => client.list('foos.demo.io'), failsWith(404, 'NotFound'));
});

test('the rules of a schema refuse what its types allow', async () => {
  await using server = await startApiServer({ log });
  const { client } = server;
  const rules = [{ rule: 'self.min <= self.max', message: 'min must not exceed max' }];
  const spec = {
    type: 'object',
    properties: { min: { type: 'integer' }, max: { type: 'integer' } },
    'x-kubernetes-validations': rules,
  };
  await client.create('customresourcedefinitions.apiextensions.k8s.io', {
    metadata: { name: 'ranges.demo.io' },
    spec: {
      group: 'demo.io',
      scope: 'Cluster',
      names: { plural: 'ranges', kind: 'Range' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
        },
      ],
    },
  });
  await client.create('ranges.demo.io', { metadata: { name: 'good' }, spec: { min: 1, max: 2 } });
  const bad = client.create('ranges.demo.io', { metadata: { name: 'bad' }, spec: { min: 3, max: 2 } });
  await assert.rejects(bad, /Range.demo.io "bad" is invalid: spec: Invalid value: .*min must not exceed max/);
});
