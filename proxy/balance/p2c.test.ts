import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeakEwma } from './ewma.ts';
import { pickOfTwo, type Candidate } from './p2c.ts';

type Named = Candidate & { readonly name: string };
const candidate = (name: string, load: number, isReady = true): Named => ({
  name,
  load: () => load,
  isReady: () => isReady,
});

/** Answers these numbers in turn. */
function sequence(...numbers: readonly number[]): () => number {
  let at = 0;
  return () => numbers[at++ % numbers.length] ?? 0;
}

test('the less loaded of two different candidates is chosen', () => {
  const all = [candidate('a', 9), candidate('b', 1), candidate('c', 5)];
  assert.equal(pickOfTwo(all, undefined, 0, sequence(0, 0))?.name, 'b'); // a and b
  assert.equal(pickOfTwo(all, undefined, 0, sequence(0, 0.99))?.name, 'c'); // a and c
  assert.equal(pickOfTwo(all, undefined, 0, sequence(0.99, 0.99))?.name, 'b'); // c and b
});

test('every candidate is among the two with the same chance', () => {
  const counts = new Map<string, number>();
  const equal = ['a', 'b', 'c'].map((name) => candidate(name, 1));
  let state = 7;
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let n = 0; n < 9000; n += 1) {
    const { name } = pickOfTwo(equal, undefined, 0, random) ?? { name: '' };
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  for (const count of counts.values()) assert.ok(count > 2700 && count < 3300, JSON.stringify([...counts]));
});

test('a candidate that is not ready is chosen only when no other is', () => {
  const all = [candidate('down', 0, false), candidate('also down', 0, false), candidate('up', 100)];
  for (const numbers of [
    [0, 0],
    [0, 0.99],
    [0.99, 0],
  ]) {
    assert.equal(pickOfTwo(all, undefined, 0, sequence(...numbers))?.name, 'up');
  }
  assert.equal(pickOfTwo(all.slice(0, 2), undefined, 0, sequence(0, 0))?.name, 'down');
});

test('what has failed a request already is not chosen for it again', () => {
  const [a, b] = [candidate('a', 0), candidate('b', 9)];
  assert.equal(pickOfTwo([a, b], new Set([a]), 0, sequence(0, 0))?.name, 'b');
  assert.equal(pickOfTwo([a, b], new Set([a, b]), 0, sequence(0, 0)), undefined);
  assert.equal(pickOfTwo([a], new Set([a]), 0, sequence(0)), undefined);
  assert.equal(pickOfTwo([], undefined, 0, sequence(0)), undefined);
});

test('a slow response counts at once and fades without news', () => {
  const load = new PeakEwma(0);
  assert.equal(load.estimateMs(0), 30);
  load.observe(500, 0);
  assert.equal(load.estimateMs(0), 500);
  load.observe(10, 1000);
  const soon = load.estimateMs(1000);
  assert.ok(soon > 400 && soon < 500);
  assert.ok(load.estimateMs(60_000) < 10);
});
