import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { toBuffer } from './channel-socket.ts';
import { FrameParser } from './spdy/frames.ts';
import { HeaderBlockReader, HeaderBlockWriter, SpdyError } from './spdy/header-block.ts';
import { StreamServer } from './testing/stream-server.ts';
import { TunnelClient } from './testing/tunnel-client.ts';

const PATH = '/api/v1/namespaces/default/pods/web/portforward';

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, what);
    await delay(10);
  }
}

/** What listens in the pod. */
async function application(onSocket: (socket: Socket) => void): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** Says how many bytes came, after the client has ended its half. */
function counter(socket: Socket): void {
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  socket.on('end', () => socket.end(`got ${bytes}`));
}

async function tunnel(server: StreamServer): Promise<TunnelClient> {
  const client = new TunnelClient(`ws://127.0.0.1:${server.port}${PATH}`);
  await client.opened();
  assert.equal(client.protocol, 'SPDY/3.1+portforward.k8s.io');
  return client;
}

test('bytes go both ways and the end of one way leaves the other open', async () => {
  await using server = await StreamServer.start();
  await using app = await application(counter);
  const client = await tunnel(server);
  const id = await client.connect(1, app.port);
  client.data(id, 'hello');
  client.data(id, Buffer.alloc(300_000, 'x'), true);
  await until(() => client.stream(id).isEnded, 'the answer comes after the half-close');
  assert.equal(client.stream(id).text.toString(), 'got 300005');
  await until(() => client.stream(1).isEnded, 'the error stream ends too');
  assert.equal(client.stream(1).text.length, 0);
  client.socket.terminate();
});

test('several connections share a tunnel and do not mix', async () => {
  await using server = await StreamServer.start();
  await using app = await application((socket) => socket.pipe(socket));
  const client = await tunnel(server);
  const ids: number[] = [];
  for (let index = 0; index < 20; index += 1) ids.push(await client.connect(1 + 4 * index, app.port));
  for (const id of ids) client.data(id, `stream ${id}`, true);
  await until(() => ids.every((id) => client.stream(id).isEnded), 'all are answered');
  for (const id of ids) assert.equal(client.stream(id).text.toString(), `stream ${id}`);
  client.socket.terminate();
});

test('a port that nobody listens on is reported on the error stream, the tunnel lives on', async () => {
  await using server = await StreamServer.start();
  await using app = await application((socket) => socket.pipe(socket));
  const client = await tunnel(server);
  await client.connect(1, 1);
  await until(() => client.stream(1).isEnded, 'the error stream is ended');
  assert.match(client.stream(1).text.toString(), /error forwarding port 1 to pod: .*ECONNREFUSED/);
  await client.connect(5, 'http');
  await until(() => client.stream(5).isEnded, 'a bad port is reported too');
  assert.match(client.stream(5).text.toString(), /invalid port "http"/);
  const id = await client.connect(9, app.port);
  client.data(id, 'still here', true);
  await until(() => client.stream(id).isEnded, 'the next connection works');
  client.socket.terminate();
});

test('a stream that the client resets closes the connection in the pod', async () => {
  await using server = await StreamServer.start();
  await using app = await application((socket) => socket.pipe(socket));
  const client = await tunnel(server);
  const id = await client.connect(1, app.port);
  await until(() => server.agent.openSockets.size === 1, 'the connection is made');
  client.control(3, 0, Buffer.from([0, 0, 0, id, 0, 0, 0, 5]));
  await until(() => server.agent.openSockets.size === 0, 'the connection is closed');
  await until(() => client.stream(1).isEnded, 'without an error');
  assert.equal(client.stream(1).text.length, 0);
  client.socket.terminate();
});

test('a client that leaves closes all its connections in the pod', async () => {
  await using server = await StreamServer.start();
  await using app = await application((socket) => socket.resume());
  const client = await tunnel(server);
  await client.connect(1, app.port);
  await client.connect(5, app.port);
  await until(() => server.agent.openSockets.size === 2, 'the connections are made');
  client.socket.terminate();
  await until(() => server.agent.openSockets.size === 0, 'the connections are closed');
});

test('an application that does not read holds the client back', async () => {
  await using server = await StreamServer.start();
  const sockets: Socket[] = [];
  await using app = await application((socket) => {
    socket.pause();
    sockets.push(socket);
  });
  const client = await tunnel(server);
  const id = await client.connect(1, app.port);
  const piece = Buffer.alloc(512 * 1024);
  for (let count = 0; count < 60; count += 1) client.data(id, piece);
  await until(() => sockets.length === 1, 'the connection is made');
  await delay(200);
  assert.ok(client.socket.bufferedAmount > 10_000_000, 'most of the 30 MB stays with the client');
  client.socket.terminate();
  await until(() => server.agent.openSockets.size === 0, 'the connection is closed');
});

test('pings are answered', async () => {
  await using server = await StreamServer.start();
  const client = await tunnel(server);
  client.control(6, 0, Buffer.from([0, 0, 0, 1]));
  await until(() => client.pings === 1, 'the ping comes back');
  client.socket.terminate();
});

const violations: readonly [title: string, send: (client: TunnelClient) => void | Promise<void>][] = [
  ['another version', (client) => client.send(Buffer.from([0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]))],
  ['an endless control frame', (client) => client.send(Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]))],
  ['an even stream id', (client) => client.open(2, { streamtype: 'data' })],
  ['broken compression', (client) => client.control(1, 0, Buffer.alloc(40, 7))],
];

for (const [title, send] of violations) {
  test(`${title} ends the tunnel with GOAWAY`, async () => {
    await using server = await StreamServer.start();
    const client = await tunnel(server);
    const closed = once(client.socket, 'close');
    await send(client);
    await closed;
    assert.ok(client.isGoneAway);
  });
}

test('more streams than allowed are refused one by one', async () => {
  await using server = await StreamServer.start();
  const client = await tunnel(server);
  for (let index = 0; index < 200; index += 1)
    await client.open(1 + 2 * index, { streamtype: 'error', requestid: `${index}` });
  await until(() => client.streams.size === 200, 'all are answered');
  const reset = [...client.streams.values()].filter((stream) => stream.isReset);
  assert.equal(reset.length, 200 - 64, 'only so many wait for their partner');
  client.socket.terminate();
});

test('the channel form of the Node client carries data and begins with the port', async () => {
  await using server = await StreamServer.start();
  await using app = await application((socket) => socket.pipe(socket));
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${PATH}?ports=${app.port}&ports=1`, 'v4.channel.k8s.io');
  const received = new Map<number, Buffer>();
  socket.on('message', (message) => {
    const bytes = toBuffer(message);
    const channel = bytes[0] ?? -1;
    received.set(channel, Buffer.concat([received.get(channel) ?? Buffer.alloc(0), bytes.subarray(1)]));
  });
  await once(socket, 'open');
  socket.send(Buffer.from('\0hello'));
  await until(() => (received.get(0)?.length ?? 0) === 7, 'the echo comes');
  assert.equal(received.get(0)?.readUInt16LE(0), app.port);
  assert.equal(received.get(0)?.subarray(2).toString(), 'hello');
  assert.match(received.get(3)?.subarray(2).toString() ?? '', /ECONNREFUSED/);
  socket.close();
  await until(() => server.agent.openSockets.size === 0, 'the connection is closed');
});

test('the channel form wants ports', async () => {
  await using server = await StreamServer.start();
  for (const query of ['', '?ports=http', '?ports=0', `?ports=${Array.from({ length: 65 }, () => '80').join(',')}`]) {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${PATH}${query}`, 'v4.channel.k8s.io');
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    assert.equal(response.statusCode, 400, query);
    socket.on('error', () => undefined);
    socket.terminate();
  }
});

test('header blocks that this end writes are read back', () => {
  const writer = new HeaderBlockWriter();
  const reader = new HeaderBlockReader();
  assert.deepEqual([...reader.read(writer.write(new Map()))], []);
  const headers = new Map([
    ['a', '1'],
    ['port', '8080'],
  ]);
  assert.deepEqual(reader.read(writer.write(headers)), headers);
});

test('random bytes end in frames or a SpdyError', () => {
  const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const good = new HeaderBlockWriter().write(
    new Map([
      ['streamtype', 'data'],
      ['port', '80'],
    ]),
  );
  for (let round = 0; round < 5000; round += 1) {
    const parser = new FrameParser();
    const bytes = Buffer.from(Array.from({ length: random(60) }, () => random(256)));
    if (random(2) === 0 && bytes.length > 8) bytes.set([0x80, 3, 0, 1 + random(9), random(2), 0, 0, random(40)]);
    const block = Buffer.from(good);
    block[random(block.length)] = random(256);
    try {
      for (let at = 0; at < bytes.length; at += 7) for (const _ of parser.push(bytes.subarray(at, at + 7)));
      new HeaderBlockReader().read(block);
    } catch (error) {
      assert.ok(error instanceof SpdyError, `FUZZ_SEED=${seed} round ${round}: ${String(error)}`);
    }
  }
});
