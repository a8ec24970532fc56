import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Flag, Frame } from '../http2/frames.ts';
import { eventually, exchange, identityOf, listen, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import { block, frame, get, RawHttp2, SETTINGS, uint32, type ReceivedFrame } from '../testing/raw-http2.ts';
import type { Proxy } from '../proxy.ts';

const FRAMES_MAX = 10_000;
const BYTES_MAX = 256 * 1024;
const MIB = 1024 * 1024;

const REQUEST = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'web'],
  [':path', '/'],
] as const;
const open = (id: number): Buffer => frame(Frame.HEADERS, Flag.END_HEADERS, id, block(REQUEST));
const setting = (key: number, value: number): Buffer => {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(key);
  bytes.writeUInt32BE(value, 2);
  return bytes;
};

/** What a client repeats. `n` counts from 0; several frames at a time are one step. */
type Flood = { readonly name: string; readonly first?: Buffer; readonly step: (n: number) => readonly Buffer[] };

const FLOODS: readonly Flood[] = [
  {
    name: 'requests and their resets',
    step: (n) => [get(2 * n + 1), frame(Frame.RST_STREAM, 0, 2 * n + 1, uint32(8))],
  },
  {
    name: 'requests that the server has to reset, by a window',
    step: (n) => [open(2 * n + 1), frame(Frame.WINDOW_UPDATE, 0, 2 * n + 1, uint32(2 ** 31 - 1))],
  },
  {
    name: 'requests that the server has to reset, by DATA behind their end',
    step: (n) => [get(2 * n + 1), frame(Frame.DATA, Flag.END_STREAM, 2 * n + 1, Buffer.alloc(1))],
  },
  {
    name: 'malformed requests',
    step: (n) => [get(2 * n + 1, '/', [['connection', 'close']])],
  },
  {
    name: 'CONTINUATION',
    first: frame(Frame.HEADERS, 0, 1, block(REQUEST)),
    step: () => [frame(Frame.CONTINUATION, 0, 1)],
  },
  { name: 'PING', step: () => [frame(Frame.PING, 0, 0, Buffer.alloc(8))] },
  { name: 'answers to no PING', step: () => [frame(Frame.PING, Flag.ACK, 0, Buffer.alloc(8))] },
  { name: 'SETTINGS', step: () => [SETTINGS] },
  { name: 'answers to no SETTINGS', step: () => [frame(Frame.SETTINGS, Flag.ACK, 0)] },
  { name: 'sizes of the header table', step: (n) => [frame(Frame.SETTINGS, 0, 0, setting(1, n % 2 === 0 ? 0 : 4096))] },
  { name: 'initial windows', step: (n) => [frame(Frame.SETTINGS, 0, 0, setting(4, n))] },
  { name: 'empty DATA', first: open(1), step: () => [frame(Frame.DATA, 0, 1)] },
  { name: 'DATA of padding', first: open(1), step: () => [frame(Frame.DATA, Flag.PADDED, 1, Buffer.alloc(11, 10))] },
  { name: 'PRIORITY', step: () => [frame(Frame.PRIORITY, 0, 1, Buffer.alloc(5))] },
  { name: 'frames that nobody knows', step: () => [frame(0xbe, 0, 0, Buffer.alloc(8))] },
  { name: 'GOAWAY', step: () => [frame(Frame.GOAWAY, 0, 0, Buffer.alloc(8))] },
  { name: 'windows of one byte', step: () => [frame(Frame.WINDOW_UPDATE, 0, 0, uint32(1))] },
  {
    name: 'windows of one byte for a body',
    first: Buffer.concat([frame(Frame.SETTINGS, 0, 0, setting(4, 0)), get(1, '/large')]),
    step: () => [frame(Frame.WINDOW_UPDATE, 0, 1, uint32(1))],
  },
  {
    name: 'heads that are small and become large',
    // One field of 4000 bytes enters the table, then a byte stands for all of it.
    step: (n) => {
      const field = Buffer.concat([Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x61)]);
      const all = Buffer.concat([block(REQUEST), n === 0 ? field : Buffer.alloc(0), Buffer.alloc(8000, 0xbe)]);
      return [frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 2 * n + 1, all)];
    },
  },
];

/** Answers with a word, or with a body of 1 MiB. Its own limits are out of the way: all clients of a proxy share a connection to it. */
function application(): Http2Server {
  const large = Buffer.alloc(MIB, 'x');
  const options = { streamResetBurst: 1_000_000, streamResetRate: 1_000_000, maxSessionMemory: 1000 };
  const server = createHttp2Server(options, (request, response) => {
    request.on('error', () => {});
    response.on('error', () => {});
    request.resume();
    request.on('end', () => response.end(request.url === '/large' ? large : 'ok'));
  });
  server.on('sessionError', () => {});
  return server;
}

describe('floods', () => {
  const stack = new AsyncDisposableStack();
  const listeners: { readonly name: string; readonly port: number }[] = [];
  let mesh: TestMesh;
  let server: Proxy;
  let client: Proxy;
  let port = 0;

  before(async () => {
    const app = await listen(application());
    port = (app.address() as { port: number }).port;
    stack.defer(() => void app.close());
    mesh = stack.use(await TestMesh.start());
    server = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port } });
    const direct = await mesh.proxy({ name: 'web' });
    client = await mesh.proxy({ name: 'client' });
    mesh.serve([meshed('web', port, direct)]);
    server = direct;
    listeners.push({ name: 'outbound', port: client.outboundPort });
    const inbound = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port } });
    listeners.push({ name: 'inbound', port: inbound.inboundPort });
  });
  after(() => stack.disposeAsync());

  for (const { name, first, step } of FLOODS) {
    test(`ends the connection, and no other: ${name}`, async () => {
      for (const listener of listeners) {
        using honest = await RawHttp2.connect(listener.port);
        honest.send(SETTINGS, get(1));
        await honest.until(() => honest.hasEnded(1));
        using hostile = await RawHttp2.connect(listener.port);
        const steps = [SETTINGS, ...(first === undefined ? [] : [first])];
        let bytes = 0;
        for (let n = 0, frames = 0; frames < FRAMES_MAX && bytes < BYTES_MAX; n += 1) {
          const made = step(n);
          frames += made.length;
          for (const { length } of made) bytes += length;
          steps.push(...made);
        }
        hostile.send(...steps);
        await hostile.until(() => hostile.isOver);
        assert.ok(hostile.isOver, `${listener.name} goes on after ${bytes} bytes`);
        honest.send(get(3));
        await honest.until(() => honest.hasEnded(3));
        assert.equal(honest.content(3), 'ok', `${listener.name}: ${honest.answer(3)}`);
      }
    });
  }

  test('what clients do not read is not kept for them', async () => {
    const STREAMS = 400;
    // Each may hold back what the next hop may send ahead, 512 KiB, and all together 16 MiB.
    const KEPT_MAX = 40;
    for (const listener of listeners) {
      using honest = await RawHttp2.connect(listener.port);
      honest.send(SETTINGS);
      using hostile = await RawHttp2.connect(listener.port);
      const requests = Array.from({ length: STREAMS }, (_, n) => get(2 * n + 1, '/large'));
      hostile.send(frame(Frame.SETTINGS, 0, 0, setting(4, 0)), ...requests);
      const isReset = ({ type }: ReceivedFrame): boolean => type === Frame.RST_STREAM;
      await hostile.until(() => hostile.frames.filter(isReset).length >= STREAMS - KEPT_MAX);
      assert.equal(hostile.goAwayCode, undefined, listener.name);
      honest.send(get(1));
      await honest.until(() => honest.hasEnded(1));
      assert.equal(honest.content(1), 'ok', `${listener.name}: ${honest.answer(1)}`);
    }
  });

  test('PING that measure a stream are none', async () => {
    for (const listener of listeners) {
      using reader = await RawHttp2.connect(listener.port);
      reader.send(SETTINGS, get(1, '/large'));
      // As gRPC does: one whenever something has come and none is under way, and room for what has come.
      let answered = 0;
      for (let pings = 0; !reader.hasEnded(1); pings += 1) {
        const read = reader.content(1).length;
        if (read > 0) {
          reader.send(frame(Frame.WINDOW_UPDATE, 0, 0, uint32(4096)), frame(Frame.WINDOW_UPDATE, 0, 1, uint32(4096)));
          reader.send(frame(Frame.PING, 0, 0, Buffer.alloc(8)));
          answered += 1;
        }
        const count = reader.frames.length;
        await reader.until(() => reader.frames.length > count);
        assert.equal(reader.goAwayCode, undefined, `${listener.name}: after ${pings} PINGs`);
      }
      assert.equal(reader.content(1).length, MIB);
      assert.ok(answered > 50, `${answered} PINGs`);
    }
  });

  test('bursts of cancels between proxies leave the connection and its other requests alone', async () => {
    const { authority } = mesh.control;
    const peer = authority.leaf(identityOf('client'));
    using link = await RawHttp2.connectAsPeer(server.inboundPort, identityOf('web'), port, authority, peer);
    link.send(SETTINGS, get(1));
    await link.until(() => link.hasEnded(1));
    link.send(open(3));
    for (let round = 0; round < 10; round += 1) {
      const cancels = Array.from({ length: 1000 }, (_, n) => {
        const id = 2 * (1000 * round + n) + 5;
        return Buffer.concat([get(id), frame(Frame.RST_STREAM, 0, id, uint32(8))]);
      });
      link.send(...cancels, frame(Frame.PING, 0, 0, Buffer.alloc(8, round)));
      await link.until(() =>
        link.frames.some(({ type, payload }) => type === Frame.PING && payload.equals(Buffer.alloc(8, round))),
      );
    }
    link.send(frame(Frame.DATA, Flag.END_STREAM, 3, Buffer.from('the end')), get(30_001));
    await link.until(() => link.hasEnded(3) && link.hasEnded(30_001));
    assert.equal(link.goAwayCode, undefined);
    assert.deepEqual([link.content(3), link.content(30_001)], ['ok', 'ok']);
  });
});

test('slow clients of HTTP/1 keep nobody waiting', async () => {
  await using mesh = await TestMesh.start();
  const large = Buffer.alloc(MIB, 'x');
  using app = await TestApp.start(
    createServer((request, response) => {
      request.on('error', () => {});
      request.resume();
      if (request.url === '/large') response.end(large);
      else request.on('end', () => response.end('ok'));
    }),
  );
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const sockets: Socket[] = [];
  for (const bytes of [
    'GET / HTTP/1.1\r\nhost: w',
    'POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 100\r\n\r\nhalf',
    'GET /large HTTP/1.1\r\nhost: web\r\n\r\n',
  ]) {
    for (let n = 0; n < 200; n += 1) {
      const socket = connect(client.outboundPort, '127.0.0.1');
      socket.on('error', () => {});
      socket.pause();
      socket.write(bytes);
      sockets.push(socket);
    }
  }
  await eventually(() => app.requests >= 400, 'the slow requests are under way');
  for (let n = 0; n < 50; n += 1) {
    const answer = await exchange(client.outboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
    assert.match(answer.toString(), /^HTTP\/1.1 200 [^]*ok$/);
  }
  for (const socket of sockets) socket.destroy();
});
