import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AnyObject } from './resources.ts';
import { deployment, TestCluster } from './testing/test-cluster.ts';

function reference(owner: AnyObject, blockOwnerDeletion = true) {
  const { apiVersion, kind, metadata } = owner;
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid, blockOwnerDeletion };
}

async function web(): Promise<TestCluster> {
  const cluster = await TestCluster.start();
  await cluster.create('deployments.apps', deployment('web', { replicas: 2 }));
  await cluster.settle();
  return cluster;
}

test('background deletion takes the owner at once and the dependents after it', async () => {
  await using cluster = await web();
  await cluster.client.delete('deployments.apps', 'demo', 'web', { propagationPolicy: 'Background' });
  assert.equal(cluster.find('deployments.apps', 'web'), undefined);
  await cluster.settle();
  assert.equal(cluster.list('replicasets.apps').length, 0);
  assert.equal(cluster.list('pods').length, 0);
});

test('foreground deletion keeps the owner until the last dependent is gone', async () => {
  await using cluster = await web();
  cluster.kubelet.mayGo = () => false;
  await cluster.client.delete('deployments.apps', 'demo', 'web', { propagationPolicy: 'Foreground' });
  await cluster.settle();
  assert.deepEqual(cluster.get('deployments.apps', 'web').metadata.finalizers, ['foregroundDeletion']);
  assert.deepEqual(cluster.list('replicasets.apps')[0]?.metadata.finalizers, ['foregroundDeletion']);
  assert.equal(cluster.pods().length, 0, 'all pods are asked to end');
  assert.equal(cluster.list('pods').length, 2);
  cluster.kubelet.mayGo = () => true;
  cluster.kubelet.look();
  await cluster.settle();
  assert.equal(cluster.find('deployments.apps', 'web'), undefined);
  assert.equal(cluster.list('replicasets.apps').length, 0);
});

test('orphaning deletion leaves the dependents, and a new owner adopts them', async () => {
  await using cluster = await web();
  const before = cluster.pods().map((pod) => pod.metadata.uid);
  await cluster.client.delete('deployments.apps', 'demo', 'web', { propagationPolicy: 'Orphan' });
  await cluster.settle();
  assert.equal(cluster.find('deployments.apps', 'web'), undefined);
  assert.equal(cluster.list('replicasets.apps')[0]?.metadata.ownerReferences, undefined);
  await cluster.create('deployments.apps', deployment('web', { replicas: 2 }));
  await cluster.settle();
  assert.deepEqual(
    cluster.pods().map((pod) => pod.metadata.uid),
    before,
  );
  assert.equal(cluster.list('replicasets.apps').length, 1);
});

test('an object with two owners stays while one of them lives and loses the reference to the other', async () => {
  await using cluster = await TestCluster.start();
  const first = await cluster.create('configmaps', { metadata: { name: 'first' } });
  const second = await cluster.create('configmaps', { metadata: { name: 'second' } });
  const ownerReferences = [reference(first), reference(second)];
  await cluster.create('configmaps', { metadata: { name: 'child', ownerReferences } });
  await cluster.client.delete('configmaps', 'demo', 'first');
  await cluster.settle();
  assert.deepEqual(cluster.get('configmaps', 'child').metadata.ownerReferences, [reference(second)]);
  await cluster.client.delete('configmaps', 'demo', 'second');
  await cluster.settle();
  assert.equal(cluster.find('configmaps', 'child'), undefined);
});

test('an owner of the same name but another uid is no owner, nor is one in another namespace', async () => {
  await using cluster = await TestCluster.start();
  const owner = await cluster.create('configmaps', { metadata: { name: 'owner' } });
  const impostor = { ...reference(owner), uid: 'another' };
  await cluster.create('configmaps', { metadata: { name: 'stale', ownerReferences: [impostor] } });
  const far = { name: 'far', namespace: 'default', ownerReferences: [reference(owner)] };
  await cluster.create('configmaps', { metadata: far });
  await cluster.settle();
  assert.equal(cluster.find('configmaps', 'stale'), undefined);
  assert.equal(cluster.client.get('configmaps', 'default', 'far'), undefined);
});

test('an owner of a kind that is not served keeps its dependents', async () => {
  await using cluster = await TestCluster.start();
  const owner = { apiVersion: 'demo.io/v1', kind: 'Widget', name: 'w', uid: 'w' };
  await cluster.create('configmaps', { metadata: { name: 'child', ownerReferences: [owner] } });
  await cluster.settle();
  assert.ok(cluster.find('configmaps', 'child'));
});

test('custom resources own and are owned like everything else', async () => {
  await using cluster = await TestCluster.start();
  const schema = { openAPIV3Schema: { type: 'object' } };
  const spec = {
    group: 'demo.io',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
    scope: 'Namespaced',
    versions: [{ name: 'v1', served: true, storage: true, schema }],
  };
  const definition = { metadata: { name: 'widgets.demo.io' }, spec };
  await cluster.server.create('customresourcedefinitions.apiextensions.k8s.io', definition);
  await cluster.settle();
  const widget = await cluster.server.create('widgets.demo.io', { metadata: { name: 'w', namespace: 'demo' } });
  await cluster.create('configmaps', { metadata: { name: 'child', ownerReferences: [reference(widget)] } });
  await cluster.settle();
  assert.ok(cluster.find('configmaps', 'child'));
  await cluster.server.delete('widgets.demo.io', 'demo', 'w');
  await cluster.settle();
  assert.equal(cluster.find('configmaps', 'child'), undefined);

  const second = await cluster.server.create('widgets.demo.io', { metadata: { name: 'w1', namespace: 'demo' } });
  await cluster.create('configmaps', { metadata: { name: 'child', ownerReferences: [reference(second)] } });
  await cluster.client.delete('customresourcedefinitions.apiextensions.k8s.io', undefined, 'widgets.demo.io');
  await cluster.settle();
  assert.equal(cluster.find('configmaps', 'child'), undefined, 'the kind went together with the owner');

  await cluster.server.create('customresourcedefinitions.apiextensions.k8s.io', definition);
  await cluster.settle();
  await cluster.server.create('widgets.demo.io', { metadata: { name: 'w2', namespace: 'demo' } });
  await cluster.client.delete('namespaces', undefined, 'demo');
  await cluster.pass(2000);
  assert.equal(cluster.server.list('widgets.demo.io').length, 0);
  assert.equal(cluster.client.get('namespaces', undefined, 'demo'), undefined);
});
