import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Deployment, ReplicaSet } from '../resources.ts';
import { bounds, nextNewReplicas, proportional, scaled, shrinkOld } from './rolling-update.ts';

function rolling(replicas: number, maxSurge: number | string, maxUnavailable: number | string): Deployment {
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } as const;
  return { metadata: { name: 'web' }, spec: { replicas, strategy } } as unknown as Deployment;
}

let created = 0;
function sized(replicas: number, availableReplicas = replicas, maxReplicas?: number): ReplicaSet {
  created += 1;
  const annotations = maxReplicas === undefined ? {} : { 'deployment.kubernetes.io/max-replicas': String(maxReplicas) };
  const metadata = { name: `web-${created}`, creationTimestamp: new Date(created * 1000).toISOString(), annotations };
  return { metadata, spec: { replicas }, status: { replicas, availableReplicas } } as unknown as ReplicaSet;
}

test('shares of the replicas round surge up and unavailability down', () => {
  assert.equal(scaled('25%', 10, 'up'), 3);
  assert.equal(scaled('25%', 10, 'down'), 2);
  assert.equal(scaled(4, 10, 'down'), 4);
  assert.deepEqual(bounds('25%', '25%', 1), { maxSurge: 1, maxUnavailable: 0 });
  assert.deepEqual(bounds('0%', '25%', 3), { maxSurge: 0, maxUnavailable: 1 }, 'a rollout can always move');
  assert.deepEqual(bounds(0, 0, 3), { maxSurge: 0, maxUnavailable: 1 });
  assert.deepEqual(bounds(1, 9, 3), { maxSurge: 1, maxUnavailable: 3 });
});

test('the new ReplicaSet grows as far as the surge allows', () => {
  const cases: readonly (readonly [Deployment, current: number, old: number, next: number])[] = [
    [rolling(10, 3, 2), 0, 10, 3],
    [rolling(10, 3, 2), 3, 8, 5],
    [rolling(10, 3, 2), 5, 8, 5],
    [rolling(10, 0, 2), 0, 10, 0],
    [rolling(10, 0, 2), 0, 8, 2],
    [rolling(10, '100%', 0), 0, 10, 10],
    [rolling(4, 1, 0), 6, 0, 4],
    [rolling(0, 1, 1), 0, 0, 0],
  ];
  for (const [deployment, current, old, next] of cases) {
    assert.equal(nextNewReplicas(deployment, current, [sized(old)]), next);
  }
});

test('old ReplicaSets shrink only as far as availability allows, and dead pods go first', () => {
  const plan = (deployment: Deployment, fresh: ReplicaSet, old: readonly ReplicaSet[]): readonly number[] => {
    const resizes = shrinkOld(deployment, fresh, old);
    return old.map((set) => resizes.find((resize) => resize.set === set)?.replicas ?? set.spec.replicas ?? 0);
  };
  assert.deepEqual(plan(rolling(10, 3, 2), sized(3, 0), [sized(10)]), [8]);
  assert.deepEqual(plan(rolling(10, 3, 2), sized(5, 0), [sized(8)]), [8], 'nothing more may go yet');
  assert.deepEqual(plan(rolling(10, 3, 2), sized(5, 5), [sized(8)]), [3]);
  assert.deepEqual(plan(rolling(10, 0, 1), sized(0), [sized(10)]), [9]);
  assert.deepEqual(plan(rolling(10, 1, 0), sized(1, 0), [sized(10)]), [10]);
  assert.deepEqual(plan(rolling(10, 1, 0), sized(1, 1), [sized(10)]), [9]);
  assert.deepEqual(
    plan(rolling(10, 3, 2), sized(3, 0), [sized(4, 0), sized(6)]),
    [2, 6],
    'dead pods of the oldest first',
  );
  assert.deepEqual(plan(rolling(4, 1, 1), sized(4, 4), [sized(1), sized(1)]), [0, 0]);
  const stale = sized(8, 10);
  assert.deepEqual(plan(rolling(10, 0, 2), sized(2, 0), [stale]), [8], 'a status that lags behind frees nothing');
});

test('a size change in the middle of a rollout is shared by size, the rest goes to the largest', () => {
  const grown = proportional(rolling(15, 3, 2), [sized(8, 8, 13), sized(5, 0, 13)]);
  assert.deepEqual(
    grown.map(({ replicas }) => replicas),
    [11, 7],
  );
  const shrunk = proportional(rolling(5, 3, 2), [sized(8, 8, 13), sized(5, 0, 13)]);
  assert.deepEqual(
    shrunk.map(({ replicas }) => replicas),
    [5, 3],
  );
  const gone = proportional(rolling(0, 3, 2), [sized(8, 8, 13), sized(5, 0, 13)]);
  assert.deepEqual(
    gone.map(({ replicas }) => replicas),
    [0, 0],
  );
});
