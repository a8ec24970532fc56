import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Watch } from './watch.ts';

test('a reader sees the latest value and not those in between', () => {
  const slot = new Watch('a');
  let wakes = 0;
  const reader = slot.subscribe(() => (wakes += 1));
  slot.set('b');
  slot.set('c');
  assert.equal(slot.value, 'c');
  assert.equal(slot.version, 2);
  assert.equal(wakes, 2);
  reader[Symbol.dispose]();
  slot.set('d');
  assert.equal(wakes, 2);
  assert.equal(slot.readerCount, 0);
});

test('a reader may leave while it is woken', () => {
  const slot = new Watch(0);
  const woken: string[] = [];
  const first = slot.subscribe(() => {
    woken.push('first');
    first[Symbol.dispose]();
  });
  slot.subscribe(() => woken.push('second'));
  slot.set(1);
  slot.set(2);
  assert.deepEqual(woken, ['first', 'second', 'second']);
});
