import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtinResources } from '../apiserver/builtin-resources.ts';
import { isStored, resourceKey } from '../apiserver/registry.ts';
import { conditionOf } from './controller.ts';
import { deployment, TestCluster } from './testing/test-cluster.ts';

test('every namespace gets a default account and the root certificates, and both are repaired', async () => {
  await using cluster = await TestCluster.start();
  assert.ok(cluster.find('serviceaccounts', 'default'));
  assert.deepEqual(cluster.get('configmaps', 'kube-root-ca.crt').data, { 'ca.crt': 'CA' });
  await cluster.client.delete('serviceaccounts', 'demo', 'default');
  await cluster.edit('configmaps', 'kube-root-ca.crt', () => ({ data: { 'ca.crt': 'forged' } }));
  await cluster.settle();
  assert.ok(cluster.find('serviceaccounts', 'default'));
  assert.deepEqual(cluster.get('configmaps', 'kube-root-ca.crt').data, { 'ca.crt': 'CA' });
});

test('deleting a namespace leaves nothing of it', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 5 }));
  const spec = { selector: { app: 'web' }, ports: [{ port: 80 }] };
  await cluster.create('services', { metadata: { name: 'web' }, spec });
  await cluster.settle();
  await cluster.client.delete('namespaces', undefined, 'demo');
  await cluster.pass(6000);
  assert.equal(cluster.client.get('namespaces', undefined, 'demo'), undefined);
  for (const type of builtinResources.filter((one) => isStored(one) && one.isNamespaced)) {
    assert.equal(cluster.server.list(resourceKey(type), 'demo').length, 0, type.plural);
  }
  assert.ok(cluster.client.get('serviceaccounts', 'default', 'default'), 'other namespaces are not touched');
});

test('a namespace says what it waits for and goes when that is gone', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('configmaps', { metadata: { name: 'held', finalizers: ['demo.io/keep'] } });
  await cluster.client.delete('namespaces', undefined, 'demo');
  await cluster.settle();
  const { conditions } = cluster.client.get('namespaces', undefined, 'demo')?.status ?? {};
  assert.deepEqual(
    ['NamespaceContentRemaining', 'NamespaceFinalizersRemaining'].map((type) => conditionOf(conditions, type)?.message),
    [
      'Some resources are remaining: configmaps. has 1 resource instances',
      'Some content in the namespace has finalizers remaining: demo.io/keep in 1 resource instances',
    ],
  );
  await cluster.edit('configmaps', 'held', ({ metadata }) => ({ metadata: { ...metadata, finalizers: [] } }));
  await cluster.settle();
  assert.equal(cluster.client.get('namespaces', undefined, 'demo'), undefined);
});
