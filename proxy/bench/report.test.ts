import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOADS, summary } from './load.ts';
import { cpuMicros, median, memoryOf, quantile } from './measure.ts';
import { formatReport, type Row } from './report.ts';

test('the log of h2load becomes rates and latencies; what did not answer 200 counts as failed', () => {
  const lines = Array.from({ length: 1000 }, (_, index) => `1700000000000000\t200\t${index + 1}\n`);
  const sample = summary(`${lines.join('')}1700000000000000\t503\t7\n1700000000000000\t-1\t9\n`, 2);
  assert.deepEqual(sample, { requests: 1000, failed: 2, perSecond: 500, p50: 501, p99: 991, p999: 1000 });
});

test('quantiles', () => {
  assert.equal(quantile([1, 2, 3, 4], 0.99), 4);
  assert.equal(median([3, 1, 2]), 2);
  assert.ok(Number.isNaN(median([])));
});

test('CPU time and memory of a process are read', () => {
  const before = cpuMicros([process.pid]);
  for (let spin = 0; spin < 2e7; spin += 1) Math.sqrt(spin);
  assert.ok(cpuMicros([process.pid]) > before);
  const { rss, pss, uss } = memoryOf([process.pid]);
  assert.ok(rss >= pss && pss >= uss && uss > 1);
});

test('ratios are to the pair of haproxy, from medians over the rounds', () => {
  const [small] = LOADS.filter(({ name }) => name === 'small');
  assert.ok(small);
  const row = (pair: string, round: number, perSecond: number, cpu: number): Row => ({
    pair,
    load: 'small',
    round,
    requests: perSecond,
    failed: 0,
    perSecond,
    p50: 10,
    p99: 20,
    p999: 30,
    cpuOut: cpu,
    cpuIn: cpu,
  });
  const rows = [
    ...[90, 100, 1000].map((rate, round) => row('haproxy-h1', round, rate, 40)),
    ...[140, 150, 160].map((rate, round) => row('tulle', round, rate, 30)),
  ];
  const report = formatReport([small], rows, []);
  assert.match(report, /haproxy-h1 +90\.0\/100\/1000 +1\.00 .* 40\.0\+40\.0 +1\.00/);
  assert.match(report, /tulle +140\/150\/160 +1\.50 .* 30\.0\+30\.0 +0\.75/);
});
