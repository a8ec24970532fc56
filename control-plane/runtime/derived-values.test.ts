import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DerivedValues } from './derived-values.ts';

test('a value is shared, computed anew when touched, and forgotten when nobody uses it', () => {
  const source = { a: 1 };
  let computed = 0;
  const values = new DerivedValues<number>();
  const acquire = () => values.acquire('key', ['topic'], () => ((computed += 1), source.a));
  const first = acquire();
  const second = acquire();
  assert.equal(first.slot, second.slot);
  assert.equal(computed, 1);
  source.a = 2;
  for (let i = 0; i < 10; i += 1) values.touch('topic');
  values.touch('other');
  values.flush();
  assert.equal(first.slot.value, 2);
  assert.equal(computed, 2);
  values.touch('topic');
  values.flush();
  assert.equal(first.slot.version, 1, 'an equal result wakes nobody');
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(values.size, 1);
  second[Symbol.dispose]();
  assert.equal(values.size, 0);
});

test('who asks between a change and its computation sees the change', () => {
  let value = 1;
  const values = new DerivedValues<number>();
  values.acquire('key', ['topic'], () => value);
  value = 2;
  values.touchAll();
  assert.equal(values.acquire('key', ['topic'], () => value).slot.value, 2);
});
