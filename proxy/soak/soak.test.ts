import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters, parseMetrics } from './counters.ts';
import { excuseOf, type Fault } from './faults.ts';
import { growthOf, type Holding } from './growth.ts';
import { Starvation } from './starvation.ts';
import { eventually } from '../testing/mesh.ts';

test('counters go on where a forgotten series comes back from 0', () => {
  const counters = new Counters();
  for (const text of [
    '# TYPE request_total counter\nrequest_total{pod="a",status="200"} 5\nrequest_total{pod="b",status="200"} 7\n',
    'request_total{pod="b",status="200"} 8\n',
    'request_total{pod="a",status="200"} 5\nrequest_total{pod="b",status="200"} 8\nopen_connections 3\n',
  ])
    counters.add(parseMetrics(text));
  assert.equal(counters.sum('request_total'), 18);
  assert.equal(counters.sum('request_total', { pod: 'a' }), 10);
  assert.equal(counters.sum('open_connections'), 0, 'a gauge is none');
});

test('a failure is excused by a fault that was there at the time and can have that effect', () => {
  const faults: Fault[] = [
    { kind: 'control-plane', fromMs: 1_000, untilMs: 9_000 },
    { kind: 'stall', fromMs: 20_000, untilMs: 23_000 },
  ];
  assert.equal(excuseOf('proxy:request-timeout', { startMs: 22_000, endMs: 25_000 }, faults), 'stall');
  assert.equal(excuseOf('proxy:request-timeout', { startMs: 25_000, endMs: 28_000 }, faults), undefined, 'too late');
  assert.equal(excuseOf('proxy:request-timeout', { startMs: 16_000, endMs: 19_000 }, faults), undefined, 'too early');
  assert.equal(excuseOf('cut', { startMs: 22_000, endMs: 22_100 }, faults), undefined, 'not an effect of it');
  assert.equal(excuseOf('proxy:no-endpoint', { startMs: 2_000, endMs: 3_000 }, faults), undefined);
  const starved: Fault[] = [{ kind: 'starved', fromMs: 40_000, untilMs: 42_000 }];
  assert.equal(excuseOf('late', { startMs: 41_000, endMs: 56_000 }, starved), 'starved');
  assert.equal(excuseOf('wrong', { startMs: 41_000, endMs: 56_000 }, starved), undefined);
  for (const never of ['wrong', 'late', 'status'] as const)
    assert.equal(excuseOf(never, { startMs: 0, endMs: 30_000 }, faults), undefined);
});

test('growth is told by the medians of the first and the last third', () => {
  const holding = (heap: number, descriptors: number): Holding => ({
    resident: 100,
    private: 50,
    heap,
    buffers: 5,
    descriptors,
  });
  const steady = [10, 30, 10, 11, 9, 10, 10, 9, 10].map((heap) => holding(heap, 50));
  assert.deepEqual(
    growthOf(steady).filter(({ isBeyond }) => isBeyond),
    [],
  );
  const growing = Array.from({ length: 9 }, (_, index) => holding(10 + index * 0.3, 50 + index * 5));
  assert.deepEqual(
    growthOf(growing)
      .filter(({ isBeyond }) => isBeyond)
      .map(({ what, first, last }) => [what, first, last]),
    [
      ['heap', 10.3, 12.1],
      ['descriptors', 55, 85],
    ],
  );
});

test('a process that gets no time for long notices', async () => {
  using starvation = new Starvation();
  const fromMs = performance.now();
  while (performance.now() < fromMs + 1_400); // nothing else runs meanwhile
  await eventually(() => starvation.faults.length > 0, 'it is noticed');
  const [fault] = starvation.faults;
  assert.ok(fault !== undefined && fault.untilMs - fault.fromMs > 1_000 && fault.untilMs >= fromMs + 1_400);
});
