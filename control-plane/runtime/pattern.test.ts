import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pattern, PatternError, Patterns } from './pattern.ts';

test('a pattern is held against the whole text', () => {
  for (const [source, yes, no] of [
    ['/api/v[0-9]+/.*', '/api/v1/x', '/api/vx/x'],
    ['(?i)beta', 'BETA', 'beta2'],
    ['a|b', 'b', 'ab'],
    ['/(?P<id>\\d{1,3})', '/123', '/1234'],
    ['é.', 'é😀', 'é'],
  ] as const) {
    assert.equal(new Pattern(source).matches(yes), true, source);
    assert.equal(new Pattern(source).matches(no), false, source);
  }
});

test('patterns that take a backtracking engine forever are answered', () => {
  const text = 'a'.repeat(8000);
  for (const source of ['(a+)+b', '(a|aa)*b', '(a*)*b', '(.*)(.*)(.*)(.*)(.*)b']) {
    assert.equal(new Pattern(source).matches(text), false, source);
  }
});

test('what cannot be matched in linear time is refused, with the reason', () => {
  for (const [source, reason] of [
    ['(', /"\(" is not a regular expression: missing closing \)/],
    ['(?=a)a', /invalid or unsupported Perl syntax: `\(\?=`/],
    ['(a)\\1', /invalid escape sequence: `\\1`/],
    ['a{1001}', /invalid repeat count/],
    ['a'.repeat(1025), /longer than 1024 characters/],
  ] as const) {
    assert.throws(
      () => new Pattern(source),
      (error) => error instanceof PatternError && reason.test(error.message),
    );
  }
});

test('patterns by their text: bad ones match nothing, and more than are kept still work', () => {
  const { matches } = new Patterns(2);
  for (let round = 0; round < 2; round += 1) {
    for (const text of ['a', 'b', 'c']) assert.equal(matches(`${text}+`, text), true);
    assert.equal(matches('(', '('), false);
  }
});
