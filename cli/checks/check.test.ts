import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Finding, runChecks, type Category, type Check, type Result, type Severity } from './check.ts';

function checkOf(description: string, severity: Severity, run: Check['run'], isRetried = false): Check {
  return { description, hint: `mend ${description}`, severity, run, isRetried };
}
const fails = async (): Promise<void> => {
  throw new Finding('it is broken');
};
const passes = async (): Promise<void> => undefined;

async function run(
  categories: readonly Category[],
  deadlineMs = 0,
  clock = { nowMs: 0 },
): Promise<{ ok: boolean; results: Result[]; sleptMs: number }> {
  const results: Result[] = [];
  let sleptMs = 0;
  const ok = await runChecks(categories, {
    deadlineMs,
    now: () => clock.nowMs,
    sleep: async (ms) => {
      clock.nowMs += ms;
      sleptMs += ms;
    },
    onResult: (result) => results.push(result),
  });
  return { ok, results, sleptMs };
}

test('a warning is reported and does not fail the run', async () => {
  const { ok, results } = await run([
    { name: 'c', checks: [checkOf('a', 'warning', fails), checkOf('b', 'error', passes)] },
  ]);
  assert.equal(ok, true);
  assert.deepEqual(
    results.map(({ result }) => result),
    ['warning', 'success'],
  );
  assert.equal(results[0]?.error, 'it is broken');
});

test('an error fails the run and the next checks still run; a fatal one ends it', async () => {
  const { ok, results } = await run([
    { name: 'c', checks: [checkOf('a', 'error', fails), checkOf('b', 'fatal', fails), checkOf('c', 'error', passes)] },
    { name: 'd', checks: [checkOf('e', 'error', passes)] },
  ]);
  assert.equal(ok, false);
  assert.deepEqual(
    results.map(({ description }) => description),
    ['a', 'b'],
  );
});

test('a check that does not apply is left out', async () => {
  const { ok, results } = await run([{ name: 'c', checks: [checkOf('a', 'fatal', async () => 'skip')] }]);
  assert.equal(ok, true);
  assert.deepEqual(results, []);
});

test('a retried check waits until it passes, or until the deadline', async () => {
  let tries = 0;
  const third = async (): Promise<void> => {
    tries += 1;
    if (tries < 3) throw new Finding('not yet');
  };
  assert.equal((await run([{ name: 'c', checks: [checkOf('a', 'fatal', third, true)] }], 60_000)).ok, true);
  assert.equal(tries, 3);
  const never = await run([{ name: 'c', checks: [checkOf('a', 'fatal', fails, true)] }], 10_000);
  assert.equal(never.ok, false);
  assert.ok(never.sleptMs > 5_000 && never.sleptMs <= 10_000);
});

test('the time to wait begins when something has to be waited for, and is the same for all', async () => {
  const clock = { nowMs: 0 };
  const slow = async (): Promise<void> => void (clock.nowMs += 30_000);
  const checks = [
    checkOf('a', 'fatal', slow, true),
    checkOf('b', 'error', fails, true),
    checkOf('c', 'error', fails, true),
  ];
  assert.equal((await run([{ name: 'c', checks }], 10_000, clock)).sleptMs, 10_000);
});
