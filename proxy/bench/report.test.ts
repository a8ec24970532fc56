import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOADS, summary } from './load.ts';
import { cpuMicros, median, memoryOf, quantile } from './measure.ts';
import { formatIdle, formatLoad, formatStartUps, type Row } from './report.ts';

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

function row(pair: string, round: number, perSecond: number, cpu: number): Row {
  return {
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
  };
}

test('ratios are to the pair of haproxy, from medians over the rounds', () => {
  const [small] = LOADS.filter(({ name }) => name === 'small');
  assert.ok(small);
  const rows = [
    ...[90, 100, 1000].map((rate, round) => row('haproxy-h1', round, rate, 40)),
    ...[140, 150, 160].map((rate, round) => row('tulle', round, rate, 30)),
  ];
  const report = formatLoad(small, rows);
  assert.match(report, /haproxy-h1 +90\.0\/100\/1000 +1\.00 .* 40\.0\+40\.0 +1\.00/);
  assert.match(report, /tulle +140\/150\/160 +1\.50 .* 30\.0\+30\.0 +0\.75/);
});

test('at a fixed rate, what a pair adds to the latency without one, and the ratio of that to nginx', () => {
  const [fixed] = LOADS.filter(({ name }) => name === 'rate-500');
  assert.ok(fixed);
  const rows = Object.entries({ direct: 100, nginx: 500, tulle: 400 }).map(([pair, p50]) => ({
    ...row(pair, 0, 500, 10),
    load: fixed.name,
    p50,
  }));
  const report = formatLoad(fixed, rows);
  assert.match(report, /failed +added p50 µs +x\n/);
  assert.match(report, /nginx .* 0 +400 +1\.00\n/);
  assert.match(report, /tulle .* 0 +300 +0\.75\n/);
  const withoutDirect = formatLoad(fixed, rows.slice(1));
  assert.doesNotMatch(withoutDirect, /NaN/);
});

test('what each 1,000 idle connections cost, and how long a start takes', () => {
  const memory = (uss: number) => ({ rss: uss + 40, pss: uss + 10, uss });
  const idle = formatIdle([{ pair: 'tulle', connections: 10_000, before: memory(15), after: memory(75) }]);
  assert.match(idle, /tulle +10000 +55\.0\/25\.0\/15\.0 +115\/85\.0\/75\.0 +6\.00\n/);
  const starts = formatStartUps([
    { pair: 'nginx', listening: 12, ready: undefined, answered: 20.04 },
    { pair: 'tulle', listening: 80, ready: 120, answered: 130 },
  ]);
  assert.match(starts, /nginx +12\.0 +20\.0\n +tulle +80\.0 +120 +130\n/);
});
