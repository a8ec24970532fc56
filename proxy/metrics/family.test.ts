import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family, HistogramSeries, Series, SeriesBudget } from './family.ts';

const counter = (budget: SeriesBudget): Family =>
  new Family({ name: 'a_total', help: 'A.', type: 'counter' }, budget, (labels) => new Series(labels));

const samples = (family: { text(): string }): readonly string[] =>
  family
    .text()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

test('series with different label names are printed in one family', () => {
  const family = counter(new SeriesBudget(10));
  family.acquire({ a: '1' }).value += 2;
  family.acquire({ b: 'x"y\n', a: '1' }).value += 1;
  family.acquire({ a: '1' }).value += 1;
  assert.equal(
    family.text(),
    '# HELP a_total A.\n# TYPE a_total counter\na_total{a="1"} 3\na_total{b="x\\"y\\n",a="1"} 1\n',
  );
});

test('beyond the budget new label sets share one series', () => {
  const family = counter(new SeriesBudget(2));
  for (let n = 0; n < 10; n += 1) family.acquire({ n: String(n) }).value += 1;
  assert.deepEqual(samples(family), ['a_total{n="0"} 1', 'a_total{n="1"} 1', 'a_total{overflow="true"} 8']);
});

test('a series that nobody uses is forgotten after the retention time and gives its place back', () => {
  const budget = new SeriesBudget(1);
  const family = counter(budget);
  const series = family.acquire({ a: '1' });
  family.acquire({ a: '1' });
  family.release(series, 0);
  family.sweep(10_000, 100);
  assert.equal(budget.used, 1);
  family.release(series, 10_000);
  family.sweep(10_050, 100);
  assert.equal(budget.used, 1);
  family.sweep(10_200, 100);
  assert.equal(budget.used, 0);
  assert.deepEqual(samples(family), []);
});

test('a histogram counts into the first bucket that is not smaller', () => {
  const family = new Family<HistogramSeries>(
    { name: 'h', help: 'H.', type: 'histogram' },
    new SeriesBudget(1),
    (labels) => new HistogramSeries(labels),
  );
  const series = family.acquire({});
  for (const value of [0, 1, 1.01, 50, 70_000]) series.observe(value);
  const lines = samples(family);
  const wanted = { '1': 2, '2': 3, '40': 3, '50': 4, '50000': 4, '+Inf': 5 };
  for (const [le, count] of Object.entries(wanted)) assert.ok(lines.includes(`h_bucket{le="${le}"} ${count}`), le);
  assert.deepEqual(lines.slice(-2), ['h_sum 70052.01', 'h_count 5']);
});
