import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { parseClientHello } from './client-hello.ts';
import { detectProtocol, pauseMs } from './detect.ts';

const detect = (text: string): string => detectProtocol(Buffer.from(text, 'latin1'));

test('an HTTP/1 request is told by its first line, however it arrives', () => {
  const line = 'GET /a?b HTTP/1.1\r\n';
  for (let length = 1; length < line.length; length += 1)
    assert.equal(detect(line.slice(0, length)), 'unknown', line.slice(0, length));
  assert.equal(detect(line), 'http1');
  assert.equal(detect('PURGE * HTTP/1.0\r\nHost'), 'http1');
  assert.equal(detect('\r\nGET / HTTP/1.1\r\n'), 'http1');
  assert.equal(detect('GET / HTTP/1.1\n'), 'http1'); // the parser says what is wrong with it
  assert.equal(detect(`GET /${'a'.repeat(9000)}`), 'http1'); // a long target meets the head limits there
});

test('what some server takes for a request does not pass as other bytes', () => {
  for (const text of [
    '\r\n\r\nGET / HTTP/1.1\r\n',
    '\n\nGET / HTTP/1.1\r\n',
    ' GET / HTTP/1.1\r\n',
    'GET  / HTTP/1.1\r\n',
    'GET\t/\tHTTP/1.1\r\n',
    'GET\x0c/\x1cHTTP/1.1\r\n',
    'get / http/1.1 \r\n',
    'GET /a b HTTP/1.10\r\n',
    'GET /caf\xe9 HTTP/1.1\n',
  ]) {
    assert.equal(detect(text), 'http1', text);
    for (let length = 1; length < text.length - 2; length += 1)
      assert.equal(detect(text.slice(0, length)), 'unknown', text.slice(0, length));
  }
});

test('text protocols whose lines look alike are not HTTP', () => {
  for (const text of [
    'PING\r\n',
    'GET key\r\n',
    'get key\r\n',
    'SET a b\r\n',
    'USER anonymous\r\n',
    'HELO example.org\r\n',
  ]) {
    assert.equal(detect(text), 'opaque', text);
  }
  for (const text of ['*1\r\n$4\r\nPING\r\n', '\x16\x03\x01', '\0\0\0\x08', '{"a":1}']) {
    assert.equal(detect(text), 'opaque', text);
  }
});

test('a silence decides sooner the less the bytes before it look like a request', () => {
  const pause = (text: string): number => pauseMs(Buffer.from(text, 'latin1'));
  for (const text of [
    'GET /',
    'GET /a HTT',
    '\r\nPOST /',
    'purge /x',
    'OPTIONS *',
    'GET http://a',
    'CONNECT a',
    'PRI * HTTP/2.0\r\n',
  ])
    assert.equal(pause(text), Number.POSITIVE_INFINITY, text);
  for (const text of ['G', 'GET', 'GET ', 'P', 'PRI', '\r', '\r\n', 'DEL']) assert.equal(pause(text), 1000, text);
  for (const text of ['HELLO', 'hello', 'get', 'GET key', 'PING', 'S', 'GETS']) assert.equal(pause(text), 100, text);
});

test('HTTP/2 is told by its whole preface', () => {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  for (let length = 1; length < preface.length; length += 1) assert.equal(detect(preface.slice(0, length)), 'unknown');
  assert.equal(detect(preface), 'http2');
});

test('the server name of a real ClientHello is found as soon as it is complete', async () => {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', servername: 'Web.shop.example' });
  client.on('error', () => {});
  const [socket] = (await once(listener, 'connection')) as [Socket];
  const chunks: Uint8Array[] = [];
  while (parseClientHello(Buffer.concat(chunks)).kind !== 'hello')
    chunks.push(((await once(socket, 'data')) as [Buffer])[0]);
  const bytes = Buffer.concat(chunks);
  client.destroy();
  socket.destroy();
  listener.close();
  assert.deepEqual(parseClientHello(bytes), { kind: 'hello', serverName: 'web.shop.example' });
  for (const length of [0, 1, 5, 6, 100, bytes.length - 1]) {
    assert.equal(parseClientHello(bytes.subarray(0, length)).kind, 'incomplete');
  }
  assert.equal(parseClientHello(Buffer.from('GET / HTTP/1.1\r\n')).kind, 'none');
});
