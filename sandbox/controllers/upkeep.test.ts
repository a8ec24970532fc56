import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deployment, TestCluster } from './testing/test-cluster.ts';

const BUDGETS = 'poddisruptionbudgets.policy';

test('a budget follows the healthy pods and the size their controller wants', async () => {
  await using cluster = await TestCluster.start();
  const selector = { matchLabels: { app: 'web' } };
  await cluster.create(BUDGETS, { metadata: { name: 'min' }, spec: { minAvailable: 2, selector } });
  await cluster.create(BUDGETS, { metadata: { name: 'half' }, spec: { minAvailable: '50%', selector } });
  await cluster.create(BUDGETS, { metadata: { name: 'max' }, spec: { maxUnavailable: 1, selector } });
  await cluster.settle();
  assert.equal(cluster.get(BUDGETS, 'min').status?.disruptionsAllowed, 0);
  await cluster.create('deployments.apps', deployment('web', { replicas: 5 }));
  await cluster.settle();
  const facts = (name: string): readonly (number | undefined)[] => {
    const { status } = cluster.get(BUDGETS, name);
    return [status?.expectedPods, status?.desiredHealthy, status?.currentHealthy, status?.disruptionsAllowed];
  };
  assert.deepEqual(facts('min'), [5, 2, 5, 3]);
  assert.deepEqual(facts('half'), [5, 3, 5, 2]);
  assert.deepEqual(facts('max'), [5, 4, 5, 1]);
  assert.equal(cluster.get(BUDGETS, 'max').status?.conditions?.[0]?.reason, 'SufficientPods');
  const [pod] = cluster.pods();
  assert.ok(pod);
  const conditions = [{ type: 'Ready', status: 'False' as const }];
  cluster.kubelet.outcome = () => undefined;
  await cluster.client.update('pods', { ...pod, status: { ...pod.status, conditions } }, 'status');
  await cluster.settle();
  assert.deepEqual(facts('max'), [5, 4, 4, 0]);
  assert.equal(cluster.get(BUDGETS, 'max').status?.conditions?.[0]?.reason, 'InsufficientPods');
});

test('events go an hour after they last happened', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('events', { metadata: { name: 'old' } });
  const lastTimestamp = '2026-01-01T00:30:00Z';
  await cluster.create('events', { metadata: { name: 'repeated' }, lastTimestamp });
  cluster.clock.advance(62 * 60_000);
  await cluster.settle();
  assert.equal(cluster.find('events', 'old'), undefined);
  assert.ok(cluster.find('events', 'repeated'));
  cluster.clock.advance(30 * 60_000);
  await cluster.settle();
  assert.equal(cluster.find('events', 'repeated'), undefined);
});
