import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { Family, HistogramSeries, Series, SeriesBudget } from './family.ts';

const counter = (budget: SeriesBudget): Family =>
  new Family({ name: 'a_total', help: 'A.', type: 'counter' }, budget, (labels) => new Series(labels));

test('series with different label names are printed in one family', async () => {
  const registry = new Registry();
  const family = counter(new SeriesBudget(10));
  registry.registerMetric(family.asMetric());
  family.acquire({ a: '1' }).value += 2;
  family.acquire({ b: 'x"y\n', a: '1' }).value += 1;
  family.acquire({ a: '1' }).value += 1;
  assert.equal(
    (await registry.metrics()).trim(),
    '# HELP a_total A.\n# TYPE a_total counter\na_total{a="1"} 3\na_total{b="x\\"y\\n",a="1"} 1',
  );
});

test('beyond the budget new label sets share one series', async () => {
  const family = counter(new SeriesBudget(2));
  for (let n = 0; n < 10; n += 1) family.acquire({ n: String(n) }).value += 1;
  const { values } = await family.get();
  assert.deepEqual(
    values.map(({ labels, value }) => [labels, value]),
    [
      [{ n: '0' }, 1],
      [{ n: '1' }, 1],
      [{ overflow: 'true' }, 8],
    ],
  );
});

test('a series that nobody uses is forgotten after the retention time and gives its place back', async () => {
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
  assert.deepEqual((await family.get()).values, []);
});

test('a histogram counts into the first bucket that is not smaller', async () => {
  const family = new Family<HistogramSeries>(
    { name: 'h', help: 'H.', type: 'histogram' },
    new SeriesBudget(1),
    (labels) => new HistogramSeries(labels),
  );
  const series = family.acquire({});
  for (const value of [0, 1, 1.01, 50, 70_000]) series.observe(value);
  const { values } = await family.get();
  const bucket = (le: string): number | undefined => values.find(({ labels }) => labels['le'] === le)?.value;
  assert.deepEqual(
    [bucket('1'), bucket('2'), bucket('40'), bucket('50'), bucket('50000'), bucket('+Inf')],
    [2, 3, 3, 4, 4, 5],
  );
  assert.equal(values.find(({ metricName }) => metricName === 'h_count')?.value, 5);
});
