import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyError, type ProxyErrorCode } from '../errors.ts';
import { parseRequestHead, parseResponseHead } from './head.ts';

const request = (...lines: readonly string[]): string => lines.map((line) => `${line}\r\n`).join('');

test('a request keeps its bytes, but for what concerns one connection and what only proxies may say', () => {
  const head = parseRequestHead(
    request(
      'GET /a?b HTTP/1.1',
      'hOsT: web:80',
      'Connection: keep-alive, X-Hop',
      'Keep-Alive: timeout=5',
      'x-hop: 1',
      'X-Kept:  spaces \t',
      'L5d-Client-Id: forged',
      'proxy-connection: close',
      'Upgrade: h2c',
      'x-last: caf\xe9',
    ),
  );
  assert.equal(head.lines, request('GET /a?b HTTP/1.1', 'hOsT: web:80', 'X-Kept:  spaces \t', 'x-last: caf\xe9'));
  assert.deepEqual(
    [head.method, head.target, head.authority, head.body, head.isPersistent, head.upgrade],
    ['GET', '/a?b', 'web:80', 'none', true, undefined],
  );
});

test('a head without anything to remove is passed on as it is', () => {
  const text = request('POST / HTTP/1.1', 'Host: web', 'Content-Length: 5');
  const head = parseRequestHead(text);
  assert.equal(head.lines, text);
  assert.deepEqual([head.body, head.bodyBytes], ['length', 5]);
});

test('an upgrade is passed on when Connection names it, HTTP/2 never', () => {
  const upgrade = (value: string, connection: string): string | undefined =>
    parseRequestHead(request('GET / HTTP/1.1', 'Host: a', `Connection: ${connection}`, `Upgrade: ${value}`)).upgrade;
  assert.equal(upgrade('websocket', 'Upgrade'), 'websocket');
  assert.equal(upgrade('websocket', 'keep-alive'), undefined);
  assert.equal(upgrade('h2c', 'Upgrade, HTTP2-Settings'), undefined);
  assert.equal(upgrade('websocket, h2c', 'Upgrade'), undefined);
});

/** Heads that two readers could understand differently, and others that are simply wrong. */
const REFUSED: readonly (readonly [string, ProxyErrorCode, string])[] = [
  ['no host', 'client-malformed', request('GET / HTTP/1.1')],
  ['two hosts', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', 'Host: a')],
  ['two hosts in one', 'client-malformed', request('GET / HTTP/1.1', 'Host: a, b')],
  ['host with path', 'client-malformed', request('GET / HTTP/1.1', 'Host: a/b')],
  ['host with user', 'client-malformed', request('GET / HTTP/1.1', 'Host: u@a')],
  ['host unlike target', 'client-malformed', request('GET http://a/ HTTP/1.1', 'Host: b')],
  [
    'length and coding',
    'client-malformed',
    request('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
  ],
  [
    'coding and length',
    'client-malformed',
    request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', 'Content-Length: 5'),
  ],
  ['two lengths', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5', 'Content-Length: 5')],
  ['two lengths in one', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5, 5')],
  ['signed length', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length: +5')],
  ['hexadecimal length', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length: 0x5')],
  ['length with space', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5 5')],
  ['empty length', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length:')],
  ['huge length', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length: 99999999999999999999')],
  ['identity coding', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: identity')],
  ['coding with junk', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked;q=1')],
  ['quoted coding', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: "chunked"')],
  [
    'two codings',
    'client-malformed',
    request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
  ],
  [
    'coding last but chunked',
    'client-malformed',
    request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked, gzip'),
  ],
  [
    'compressed coding',
    'encoding-unsupported',
    request('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: gzip, chunked'),
  ],
  ['coding in HTTP/1.0', 'client-malformed', request('POST / HTTP/1.0', 'Transfer-Encoding: chunked')],
  ['space before colon', 'client-malformed', request('POST / HTTP/1.1', 'Host: a', 'Content-Length : 5')],
  ['space before name', 'client-malformed', request('GET / HTTP/1.1', ' Host: a')],
  ['folded field', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', 'x: 1', ' 2')],
  ['tab in name', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', 'x\t: 1')],
  ['empty name', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', ': 1')],
  ['no colon', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', 'x')],
  ['lone LF', 'client-malformed', 'GET / HTTP/1.1\r\nHost: a\nx: 1\r\n'],
  ['lone CR', 'client-malformed', 'GET / HTTP/1.1\r\nHost: a\rx: 1\r\n'],
  ['NUL', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', 'x: \0')],
  ['DEL', 'client-malformed', request('GET / HTTP/1.1', 'Host: a', 'x: \x7f')],
  ['space in target', 'client-malformed', request('GET /a b HTTP/1.1', 'Host: a')],
  ['two spaces', 'client-malformed', request('GET  / HTTP/1.1', 'Host: a')],
  ['tab in request line', 'client-malformed', request('GET\t/ HTTP/1.1', 'Host: a')],
  ['no version', 'client-malformed', request('GET /', 'Host: a')],
  ['trailing space', 'client-malformed', request('GET / HTTP/1.1 ', 'Host: a')],
  ['lower-case protocol', 'client-malformed', request('GET / http/1.1', 'Host: a')],
  ['relative target', 'client-malformed', request('GET a HTTP/1.1', 'Host: a')],
  ['star for GET', 'client-malformed', request('GET * HTTP/1.1', 'Host: a')],
  ['HTTP/2.0', 'version-unsupported', request('GET / HTTP/2.0', 'Host: a')],
  ['HTTP/1.2', 'version-unsupported', request('GET / HTTP/1.2', 'Host: a')],
  [
    'Connection names a length',
    'client-malformed',
    request('POST / HTTP/1.1', 'Host: a', 'Connection: content-length', 'Content-Length: 5'),
  ],
  [
    'Connection names a coding',
    'client-malformed',
    request('POST / HTTP/1.1', 'Host: a', 'Connection: Transfer-Encoding', 'Transfer-Encoding: chunked'),
  ],
  [
    'too many fields',
    'head-too-large',
    request('GET / HTTP/1.1', 'Host: a', ...Array.from({ length: 128 }, (_, n) => `x-${n}: 1`)),
  ],
];

for (const [name, code, text] of REFUSED) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => parseRequestHead(text),
      (error: unknown) => error instanceof ProxyError && error.code === code,
    );
  });
}

test('the body of a response is found by status, method and fields', () => {
  const body = (method: string, ...lines: readonly string[]): string =>
    parseResponseHead(request(...lines), method).body;
  assert.equal(body('GET', 'HTTP/1.1 200 OK', 'Content-Length: 3'), 'length');
  assert.equal(body('GET', 'HTTP/1.1 200 OK', 'Content-Length: 0'), 'none');
  assert.equal(body('GET', 'HTTP/1.1 200', 'Transfer-Encoding: CHUNKED'), 'chunked');
  assert.equal(body('GET', 'HTTP/1.1 200 '), 'close');
  assert.equal(body('HEAD', 'HTTP/1.1 200 OK', 'Content-Length: 3'), 'none');
  assert.equal(body('GET', 'HTTP/1.1 204 No Content'), 'none');
  assert.equal(body('GET', 'HTTP/1.1 304 Not Modified', 'Content-Length: 3'), 'none');
  assert.equal(body('CONNECT', 'HTTP/1.1 200 OK'), 'none');
});

test('a response that leaves its end in doubt is refused', () => {
  const refused = [
    request('HTTP/1.1 200 OK', 'Content-Length: 3', 'Transfer-Encoding: chunked'),
    request('HTTP/1.1 200 OK', 'Content-Length: 3', 'Content-Length: 4'),
    request('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip'),
    request('HTTP/2 200 OK'),
    request('HTTP/1.1 20 OK'),
    request('ICY 200 OK'),
    'HTTP/1.1 200 OK\nContent-Length: 3\r\n',
  ];
  for (const text of refused) {
    assert.throws(
      () => parseResponseHead(text, 'GET'),
      (error: unknown) => error instanceof ProxyError && error.code === 'server-malformed',
      text,
    );
  }
});

test('a response says how long its connection may be kept', () => {
  const head = parseResponseHead(
    request('HTTP/1.1 200 OK', 'Content-Length: 0', 'Keep-Alive: timeout=5, max=3'),
    'GET',
  );
  assert.equal(head.keepAliveMs, 5000);
  assert.equal(head.isPersistent, true);
  assert.equal(parseResponseHead(request('HTTP/1.0 200 OK', 'Content-Length: 0'), 'GET').isPersistent, false);
});
