import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customKind } from '#k8s/resources/custom-object.ts';
import type { ParentVerdict } from './route-status.ts';
import { mergeParents } from './route-status-source.ts';
import { CONTROLLER_NAME } from './status-writer.ts';

const KIND = customKind({ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', plural: 'httproutes' }, 'v1');
const WEB = { group: '', kind: 'Service', name: 'web' };
const FOREIGN = { parentRef: { name: 'gateway' }, controllerName: 'example.com/gateway', conditions: [{ type: 'X' }] };

function route(parents: readonly unknown[], generation = 1) {
  const parsed = KIND.parse({
    metadata: { name: 'r', namespace: 'shop', generation },
    spec: { parentRefs: [WEB] },
    status: { parents },
  });
  assert.ok(parsed);
  return parsed;
}

function verdict(status: 'True' | 'False', reason: string): readonly ParentVerdict[] {
  const parent = { kind: 'Service', index: 0, namespace: 'shop', name: 'web' } as const;
  return [{ parent, conditions: [{ type: 'Accepted', status, reason, message: reason }] }];
}

function ours(status: string, reason: string, observedGeneration: number, lastTransitionTime: string) {
  const conditions = [{ type: 'Accepted', status, reason, message: reason, observedGeneration, lastTransitionTime }];
  return { parentRef: WEB, controllerName: CONTROLLER_NAME, conditions };
}

test('entries of other controllers stay as they are and where they are', () => {
  const merged = mergeParents(route([FOREIGN]), verdict('True', 'Accepted'), 'now');
  assert.deepEqual(merged, [FOREIGN, ours('True', 'Accepted', 1, 'now')]);
  const again = [ours('True', 'Accepted', 1, 'now'), FOREIGN];
  assert.deepEqual(mergeParents(route(again), verdict('True', 'Accepted'), 'later'), again);
});

test('the time of a condition is that of its last change of status', () => {
  const before = route([ours('True', 'Accepted', 1, 'then')], 2);
  assert.deepEqual(mergeParents(before, verdict('True', 'Accepted'), 'now'), [ours('True', 'Accepted', 2, 'then')]);
  assert.deepEqual(mergeParents(before, verdict('False', 'NoMatchingParent'), 'now'), [
    ours('False', 'NoMatchingParent', 2, 'now'),
  ]);
});

test('what is no longer a parent is taken out', () => {
  assert.deepEqual(mergeParents(route([FOREIGN, ours('True', 'Accepted', 1, 'then')]), [], 'now'), [FOREIGN]);
});
