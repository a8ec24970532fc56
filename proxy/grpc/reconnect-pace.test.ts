import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../test/harness/random.ts';
import { backoffMs } from './backoff.ts';
import { ReconnectPace } from './reconnect-pace.ts';

const CLIENTS = 200;
const WINDOW_MS = 100;
const AWAY_MS = 60_000;

/** When the client of one proxy tries to connect to a service that is lost at 0 and stays away. @returns milliseconds */
function attemptsOf(random: () => number): readonly number[] {
  let nowMs = 0;
  const pace = new ReconnectPace(() => nowMs, random);
  pace.connected();
  const attempts: number[] = [];
  for (let failures = 1; nowMs < AWAY_MS; failures += 1) {
    nowMs += pace.watchPauseMs(failures, false);
    nowMs += pace.connectPauseMs;
    attempts.push(nowMs);
    pace.failed();
  }
  return attempts;
}

/** @returns the most of these times that lie within one window */
function busiest(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [nth, time] of sorted.entries()) {
    while (time - (sorted[first] ?? 0) >= WINDOW_MS) first += 1;
    most = Math.max(most, nth - first + 1);
  }
  return most;
}

test('200 clients that lose a service at once are no herd when they come back to it, each within 3.3 s', () => {
  const random = seededRandom(7);
  const all = Array.from({ length: CLIENTS }, () => attemptsOf(random));
  // Evenly spread it would be 10.
  assert.ok(busiest(all.map(([first = 0]) => first)) <= 25);
  assert.ok(busiest(all.flat()) <= 60, 'with those that are tried again');
  for (const attempts of all)
    for (const [nth, time] of attempts.entries()) assert.ok(time - (attempts[nth - 1] ?? 0) < 3_300, attempts.join());
});

test('with the pauses of a single stream alone 200 clients would come back in one moment', () => {
  const random = seededRandom(7);
  assert.equal(busiest(Array.from({ length: CLIENTS }, () => backoffMs(1, random()))), CLIENTS);
});

test('while the connection stands a stream alone waits, for a time that grows', () => {
  const pace = new ReconnectPace(
    () => 0,
    () => 0.5,
  );
  pace.connected();
  assert.deepEqual(
    [1, 2, 1000].map((failures) => Math.round(pace.watchPauseMs(failures, true))),
    [110, 220, 11_000],
  );
  assert.equal(pace.watchPauseMs(1, false), 1_000);
});

test('attempts to connect wait longer and longer, never 3 s, and not at all after a success', () => {
  const pauses = (sample: number): readonly number[] => {
    const pace = new ReconnectPace(
      () => 0,
      () => sample,
    );
    return [1, 2, 3, 4, 5, 6].map(() => {
      pace.failed();
      return pace.connectPauseMs;
    });
  };
  assert.deepEqual(pauses(0), [250, 500, 1_000, 1_500, 1_500, 1_500]);
  assert.deepEqual(pauses(0.5), [375, 750, 1_500, 2_250, 2_250, 2_250]);
  assert.ok(Math.max(...pauses(0.999)) < 3_000);
  const pace = new ReconnectPace(
    () => 0,
    () => 0.5,
  );
  pace.failed();
  pace.connected();
  assert.deepEqual([pace.connectPauseMs, pace.failures], [0, 0]);
});
