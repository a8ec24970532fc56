import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sample } from './exposition.ts';
import { MetricsStore } from './store.ts';

const limits = { retentionMs: 600_000, maxSeriesPerPod: 100, maxSeries: 1000 };
const sample = (value: number, name = 'c', labels: Record<string, string> = {}): Sample => ({
  name,
  labels,
  key: `${name}${JSON.stringify(labels)}`,
  value,
});
const all = (): boolean => true;

function increaseOf(store: MetricsStore, nowMs: number, windowMs: number): number {
  return [...store.view('p', nowMs, windowMs, all)].reduce((sum, series) => sum + series.increase, 0);
}

test('an increase is the growth within the window, with the sample before it as the baseline', () => {
  const store = new MetricsStore(limits);
  for (const [second, value] of [
    [0, 100],
    [10, 110],
    [20, 130],
    [30, 160],
  ] as const)
    store.ingest('p', second * 1000, -1e9, [sample(value)]);
  assert.equal(increaseOf(store, 30_000, 20_000), 50);
  assert.equal(increaseOf(store, 30_000, 15_000), 50); // from the sample at 10 s, just before the window opened
  assert.equal(increaseOf(store, 30_000, 600_000), 60);
});

test('what a process counted before it was first scraped counts when it started within reach', () => {
  const store = new MetricsStore(limits);
  store.ingest('p', 10_000, 5_000, [sample(40)]);
  assert.equal(increaseOf(store, 10_000, 60_000), 40);
  const old = new MetricsStore(limits);
  old.ingest('p', 10_000, -10_000_000, [sample(40)]);
  assert.equal(increaseOf(old, 10_000, 60_000), 0);
});

test('a proxy that is older than the window does not bring its whole life into it when it is first scraped', () => {
  const store = new MetricsStore(limits);
  store.ingest('p', 330_000, 0, [sample(3700)]); // 11 a second for 5.5 minutes, and metrics-api is new
  assert.equal(increaseOf(store, 330_000, 60_000), 0);
  store.ingest('p', 340_000, 0, [sample(3810)]);
  assert.equal(increaseOf(store, 340_000, 60_000), 110);
  assert.equal(store.coveredMs('p', 340_000, 60_000), 10_000);
  assert.equal(increaseOf(store, 340_000, 400_000), 3810);
  assert.equal(store.coveredMs('p', 340_000, 400_000), 340_000);
});

test('a series that appears between two scrapes counted from zero', () => {
  const store = new MetricsStore(limits);
  store.ingest('p', 0, -1e9, []);
  store.ingest('p', 10_000, -1e9, [sample(3)]);
  assert.equal(increaseOf(store, 10_000, 60_000), 3);
});

test('a restarted process begins again and its first counts are not negative', () => {
  const store = new MetricsStore(limits);
  store.ingest('p', 0, -1e9, [sample(1000)]);
  store.ingest('p', 10_000, 5_000, [sample(7)]);
  assert.equal(increaseOf(store, 10_000, 60_000), 7);
});

test('a gauge that is no longer reported is gone', () => {
  const store = new MetricsStore(limits);
  store.ingest('p', 0, -1e9, [sample(5, 'g')]);
  assert.equal([...store.view('p', 0, 60_000, all)][0]?.last, 5);
  store.ingest('p', 10_000, -1e9, []);
  assert.equal([...store.view('p', 10_000, 60_000, all)][0]?.last, 0);
});

test('the limits hold and what is over them is counted', () => {
  const store = new MetricsStore({ retentionMs: 60_000, maxSeriesPerPod: 3, maxSeries: 4 });
  const many = Array.from({ length: 5 }, (_, index) => sample(1, 'c', { i: String(index) }));
  store.ingest('p', 0, -1e9, many);
  store.ingest('q', 0, -1e9, many);
  assert.equal(store.seriesCount, 4);
  assert.equal(store.droppedCount, 6);
  store.forget('p');
  assert.equal(store.seriesCount, 1);
});

test('memory does not grow with time', () => {
  const store = new MetricsStore({ ...limits, retentionMs: 30_000 });
  for (let second = 0; second < 3600; second += 5) store.ingest('p', second * 1000, -1e9, [sample(second)]);
  assert.equal(increaseOf(store, 3_595_000, 30_000), 30);
  store.ingest('p', 3_700_000, -1e9, []);
  assert.equal(store.seriesCount, 0);
});

test('coverage is the part of the window that is known', () => {
  const store = new MetricsStore(limits);
  assert.equal(store.coveredMs('p', 10_000, 60_000), 0);
  store.ingest('p', 10_000, 4_000, []);
  assert.equal(store.coveredMs('p', 10_000, 60_000), 6_000);
  store.ingest('p', 100_000, 4_000, []);
  assert.equal(store.coveredMs('p', 100_000, 60_000), 60_000);
});
