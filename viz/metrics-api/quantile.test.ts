import assert from 'node:assert/strict';
import { test } from 'node:test';
import { histogramQuantile } from './quantile.ts';

test('a quantile lies within its bucket', () => {
  const buckets = new Map([
    [1, 10],
    [5, 90],
    [10, 100],
    [Infinity, 100],
  ]);
  assert.equal(histogramQuantile(buckets, 0.1), 1);
  assert.equal(histogramQuantile(buckets, 0.5), 3);
  assert.equal(histogramQuantile(buckets, 0.95), 7.5);
  assert.equal(histogramQuantile(buckets, 1), 10);
});

test('nothing observed has no quantile, and what lies beyond the last bound is reported as that bound', () => {
  assert.equal(histogramQuantile(new Map(), 0.5), undefined);
  assert.equal(
    histogramQuantile(
      new Map([
        [1, 0],
        [Infinity, 0],
      ]),
      0.5,
    ),
    undefined,
  );
  assert.equal(
    histogramQuantile(
      new Map([
        [100, 0],
        [Infinity, 5],
      ]),
      0.5,
    ),
    100,
  );
});
