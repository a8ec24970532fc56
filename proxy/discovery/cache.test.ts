import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cache, type CacheValue } from './cache.ts';

class Value implements CacheValue {
  readonly log: string[] = [];
  rest(): void {
    this.log.push('rest');
  }
  wake(): void {
    this.log.push('wake');
  }
  [Symbol.dispose](): void {
    this.log.push('dispose');
  }
}

function fixture(max: number): { cache: Cache<Value>; values: Map<string, Value>; at: (ms: number) => void } {
  let nowMs = 0;
  const values = new Map<string, Value>();
  const make = (key: string): Value => {
    const value = new Value();
    values.set(key, value);
    return value;
  };
  const cache = new Cache(make, { idleMs: 100, max, now: () => nowMs });
  return { cache, values, at: (ms) => void (nowMs = ms) };
}

test('a value rests when nobody has used it for the idle time, and wakes with what it knows', () => {
  const { cache, values, at } = fixture(10);
  const first = cache.acquire('a');
  const second = cache.acquire('a');
  assert.equal(first?.value, second?.value);
  at(1000);
  cache.sweep(() => {});
  first?.[Symbol.dispose]();
  first?.[Symbol.dispose](); // once counts
  at(2000);
  cache.sweep(() => {});
  assert.deepEqual(values.get('a')?.log, []);
  second?.[Symbol.dispose]();
  at(2050);
  cache.sweep(() => {});
  assert.deepEqual(values.get('a')?.log, []);
  at(2200);
  cache.sweep(() => {});
  cache.sweep(() => {});
  assert.deepEqual(values.get('a')?.log, ['rest']);
  assert.equal(cache.acquire('a')?.value, values.get('a'));
  assert.deepEqual(values.get('a')?.log, ['rest', 'wake']);
});

test('when it is full the value unused for longest goes, and what is in use stays', () => {
  const { cache, values, at } = fixture(2);
  cache.acquire('a')?.[Symbol.dispose]();
  at(1);
  const kept = cache.acquire('b');
  assert.ok(cache.acquire('c') !== undefined);
  assert.deepEqual(values.get('a')?.log, ['dispose']);
  assert.equal(cache.acquire('d'), undefined);
  kept?.[Symbol.dispose]();
  assert.ok(cache.acquire('d') !== undefined);
  assert.equal(cache.size, 2);
});
