import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePattern } from './re2.ts';

test('RE2 patterns match as they do in Go', () => {
  const cases: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
    ['^a+$', 'aaa', true],
    ['(?i)^abc$', 'ABC', true],
    ['^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_]+)*$', 'Foo.Bar', true],
    ['a(?i)b|c', 'C', true],
    ['a(?i)b|c', 'A', false],
    ['x(a(?i)b)c', 'xaBc', true],
    ['x(a(?i)b)c', 'xaBC', false],
    ['(?s).+', '\n', true],
    ['^[[:alpha:]_-]+$', 'a_b-c', true],
    ['^[^[:space:]]+$', 'a b', false],
    ['\\Aab\\z', 'ab', true],
    ['\\Aab\\z', 'ab\n', false],
    ['(?P<year>\\d{4})-\\d\\d', '2026-01', true],
    ['^\\p{Lu}\\x{e9}$', 'Xé', true],
    ['^[\\]a]+$', 'a]', true],
    ['^[]a]+$', 'a', true],
    ['^(?:(?i)x)y$', 'Xy', true],
    ['^$|^[a-z]+$', '', true],
  ];
  for (const [pattern, text, matches] of cases) assert.equal(compilePattern(pattern)?.test(text), matches, pattern);
});

test('what is no pattern is told apart', () => {
  for (const pattern of ['(', '[a', 'a)', '*a', '(?U)a+']) assert.equal(compilePattern(pattern), undefined, pattern);
});
