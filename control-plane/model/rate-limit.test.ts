import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsOfClient, takeFromBucket, type RateLimit } from './rate-limit.ts';

const LIMIT: RateLimit = {
  ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'HTTPLocalRateLimitPolicy', name: 'l', namespace: 'shop' },
  total: 100,
  identity: 10,
  overrides: [
    { requestsPerSecond: 20, identities: ['web', 'api'] },
    { requestsPerSecond: 5, identities: ['api', 'bot'] },
    { requestsPerSecond: 0, identities: ['probe'] },
  ],
};

test('a client has the limit of the first override that names it, else that of every client', () => {
  assert.deepEqual(limitsOfClient(LIMIT, 'api'), { total: 100, client: 20 });
  assert.deepEqual(limitsOfClient(LIMIT, 'bot'), { total: 100, client: 5 });
  assert.deepEqual(limitsOfClient(LIMIT, 'probe'), { total: 100 });
  assert.deepEqual(limitsOfClient(LIMIT, 'somebody'), { total: 100, client: 10 });
  assert.deepEqual(limitsOfClient(LIMIT, undefined), { total: 100, client: 10 });
  const { ref } = LIMIT;
  assert.deepEqual(limitsOfClient({ ref, overrides: [] }, 'web'), {});
});

/** @returns how many of the requests at these times are let in */
function admitted(timesMs: readonly number[], requestsPerSecond: number): number {
  let bucket = 0;
  let count = 0;
  for (const timeMs of timesMs) {
    const next = takeFromBucket(bucket, timeMs, requestsPerSecond);
    if (next === undefined) continue;
    bucket = next;
    count += 1;
  }
  return count;
}

test('a bucket gives a burst of one second, then fills at its rate, and never holds more', () => {
  for (const rate of [1, 2, 3, 7, 10, 333, 1000, 4_000_000]) {
    const burst = Math.min(rate, 5000);
    const atOnce = Array.from({ length: burst + 100 }, () => 1_000_000);
    assert.equal(admitted(atOnce, rate), Math.min(rate, burst + 100), `${rate} at once`);
  }
  const steady = Array.from({ length: 10_000 }, (_, nth) => 1_000_000 + nth); // 10 s, 1,000 a second
  assert.equal(admitted(steady, 10), 10 + 99, 'the burst, then 10 a second');
  const bursts = [0, 3_600_000].flatMap((startMs) => Array.from({ length: 50 }, () => 1_000_000 + startMs));
  assert.equal(admitted(bursts, 10), 20, 'an hour of silence gives no more than one burst');
});
