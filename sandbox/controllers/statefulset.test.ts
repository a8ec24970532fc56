import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReady } from './pods.ts';
import type { StatefulSet } from './resources.ts';
import { template, TestCluster } from './testing/test-cluster.ts';

function spec(replicas: number, more: Partial<StatefulSet['spec']> = {}): StatefulSet['spec'] {
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } as const;
  const selector = { matchLabels: { app: 'db' } };
  return { replicas, serviceName: 'db', selector, template: template('db'), updateStrategy, ...more };
}

/** What `kubectl rollout status statefulset` asks. */
function isRolledOut({ metadata, spec, status }: StatefulSet): boolean {
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return false;
  if ((status?.readyReplicas ?? 0) < (spec.replicas ?? 1)) return false;
  return status?.updateRevision === status?.currentRevision;
}

const names = (cluster: TestCluster): readonly string[] =>
  cluster
    .pods()
    .map(({ metadata }) => metadata.name)
    .sort();

test('pods are made in order, each when the one before is ready', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = (pod) => (pod.metadata.name === 'db-1' ? undefined : 'Ready');
  await cluster.create('statefulsets.apps', { metadata: { name: 'db' }, spec: spec(3) });
  await cluster.settle();
  assert.deepEqual(names(cluster), ['db-0', 'db-1']);
  cluster.kubelet.outcome = () => 'Ready';
  cluster.kubelet.look();
  await cluster.settle();
  assert.deepEqual(names(cluster), ['db-0', 'db-1', 'db-2']);
  const pod = cluster.get('pods', 'db-2');
  const { updateRevision = '', ...status } = cluster.get('statefulsets.apps', 'db').status ?? {};
  assert.deepEqual(pod.metadata.labels, {
    app: 'db',
    'statefulset.kubernetes.io/pod-name': 'db-2',
    'apps.kubernetes.io/pod-index': '2',
    'controller-revision-hash': updateRevision,
  });
  assert.deepEqual([pod.spec.hostname, pod.spec.subdomain], ['db-2', 'db']);
  assert.deepEqual(status, {
    observedGeneration: 1,
    replicas: 3,
    readyReplicas: 3,
    currentReplicas: 3,
    updatedReplicas: 3,
    availableReplicas: 3,
    currentRevision: updateRevision,
    collisionCount: 0,
  });
});

test('scaling down takes the highest first, one at a time', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('statefulsets.apps', { metadata: { name: 'db' }, spec: spec(3) });
  await cluster.settle();
  cluster.kubelet.mayGo = () => false;
  await cluster.edit('statefulsets.apps', 'db', ({ spec }) => ({ spec: { ...spec, replicas: 1 } }));
  await cluster.settle();
  assert.deepEqual(names(cluster), ['db-0', 'db-1']);
  cluster.kubelet.mayGo = () => true;
  cluster.kubelet.look();
  await cluster.settle();
  assert.deepEqual(names(cluster), ['db-0']);
});

test('Parallel makes and takes all at once', async () => {
  await using cluster = await TestCluster.start();
  cluster.kubelet.outcome = () => undefined;
  const parallel = spec(4, { podManagementPolicy: 'Parallel' });
  await cluster.create('statefulsets.apps', { metadata: { name: 'db' }, spec: parallel });
  await cluster.settle();
  assert.deepEqual(names(cluster), ['db-0', 'db-1', 'db-2', 'db-3']);
  cluster.kubelet.mayGo = () => false;
  await cluster.edit('statefulsets.apps', 'db', ({ spec }) => ({ spec: { ...spec, replicas: 1 } }));
  await cluster.settle();
  assert.deepEqual(names(cluster), ['db-0']);
});

test('an update replaces pods from the highest down to the partition, one at a time', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('statefulsets.apps', { metadata: { name: 'db' }, spec: spec(3) });
  await cluster.settle();
  let least = Infinity;
  cluster.kubelet.afterStep = () => (least = Math.min(least, cluster.pods().filter(isReady).length));
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } as const;
  await cluster.edit('statefulsets.apps', 'db', () => ({
    spec: spec(3, { template: template('db', 'new'), updateStrategy }),
  }));
  await cluster.settle();
  const images = (): readonly unknown[] =>
    ['db-0', 'db-1', 'db-2'].map((name) => {
      const [container] = cluster.get('pods', name).spec.containers;
      return (container as { image?: string } | undefined)?.image;
    });
  assert.deepEqual(images(), ['tulle.dev/host:1', 'tulle.dev/host:1', 'new']);
  assert.equal(cluster.get('statefulsets.apps', 'db').status?.updatedReplicas, 1);

  await cluster.client.delete('pods', 'demo', 'db-0');
  await cluster.settle();
  assert.deepEqual(images(), ['tulle.dev/host:1', 'tulle.dev/host:1', 'new'], 'below the partition nothing is updated');

  await cluster.edit('statefulsets.apps', 'db', () => ({ spec: spec(3, { template: template('db', 'new') }) }));
  await cluster.settle();
  assert.deepEqual(images(), ['new', 'new', 'new']);
  assert.ok(isRolledOut(cluster.get('statefulsets.apps', 'db')));
  assert.equal(least, 2);
  const revisions = cluster.list('controllerrevisions.apps').map(({ revision }) => revision);
  assert.deepEqual(revisions, [1, 2]);
});

test('going back to an earlier template makes its revision the newest again', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('statefulsets.apps', { metadata: { name: 'db' }, spec: spec(1) });
  await cluster.settle();
  await cluster.edit('statefulsets.apps', 'db', () => ({ spec: spec(1, { template: template('db', 'new') }) }));
  await cluster.settle();
  await cluster.edit('statefulsets.apps', 'db', () => ({ spec: spec(1) }));
  await cluster.settle();
  const history = [...cluster.list('controllerrevisions.apps')].sort((a, b) => b.revision - a.revision);
  assert.deepEqual(
    history.map(({ revision }) => revision),
    [3, 2],
  );
  const [first] = history;
  assert.equal(cluster.get('statefulsets.apps', 'db').status?.currentRevision, first?.metadata.name);
  const { template: stored } = cluster.get('statefulsets.apps', 'db').spec;
  assert.deepEqual(first?.data, { spec: { template: { ...stored, $patch: 'replace' } } });
});

test('a pod that failed is made again, and claims for volumes are refused with a reason', async () => {
  await using cluster = await TestCluster.start();
  let hasFailed = false;
  cluster.kubelet.outcome = () => (hasFailed ? 'Ready' : 'Failed');
  cluster.kubelet.afterStep = () => (hasFailed ||= cluster.messages('RecreatingFailedPod').length > 0);
  await cluster.create('statefulsets.apps', { metadata: { name: 'db' }, spec: spec(1) });
  await cluster.settle();
  assert.ok(isRolledOut(cluster.get('statefulsets.apps', 'db')));

  const volumeClaimTemplates = [{ metadata: { name: 'data' } }];
  await cluster.create('statefulsets.apps', {
    metadata: { name: 'pv' },
    spec: spec(1, { volumeClaimTemplates, selector: { matchLabels: { app: 'pv' } }, template: template('pv') }),
  });
  await cluster.settle();
  assert.match(cluster.messages('FailedCreate').join(), /volumeClaimTemplates needs persistent volumes/);
  assert.deepEqual(names(cluster), ['db-0']);
});
