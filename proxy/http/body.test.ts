import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyError } from '../errors.ts';
import { BodyScanner } from './body.ts';

/** @returns bytes that belong to the body, or -1 when it is not complete */
function scanChunked(text: string, pieceBytes = text.length): number {
  const scanner = new BodyScanner('client-malformed');
  scanner.reset('chunked', 0);
  let taken = 0;
  for (let at = 0; at < text.length && !scanner.isDone; at += pieceBytes) {
    const piece = Buffer.from(text.slice(at, at + pieceBytes), 'latin1');
    taken += scanner.scan(piece, 0);
  }
  return scanner.isDone ? taken : -1;
}

const COMPLETE = [
  '0\r\n\r\n',
  '5\r\nhello\r\n0\r\n\r\n',
  'A\r\n0123456789\r\n00\r\n\r\n',
  '5;name=value\r\nhello\r\n0\r\n\r\n',
  '5;q="\xe9"\r\nhello\r\n0\r\nx-trailer: 1\r\ny: 2\r\n\r\n',
];

test('a chunked body ends where it ends, in whatever pieces it comes', () => {
  for (const text of COMPLETE) {
    for (let pieceBytes = 1; pieceBytes <= text.length; pieceBytes += 1) {
      assert.equal(scanChunked(`${text}GET / HTTP/1.1`, pieceBytes), text.length, `${text} in pieces of ${pieceBytes}`);
    }
    for (let length = 0; length < text.length; length += 1) assert.equal(scanChunked(text.slice(0, length)), -1);
  }
});

test('chunked framing that another reader may understand differently is refused', () => {
  const refused = [
    '\r\n',
    ' 5\r\nhello\r\n0\r\n\r\n',
    '5 \r\nhello\r\n0\r\n\r\n',
    '0x5\r\nhello\r\n0\r\n\r\n',
    '-1\r\n\r\n',
    'g\r\n',
    '5\nhello\r\n0\r\n\r\n',
    '5\r\nhello0\r\n\r\n',
    '5\r\nhello\n0\r\n\r\n',
    '5\r\nhello\r\r\n0\r\n\r\n',
    '5;a\nb\r\nhello\r\n0\r\n\r\n',
    '0\r\n folded: 1\r\n\r\n',
    '0\r\nx: 1\n\r\n',
    'ffffffffffffff\r\n',
    `5;${'x'.repeat(2000)}\r\n`,
    `0\r\n${'x: y\r\n'.repeat(5000)}\r\n`,
  ];
  for (const text of refused) {
    assert.throws(
      () => scanChunked(text),
      (error: unknown) => error instanceof ProxyError && error.code === 'client-malformed',
      JSON.stringify(text.slice(0, 40)),
    );
  }
});

test('a body of known length takes exactly that many bytes', () => {
  const scanner = new BodyScanner('server-malformed');
  scanner.reset('length', 5);
  assert.equal(scanner.scan(Buffer.from('abc'), 0), 3);
  assert.equal(scanner.isDone, false);
  assert.equal(scanner.scan(Buffer.from('xxdefg'), 2), 4);
  assert.equal(scanner.isDone, true);
  scanner.reset('none', 0);
  assert.equal(scanner.scan(Buffer.from('abc'), 1), 1);
  scanner.reset('close', 0);
  assert.equal(scanner.scan(Buffer.from('abc'), 0), 3);
  assert.equal(scanner.isUntilClose, true);
});
