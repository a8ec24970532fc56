import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstToDelete } from './deletion-order.ts';
import type { Pod } from './resources.ts';

type Facts = {
  node?: string | undefined;
  phase?: string;
  readyAt?: number; // absent: not ready
  cost?: string;
  restarts?: number;
  createdAt?: number;
};

function pod(name: string, { node = 'a', phase = 'Running', readyAt, cost, restarts = 0, createdAt = 0 }: Facts): Pod {
  const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
  const conditions = readyAt === undefined ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: at(readyAt) }];
  const annotations = cost === undefined ? {} : { 'controller.kubernetes.io/pod-deletion-cost': cost };
  const status = { phase, conditions, containerStatuses: [{ name: 'main', restartCount: restarts }] };
  const metadata = { name, creationTimestamp: at(createdAt), annotations };
  return { metadata, spec: { nodeName: node, containers: [] }, status } as unknown as Pod;
}

test('the cheaper pod goes first, property after property', () => {
  const cases: readonly (readonly [string, first: Facts, second: Facts])[] = [
    ['unscheduled before scheduled', { node: '', phase: 'Running', readyAt: 0 }, { phase: 'Pending' }],
    ['pending before running', { phase: 'Pending' }, { phase: 'Running' }],
    ['unready before ready', { cost: '100' }, { readyAt: 5 }],
    ['lower deletion cost before higher', { readyAt: 1, cost: '-5' }, { readyAt: 9 }],
    ['ready for a shorter time before longer', { readyAt: 9 }, { readyAt: 1, restarts: 7 }],
    ['more restarts before fewer', { restarts: 3, createdAt: 1 }, { restarts: 1, createdAt: 9 }],
    ['younger before older', { createdAt: 9 }, { createdAt: 1 }],
    ['an unreadable cost is none', { readyAt: 9, cost: 'cheap' }, { readyAt: 1, cost: '0' }],
  ];
  for (const [what, first, second] of cases) {
    const [chosen] = firstToDelete([pod('second', second), pod('first', first)], 1);
    assert.equal(chosen?.metadata.name, 'first', what);
  }
});

test('pods that crowd one node go before those that are alone on theirs', () => {
  const pods = [
    pod('alone', { node: 'a', readyAt: 9 }),
    pod('x', { node: 'b', readyAt: 1 }),
    pod('y', { node: 'b', readyAt: 2 }),
  ];
  assert.deepEqual(
    firstToDelete(pods, 2).map(({ metadata }) => metadata.name),
    ['y', 'x'],
  );
});
