import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyBook } from './latency-book.ts';
import { measure, type Options, type Result } from './measurement.ts';
import { endpointsMarker } from './markers.ts';
import { markerAddress } from './changes.ts';
import { formatJson, formatText, problemsOf } from './report.ts';

const SIZE = { services: 4, endpoints: 8, namespaces: 2 };

test('a small run: every change arrives at every stream that watches it', { timeout: 120_000 }, async () => {
  const options: Options = {
    size: SIZE,
    proxies: 4,
    targets: 2,
    rate: 40,
    seconds: 1,
    nodeFlags: [],
    progress: () => {},
  };
  const result = await measure(options);
  assert.equal(result.latency.lost, 0);
  assert.equal(result.streams, 4 * 8);
  assert.ok(result.latency.endpoints.count > 20 && result.latency.outbound.count > 0);
  assert.ok(result.memory.empty.heap > 1 && result.cpu.changes > 0 && result.coldStartMs > 0);
  assert.ok(result.loopDelay.max >= result.loopDelay.p99 && result.memory.peakRss >= result.memory.empty.rss);
  assert.match(formatText(result), /4 Services, 8 endpoints, 2 namespaces; 4 proxies with 32 streams/);
  assert.deepEqual((JSON.parse(formatJson(result)) as Result).latency, result.latency);
});

test('news of a later change answers for the earlier ones, and what nobody heard is lost', () => {
  const book = new LatencyBook({ size: SIZE, proxies: 2, targets: 2 });
  const change = { topic: 'outbound', service: 0 } as const;
  book.written({ ...change, marker: 100_001, atMs: 10 });
  book.written({ ...change, marker: 100_002, atMs: 20 });
  book.written({ ...change, marker: 100_003, atMs: 30 });
  assert.equal(book.pending, 3);
  book.arrived({ ...change, proxy: 0, marker: 100_002, atMs: 40 });
  book.arrived({ ...change, proxy: 0, marker: 100_001, atMs: 50 }); // older: nothing new
  const { outbound, lost } = book.summary();
  assert.deepEqual([outbound.count, outbound.max, lost], [2, 30, 1]);
});

test('a marker is found again in an address', () => {
  const endpoint = { address: markerAddress(123_456), port: 80, weight: 1, labels: {} };
  assert.equal(endpointsMarker({ kind: 'add', endpoints: [endpoint], labels: {} }), 123_456);
  assert.equal(endpointsMarker({ kind: 'none', exists: true }), undefined);
});

test('slow news and lost news are over the budget', () => {
  const latency = { count: 9, p50: 1, p99: 1_500, max: 2_000 };
  const result = { latency: { all: latency, endpoints: latency, outbound: latency, inbound: latency, lost: 2 } };
  assert.deepEqual(problemsOf(result as Result), [
    'p99 is 1500 ms, the budget is 1000 ms',
    '2 changes did not arrive at a stream that watches them',
  ]);
});
