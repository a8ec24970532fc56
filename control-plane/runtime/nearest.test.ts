import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../test/harness/random.ts';
import { nearest } from './nearest.ts';

const commands = ['install', 'inject', 'check', 'viz stat', 'viz edges'];

test('a mistyped word finds the one that was meant', () => {
  for (const [typed, meant] of [
    ['instal', 'install'],
    ['injcet', 'inject'],
    ['chekc', 'check'],
    ['viz stats', 'viz stat'],
  ] as const)
    assert.equal(nearest(typed, commands), meant);
});

test('a word that is like none finds nothing', () => {
  for (const typed of ['frobnicate', '', 'x', 'ab']) assert.equal(nearest(typed, commands), undefined);
});

/** By its definition. */
function distance(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  if (a[0] === b[0]) return distance(a.slice(1), b.slice(1));
  return 1 + Math.min(distance(a.slice(1), b), distance(a, b.slice(1)), distance(a.slice(1), b.slice(1)));
}

test('a word is found exactly when it is near enough, whatever is wrong with it', () => {
  const random = seededRandom(3);
  const word = (): string =>
    Array.from({ length: 1 + Math.floor(random() * 7) }, () => 'ab'[Math.floor(random() * 2)]).join('');
  const seen = new Set<boolean>();
  for (let nth = 0; nth < 1000; nth += 1) {
    const [typed, known] = [word(), word()];
    const isNear = distance(typed, known) <= Math.min(3, Math.max(1, Math.floor(typed.length / 2)));
    assert.equal(nearest(typed, [known]), isNear ? known : undefined, `${typed} ${known}`);
    seen.add(isNear);
  }
  assert.equal(seen.size, 2);
});

test('a word that is much too long costs nothing', () => {
  // All of its table would be 4 G entries.
  assert.equal(nearest('x'.repeat(2 ** 26), ['x'.repeat(64)]), undefined);
});
