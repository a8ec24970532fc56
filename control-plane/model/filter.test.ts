import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPlainPath } from './filter.ts';

test('a path that is put into requests has nothing that some applications read differently', () => {
  for (const path of ['', '/', '/a/b', '/a%20b', '/a;v=1', '/.well-known/x', '/a..b', '//a'])
    assert.ok(isPlainPath(path), path);
  const bad = ['/a?b', '/a#b', '/a b', '/a\r\nx: y', '/\xfc', '/a\\b', '/%zz', '/%', '/%00'];
  const dots = ['/..', '/a/../b', '/a/.', '/./a', '/a/%2e%2E/b', '/a%2f..%2fb', '/..;/a', '..'];
  for (const path of [...bad, ...dots]) assert.ok(!isPlainPath(path), path);
});
