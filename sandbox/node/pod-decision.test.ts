import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decide, type ContainerView, type PodView } from './pod-decision.ts';

const NOW = 1000;

function container(name: string, changes: Partial<ContainerView> = {}): ContainerView {
  return { name, role: 'main', state: 'new', isStarted: false, exitCode: 0, notBeforeMs: 0, ...changes };
}

function pod(containers: readonly ContainerView[], changes: Partial<PodView> = {}): PodView {
  return { restartPolicy: 'Always', isInitialized: false, containers, ...changes };
}

const init = (changes: Partial<ContainerView> = {}): ContainerView => container('init', { role: 'init', ...changes });
const sidecar = (changes: Partial<ContainerView> = {}): ContainerView =>
  container('sidecar', { role: 'sidecar', ...changes });
const running = { state: 'running', isStarted: true } as const;
const exited = (exitCode: number): Partial<ContainerView> => ({ state: 'exited', exitCode });

test('without init containers all main containers start', () => {
  const decision = decide(pod([container('a'), container('b')]), NOW);
  assert.deepEqual(decision.start, ['a', 'b']);
  assert.equal(decision.isInitialized, true);
});

test('an init container that has not succeeded holds back everything after it', () => {
  for (const state of [init(), init({ state: 'running' }), init(exited(1))]) {
    const decision = decide(pod([state, sidecar(), container('a')]), NOW);
    assert.ok(!decision.start.includes('a') && !decision.start.includes('sidecar'));
    assert.equal(decision.isInitialized, false);
  }
  assert.deepEqual(decide(pod([init(exited(0)), sidecar(), container('a')]), NOW).start, ['sidecar']);
});

test('a sidecar holds back the rest until it has started', () => {
  assert.deepEqual(decide(pod([sidecar({ state: 'running' }), container('a')]), NOW).start, []);
  assert.deepEqual(decide(pod([sidecar(running), container('a')]), NOW).start, ['a']);
});

test('a sidecar that ended restarts whatever its exit code and the restart policy, also while the pod runs', () => {
  const containers = [sidecar(exited(0)), container('a', running)];
  assert.deepEqual(decide(pod(containers, { restartPolicy: 'Never', isInitialized: true }), NOW).start, ['sidecar']);
});

test('init containers do not run again once they are passed', () => {
  const decision = decide(pod([init(), container('a', exited(1))], { isInitialized: true }), NOW);
  assert.deepEqual(decision.start, ['a']);
});

test('a container in back-off starts when its time has come', () => {
  const waiting = container('a', { ...exited(1), notBeforeMs: NOW + 500 });
  const decision = decide(pod([waiting, container('b', running)]), NOW);
  assert.deepEqual(decision.start, []);
  assert.equal(decision.wakeAtMs, NOW + 500);
  assert.deepEqual(decide(pod([waiting, container('b', running)]), NOW + 500).start, ['a']);
});

test('a postStart hook under way holds back the next main container', () => {
  assert.deepEqual(decide(pod([container('a', { state: 'starting' }), container('b')]), NOW).start, []);
});

test('the restart policy decides what happens to main containers that ended', () => {
  const cases: readonly [PodView['restartPolicy'], number, readonly string[], string | undefined][] = [
    ['Always', 0, ['a'], undefined],
    ['Always', 1, ['a'], undefined],
    ['OnFailure', 0, [], 'Succeeded'],
    ['OnFailure', 1, ['a'], undefined],
    ['Never', 0, [], 'Succeeded'],
    ['Never', 1, [], 'Failed'],
  ];
  for (const [restartPolicy, exitCode, start, outcome] of cases) {
    const decision = decide(pod([sidecar(running), container('a', exited(exitCode))], { restartPolicy }), NOW);
    assert.deepEqual(decision.start, start, `${restartPolicy} ${exitCode}`);
    assert.equal(decision.outcome, outcome, `${restartPolicy} ${exitCode}`);
  }
});

test('a pod is not over while one main container runs, and one failure makes it fail', () => {
  const never = { restartPolicy: 'Never' } as const;
  assert.equal(decide(pod([container('a', exited(1)), container('b', running)], never), NOW).outcome, undefined);
  assert.equal(decide(pod([container('a', exited(1)), container('b', exited(0))], never), NOW).outcome, 'Failed');
});

test('a failed init container ends a pod that must not restart', () => {
  const failed = [init(exited(1)), container('a')];
  assert.equal(decide(pod(failed, { restartPolicy: 'Never' }), NOW).outcome, 'Failed');
  assert.deepEqual(decide(pod(failed, { restartPolicy: 'OnFailure' }), NOW).start, ['init']);
});
