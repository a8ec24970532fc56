import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cookieValues, setsCookie } from './cookies.ts';

test('cookies of a name are found in every field, among others that look like them', () => {
  const lines =
    'GET / HTTP/1.1\r\nHost: web\r\nCookie: sid2=0; sid=1;xsid=2; SID=3\r\nx-cookie: sid=4\r\ncookie: a=sid=5; sid = 6 ;sid=\r\n';
  assert.deepEqual(cookieValues(lines, 'sid'), ['1', '6', '']);
  assert.deepEqual(cookieValues(lines, 'none'), []);
  assert.deepEqual(cookieValues('GET / HTTP/1.1\r\nHost: web\r\n', 'sid'), []);
});

test('whether a response sets a cookie does not depend on what its value and attributes say', () => {
  const lines = 'HTTP/1.1 200 OK\r\nSet-Cookie: a=1; sid=2, sid=3; Path=/\r\nset-cookie: other=4\r\n';
  assert.deepEqual(
    ['a', 'other', 'sid', 'Path', 'A'].map((name) => setsCookie(lines, name)),
    [true, true, false, false, false],
  );
});
