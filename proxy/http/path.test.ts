import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyError } from '../errors.ts';
import { foldedPath, normalTarget } from './path.ts';

test('a target has one form: needless escapes are undone, dot segments resolved, all else stays', () => {
  for (const [asked, normal] of [
    ['/', '/'],
    ['/a/b?c=d', '/a/b?c=d'],
    ['/.well-known/x', '/.well-known/x'],
    ['/...', '/...'],
    ['/a//b', '/a//b'],
    ['/a%2Fb%2fc', '/a%2Fb%2fc'],
    ['/caf%C3%A9', '/caf%C3%A9'],
    ['/%41%7e%5F%2d', '/A~_-'],
    ['/a/../b', '/b'],
    ['/a/%2e%2E/b', '/b'],
    ['/a/.%2e', '/'],
    ['/a/./b/.', '/a/b/'],
    ['/../../b', '/b'],
    ['/a//../b', '/a/b'],
    ['/a?b=/../%41%zz\\', '/a?b=/../%41%zz\\'],
    ['http://web/a/../b?c', 'http://web/b?c'],
    ['http://web?a=%41', 'http://web?a=%41'],
    ['web:80', 'web:80'],
    ['*', '*'],
  ] as const) {
    assert.equal(normalTarget(asked), normal, asked);
    assert.equal(normalTarget(normal), normal, `${asked} twice`);
  }
});

test('a target that applications understand differently is refused', () => {
  for (const target of [
    '/a#b',
    '/a?b#c',
    '/a\\..\\b',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a%00',
    '/a/..%2fb',
    '/a/..%5Cb',
    '/a%2f..',
    '/a%2F../b',
    '/a%2f.%2fb',
    '/a/..;/b',
    '/a/..;x=1',
    'http://web/a\\b',
  ]) {
    assert.throws(
      () => normalTarget(target),
      (error: unknown) => error instanceof ProxyError && error.code === 'client-malformed',
      target,
    );
  }
});

test('for authorization a path is what the most lenient application makes of it', () => {
  for (const [path, folded] of [
    ['/a/b', '/a/b'],
    ['//a///b', '/a/b'],
    ['/a%2fb%5Cc', '/a/b/c'],
    ['/%2Fa', '/a'],
    ['/a;x=1/b;y', '/a/b'],
    ['/a%20b', '/a%20b'],
  ] as const)
    assert.equal(foldedPath(path), folded, path);
});
