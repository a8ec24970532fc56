import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryBudget } from './retry-budget.ts';

const LIMITS = { retryRatio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 };

/** Requests at a constant rate, each tried again until it succeeds or may not be. @returns attempts for each request */
function loadFactor(rate: number, requests: number, succeeds: (attempt: number) => boolean, retriesMax = 3): number {
  const budget = new RetryBudget(LIMITS);
  let attempts = 0;
  for (let n = 0; n < requests; n += 1) {
    const nowMs = (n * 1000) / rate;
    budget.deposit(nowMs);
    for (let retry = 0; ; retry += 1) {
      attempts += 1;
      if (succeeds(attempts)) {
        budget.succeeded();
        break;
      }
      if (retry === retriesMax || !budget.withdraw(nowMs)) break;
    }
  }
  return attempts / requests;
}

test('a target that fails every request gets at most 1.2 times the load, at any rate', () => {
  for (const rate of [5, 20, 50, 500]) {
    const factor = loadFactor(rate, 500, () => false);
    assert.ok(factor <= 1.2, `${rate} requests a second: ${factor} attempts each`);
  }
});

test('a target that fails every request gets at most 1.2 times the load of any part of the time, whatever was before', () => {
  const budget = new RetryBudget(LIMITS);
  for (let n = 0; n < 2; n += 1) {
    budget.deposit(0);
    budget.withdraw(0);
    budget.withdraw(0);
    budget.succeeded();
  }
  let retries = 0;
  const request = (nowMs: number): void => {
    budget.deposit(nowMs);
    for (let retry = 0; retry < 2 && budget.withdraw(nowMs); retry += 1) retries += 1;
  };
  for (let n = 0; n < 100; n += 1) request(n * 50); // until 5 s
  const few = retries;
  for (let n = 0; n < 1_000; n += 1) request(8_000 + n * 4); // until 12 s
  assert.ok(few <= 20, `${few} retries of 100 requests`);
  assert.ok(retries - few <= 200, `${retries - few} retries of the next 1,000`);
});

test('few requests may be retried as often as it takes, as long as retries help', () => {
  assert.equal(
    loadFactor(2, 100, (attempt) => attempt % 3 === 0),
    3,
  );
});

test('a target that failed for a while is retried again when that was long ago, or when it succeeds', () => {
  const budget = new RetryBudget(LIMITS);
  const spend = (nowMs: number): number => {
    let count = 0;
    while (budget.withdraw(nowMs)) count += 1;
    return count;
  };
  budget.deposit(0);
  assert.equal(spend(0), 10);
  assert.equal(spend(2_000), 0, 'no retry has helped');
  assert.equal(spend(12_000), 10, 'what was learnt is out of date');
  budget.succeeded();
  assert.equal(spend(14_000), 10, 'it succeeds again');
});
