import assert from 'node:assert/strict';
import { test } from 'node:test';
import { template, TestCluster } from './testing/test-cluster.ts';

const spec = (replicas: number) => ({ replicas, selector: { matchLabels: { app: 'web' } }, template: template('web') });

test('pods that match are adopted and count; surplus goes, unready first', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = (pod) => (pod.metadata.name === 'sick' ? 'Unready' : 'Ready');
  for (const name of ['sick', 'well']) {
    await cluster.create('pods', { metadata: { name, labels: { app: 'web' } }, spec: template('web').spec });
  }
  await cluster.settle();
  await cluster.create('replicasets.apps', { metadata: { name: 'web' }, spec: spec(1) });
  await cluster.settle();
  assert.deepEqual(
    cluster.pods().map((pod) => pod.metadata.name),
    ['well'],
  );
  const [owner] = cluster.get('pods', 'well').metadata.ownerReferences ?? [];
  assert.equal(owner?.uid, cluster.get('replicasets.apps', 'web').metadata.uid);
  assert.deepEqual([owner?.controller, owner?.blockOwnerDeletion], [true, true]);
});

test('a pod whose labels no longer match is released and replaced', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('replicasets.apps', { metadata: { name: 'web' }, spec: spec(2) });
  await cluster.settle();
  const [pod] = cluster.pods();
  assert.ok(pod);
  await cluster.client.update('pods', { ...pod, metadata: { ...pod.metadata, labels: { app: 'aside' } } });
  await cluster.settle();
  assert.equal(cluster.pods().length, 3);
  assert.equal(cluster.get('pods', pod.metadata.name).metadata.ownerReferences?.length ?? 0, 0);
  assert.equal(cluster.get('replicasets.apps', 'web').status?.replicas, 2);
});

test('a pod that ends or is deleted is replaced, and the status counts only what is ready', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('replicasets.apps', { metadata: { name: 'web' }, spec: { ...spec(3), minReadySeconds: 5 } });
  await cluster.settle();
  const early = cluster.get('replicasets.apps', 'web').status;
  assert.deepEqual(early, { observedGeneration: 1, replicas: 3, fullyLabeledReplicas: 3, readyReplicas: 3 });
  await cluster.pass(6000);
  assert.equal(cluster.get('replicasets.apps', 'web').status?.availableReplicas, 3);

  const [first, second] = cluster.pods();
  await cluster.client.delete('pods', 'demo', first?.metadata.name ?? '');
  cluster.kubelet.outcome = (pod) => (pod.metadata.name === second?.metadata.name ? 'Failed' : 'Ready');
  cluster.kubelet.look();
  await cluster.settle();
  const status = cluster.get('replicasets.apps', 'web').status;
  assert.equal(status?.replicas, 3);
  assert.equal(status?.availableReplicas, 1);
});
