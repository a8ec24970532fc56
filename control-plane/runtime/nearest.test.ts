import assert from 'node:assert/strict';
import { test } from 'node:test';
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
