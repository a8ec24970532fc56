import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeTransportHeader, encodeTransportHeader, TransportHeaderError } from './transport-header.ts';

const MAGIC = Buffer.from('transport.l5d.io/v1\r\n\r\n').toString('hex');

test('the header has the bytes that linkerd2-proxy sends', () => {
  const hex = (header: Parameters<typeof encodeTransportHeader>[0]): string =>
    encodeTransportHeader(header).toString('hex').slice(MAGIC.length);
  assert.equal(hex({ port: 8080, session: 'http2' }), '0000000708903f1a021200');
  assert.equal(hex({ port: 8080, session: 'http1' }), '0000000708903f1a020a00');
  assert.equal(hex({ port: 8080 }), '0000000308903f');
  const gateway = { port: 8080, name: 'web.default.svc.cluster.local', session: 'http2' } as const;
  assert.equal(hex(gateway), '0000002608903f121d7765622e64656661756c742e7376632e636c75737465722e6c6f63616c1a021200');
  const bytes = encodeTransportHeader(gateway);
  assert.deepEqual(decodeTransportHeader(bytes), { header: gateway, end: bytes.length });
});

test('a header that arrives byte by byte is the same header, and session bytes stay outside', () => {
  const bytes = Buffer.concat([encodeTransportHeader({ port: 80, session: 'http1' }), Buffer.from('GET /')]);
  const end = bytes.length - 5;
  for (let n = 0; n < end; n += 1) assert.equal(decodeTransportHeader(bytes.subarray(0, n)), undefined);
  assert.deepEqual(decodeTransportHeader(bytes), { header: { port: 80, session: 'http1' }, end });
});

test('bytes that are no header are refused', () => {
  const framed = (message: string): Buffer => {
    const body = Buffer.from(message, 'hex');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    return Buffer.concat([Buffer.from(MAGIC, 'hex'), length, body]);
  };
  const bad = [
    Buffer.from('GET / HTTP/1.1\r\n'),
    Buffer.concat([Buffer.from(MAGIC, 'hex'), Buffer.from('ffffffff', 'hex')]),
    framed(''), // no port
    framed('0800'), // port 0
    framed('08ffff7f'), // port above 65535
    framed('08'), // ends inside a number
    framed('08903f12ff01'), // ends inside the name
    framed('08903f1203612f62'), // a/b
    framed('08903f0b'), // group
  ];
  for (const bytes of bad)
    assert.throws(() => decodeTransportHeader(bytes), TransportHeaderError, bytes.toString('hex'));
});

test('unknown fields are skipped', () => {
  const bytes = encodeTransportHeader({ port: 8080 });
  const more = Buffer.concat([bytes, Buffer.from('2001', 'hex'), Buffer.from('2a0161', 'hex')]);
  more.writeUInt32BE(3 + 5, 23);
  assert.deepEqual(decodeTransportHeader(more)?.header, { port: 8080 });
});
