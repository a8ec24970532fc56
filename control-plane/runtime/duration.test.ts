import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DurationError, formatAge, parseDurationMs } from './duration.ts';

test('a duration is a sum of amounts with units', () => {
  assert.equal(parseDurationMs('0'), 0);
  assert.equal(parseDurationMs(' 300ms '), 300);
  assert.equal(parseDurationMs('1h30m'), 5_400_000);
  assert.equal(parseDurationMs('24h0m0s'), 86_400_000);
  assert.equal(parseDurationMs('1.5s'), 1500);
  assert.equal(parseDurationMs('365d'), 31_536_000_000);
});

test('text that is not a duration is refused with the accepted form', () => {
  for (const bad of ['', '10', 's', '-1s', '1 s', '1w', '9'.repeat(30) + 'd', '1s1', 'NaNs']) {
    assert.throws(
      () => parseDurationMs(bad),
      (error: unknown) => error instanceof DurationError && error.message.includes('10s'),
    );
  }
});

test('an age is printed as kubectl prints it', () => {
  const second = 1000;
  const cases: readonly (readonly [number, string])[] = [
    [45, '45s'],
    [119, '119s'],
    [120, '2m'],
    [125, '2m5s'],
    [700, '11m'],
    [10_799, '179m'],
    [10_800, '3h'],
    [12_000, '3h20m'],
    [90_000, '25h'],
    [172_800, '2d'],
    [180_000, '2d2h'],
    [864_000, '10d'],
  ];
  for (const [seconds, text] of cases) assert.equal(formatAge(seconds * second), text);
});
