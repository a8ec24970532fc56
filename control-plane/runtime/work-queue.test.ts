import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from './clock.ts';
import { retryDelayMs, WorkQueue } from './work-queue.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function settle(queue: WorkQueue): Promise<void> {
  for (let turns = 0; turns < 1000; turns += 1) {
    await turn();
    if (queue.isIdle) return;
  }
  assert.fail('the queue never became idle');
}

test('a key added many times is reconciled once', async () => {
  const seen: string[] = [];
  const reconcile = async (key: string) => void seen.push(key);
  using queue = new WorkQueue({ clock: new ManualClock(), reconcile });
  for (let i = 0; i < 100; i += 1) queue.add('a');
  queue.add('b');
  assert.deepEqual(seen, [], 'nothing runs before the caller returns');
  await settle(queue);
  assert.deepEqual(seen, ['a', 'b']);
});

test('a key that changes while it is reconciled is reconciled once more, never at the same time', async () => {
  let running = 0;
  let runs = 0;
  using queue: WorkQueue = new WorkQueue({
    clock: new ManualClock(),
    reconcile: async (key) => {
      running += 1;
      runs += 1;
      assert.equal(running, 1);
      if (runs === 1) for (let i = 0; i < 5; i += 1) queue.add(key);
      await turn();
      running -= 1;
      return undefined;
    },
  });
  queue.add('a');
  await settle(queue);
  assert.equal(runs, 2);
});

test('no more keys run at once than allowed, and all of them run', async () => {
  let running = 0;
  let most = 0;
  const seen = new Set<string>();
  using queue = new WorkQueue({
    clock: new ManualClock(),
    concurrency: 3,
    reconcile: async (key) => {
      running += 1;
      most = Math.max(most, running);
      seen.add(key);
      await turn();
      running -= 1;
      return undefined;
    },
  });
  for (let i = 0; i < 50; i += 1) queue.add(`k${i}`);
  await settle(queue);
  assert.equal(most, 3);
  assert.equal(seen.size, 50);
});

test('a failing key is tried again after growing delays until it succeeds', async () => {
  const clock = new ManualClock();
  const startMs = clock.now();
  const runsMs: number[] = [];
  const failures: number[] = [];
  using queue = new WorkQueue({
    clock,
    retryMsMin: 10,
    onError: (_key, _error, count) => void failures.push(count),
    reconcile: async () => {
      runsMs.push(clock.now() - startMs);
      if (runsMs.length < 4) throw new Error('not yet');
      return undefined;
    },
  });
  queue.add('a');
  for (let i = 0; i < 20; i += 1) {
    await settle(queue);
    clock.advance(10);
  }
  assert.deepEqual(runsMs, [0, 10, 30, 70]);
  assert.deepEqual(failures, [1, 2, 3]);
});

test('a reconciler may ask to be called again later, and the earliest time wins', async () => {
  const clock = new ManualClock();
  let runs = 0;
  const reconcile = async () => ((runs += 1) === 1 ? 1000 : undefined);
  using queue = new WorkQueue({ clock, reconcile });
  queue.add('a');
  await settle(queue);
  queue.addAfter('a', 5000);
  clock.advance(999);
  await settle(queue);
  assert.equal(runs, 1);
  clock.advance(1);
  await settle(queue);
  assert.equal(runs, 2);
});

test('a disposed queue does nothing more', async () => {
  const clock = new ManualClock();
  let runs = 0;
  const queue = new WorkQueue({ clock, reconcile: async () => void (runs += 1) });
  queue.add('a');
  queue.addAfter('b', 10);
  queue[Symbol.dispose]();
  queue.add('c');
  clock.advance(100);
  await settle(queue);
  assert.equal(runs, 0);
});

test('retry delays double and stop growing', () => {
  assert.deepEqual(
    [1, 2, 3, 20, 5000].map((failures) => retryDelayMs(failures, 5, 60_000)),
    [5, 10, 20, 60_000, 60_000],
  );
});
