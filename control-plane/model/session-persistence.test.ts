import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Patterns } from '#runtime/pattern.ts';
import type { HttpMatch, PathMatch, RequestHead } from './match.ts';
import { cookiePath, isCookiePath, isSessionName } from './session-persistence.ts';

const PATTERNS = new Patterns(32);

function get(path: string): RequestHead {
  const rest = { query: '', host: 'web', header: () => undefined, matchesPattern: PATTERNS.matches };
  return { method: 'GET', path, ...rest };
}

function match(path: PathMatch): HttpMatch {
  return { path, headers: [], queryParams: [] };
}

test('a cookie has the path of the match, of a regular expression what is none of it', () => {
  const cases: readonly (readonly [kind: PathMatch['kind'], match: string, asked: string, path: string])[] = [
    ['prefix', '/', '/any', '/'],
    ['prefix', '/shop', '/shop/cart', '/shop'],
    ['exact', '/login', '/login', '/login'],
    ['prefix', '/a/b;c', '/a/b;c', '/a'],
    ['regex', '/p1/p2/.*/p3', '/p1/p2/foo/p3', '/p1/p2'],
    ['regex', '/p1/p2/[a-z]+', '/p1/p2/foo', '/p1/p2'],
    ['regex', '/p1/p2.*', '/p1/p2x', '/p1'],
    ['regex', '/api/(v1|v2)/x', '/api/v2/x', '/api'],
    ['regex', '/a|/b', '/b', '/'],
    ['regex', '/x(a)|/b', '/b', '/'],
    ['regex', '/a/b?c', '/a/c', '/a'],
    ['regex', '/a/?b', '/ab', '/'],
    ['regex', '/a/b', '/a/b', '/a/b'],
    ['regex', '(?i)/a/b', '/A/b', '/'],
    ['regex', '.*', '/any', '/'],
  ];
  for (const [kind, text, asked, path] of cases) {
    const one: PathMatch = kind === 'regex' ? { kind, pattern: text } : { kind, value: text };
    assert.equal(cookiePath([match(one)], get(asked)), path, `${kind} ${text}`);
  }
  assert.equal(cookiePath([], get('/any')), '/');
  assert.equal(cookiePath([{ headers: [], queryParams: [] }], get('/any')), '/');
});

test('of several matches the one that a request has come by says the path', () => {
  const matches = ['/a', '/a/b', '/c'].map((value) => match({ kind: 'prefix', value }));
  assert.deepEqual(
    ['/a/x', '/a/b/x', '/c'].map((path) => cookiePath(matches, get(path))),
    ['/a', '/a/b', '/c'],
  );
});

test('names and paths cannot end what they are part of', () => {
  for (const name of ['sid', 'JSESSIONID', '__a.b-c']) assert.ok(isSessionName(name), name);
  for (const name of ['', 'a b', 'a=b', 'a;b', 'a\r\nb', 'a"', 'ä', 'x'.repeat(129)])
    assert.ok(!isSessionName(name), name);
  for (const path of ['/', '/a/b', '/a,b']) assert.ok(isCookiePath(path), path);
  for (const path of ['', 'a', '/a;b', '/a\r\nb', '/ä']) assert.ok(!isCookiePath(path), path);
});
