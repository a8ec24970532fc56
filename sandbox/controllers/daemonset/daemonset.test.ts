import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fit } from './node-fit.ts';
import type { DaemonSet, Node, PodSpec, Taint } from '../resources.ts';
import { template, TestCluster } from '../testing/test-cluster.ts';

function spec(more: Partial<DaemonSet['spec']> = {}): DaemonSet['spec'] {
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } } as const;
  return { selector: { matchLabels: { app: 'agent' } }, template: template('agent'), updateStrategy, ...more };
}

function node(name: string, labels: Record<string, string> = {}, taints: readonly Taint[] = []): Node {
  return { metadata: { name, labels }, spec: { taints } } as unknown as Node;
}

test('a node takes a daemon by name, labels, affinity and taints', () => {
  const containers: PodSpec['containers'] = [];
  const affinityTo = (...values: string[]): PodSpec => {
    const nodeSelectorTerms = [{ matchExpressions: [{ key: 'disk', operator: 'In', values }] }];
    const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
    return { containers, affinity: { nodeAffinity } };
  };
  const tainted = (effect: string): Node => node('a', {}, [{ key: 'only', value: 'db', effect }]);
  const tolerant: PodSpec = { containers, tolerations: [{ key: 'only', value: 'db' }] };
  const cases: readonly (readonly [PodSpec, Node, shouldRun: boolean, mayStay: boolean])[] = [
    [{ containers }, node('a'), true, true],
    [{ containers, nodeName: 'b' }, node('a'), false, false],
    [{ containers, nodeSelector: { disk: 'ssd' } }, node('a', { disk: 'hdd' }), false, false],
    [affinityTo('ssd', 'hdd'), node('a', { disk: 'hdd' }), true, true],
    [affinityTo('ssd'), node('a'), false, false],
    [{ containers }, tainted('NoSchedule'), false, true],
    [{ containers }, tainted('NoExecute'), false, false],
    [{ containers }, tainted('PreferNoSchedule'), true, true],
    [tolerant, tainted('NoExecute'), true, true],
    [{ containers }, node('a', {}, [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }]), true, true],
  ];
  for (const [pod, on, shouldRun, mayStay] of cases) assert.deepEqual(fit(pod, on), { shouldRun, mayStay });
});

test('every node that fits runs one pod, and the status counts all of them', async () => {
  await using cluster = await TestCluster.start();
  await cluster.server.create('nodes', { metadata: { name: 'node-2' } });
  await cluster.server.create('nodes', {
    metadata: { name: 'node-3' },
    spec: { taints: [{ key: 'x', effect: 'NoSchedule' }] },
  });
  cluster.kubelet.outcome = () => 'Ready';
  await cluster.create('daemonsets.apps', { metadata: { name: 'agent' }, spec: spec() });
  await cluster.settle();
  assert.deepEqual(new Set(cluster.pods().map((pod) => pod.spec.nodeName)), new Set(['node-1', 'node-2']));
  const status = {
    currentNumberScheduled: 2,
    numberMisscheduled: 0,
    desiredNumberScheduled: 2,
    numberReady: 2,
    observedGeneration: 1,
    updatedNumberScheduled: 2,
    numberAvailable: 2,
  };
  assert.deepEqual(cluster.get('daemonsets.apps', 'agent').status, status);
  await cluster.client.delete('nodes', undefined, 'node-2');
  await cluster.settle();
  assert.equal(cluster.pods().length, 1);
});

test('an update replaces no more pods at once than may be unavailable', async () => {
  await using cluster = await TestCluster.start();
  for (const name of ['node-2', 'node-3', 'node-4']) await cluster.server.create('nodes', { metadata: { name } });
  await cluster.create('daemonsets.apps', { metadata: { name: 'agent' }, spec: spec() });
  await cluster.settle();
  let least = Infinity;
  cluster.kubelet.afterStep = () => (least = Math.min(least, cluster.pods().length));
  await cluster.edit('daemonsets.apps', 'agent', () => ({ spec: spec({ template: template('agent', 'new') }) }));
  await cluster.settle();
  assert.equal(least, 3);
  const { status } = cluster.get('daemonsets.apps', 'agent');
  assert.deepEqual([status?.updatedNumberScheduled, status?.numberAvailable, status?.observedGeneration], [4, 4, 2]);
});

test('with a surge the successor is available before the old pod goes', async () => {
  await using cluster = await TestCluster.start();
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } as const;
  await cluster.create('daemonsets.apps', { metadata: { name: 'agent' }, spec: spec({ updateStrategy }) });
  await cluster.settle();
  cluster.kubelet.outcome = (pod) => (JSON.stringify(pod.spec).includes('new') ? 'Unready' : 'Ready');
  await cluster.edit('daemonsets.apps', 'agent', () => ({
    spec: spec({ updateStrategy, template: template('agent', 'new') }),
  }));
  await cluster.settle();
  assert.equal(cluster.pods().length, 2);
  assert.equal(cluster.get('daemonsets.apps', 'agent').status?.numberAvailable, 1);
  cluster.kubelet.outcome = () => 'Ready';
  cluster.kubelet.look();
  await cluster.settle();
  assert.equal(cluster.pods().length, 1);
  assert.equal(cluster.get('daemonsets.apps', 'agent').status?.updatedNumberScheduled, 1);
});

test('a daemon that failed is made again', async () => {
  await using cluster = await TestCluster.start();
  let failures = 0;
  cluster.kubelet.outcome = () => (failures < 2 ? 'Failed' : 'Ready');
  cluster.kubelet.afterStep = () => (failures = cluster.messages('FailedDaemonPod').length);
  await cluster.create('daemonsets.apps', { metadata: { name: 'agent' }, spec: spec() });
  await cluster.pass(3000);
  assert.equal(cluster.get('daemonsets.apps', 'agent').status?.numberReady, 1);
});
