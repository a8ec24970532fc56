import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import type { ProxyError } from '../errors.ts';
import type { ServerExchange } from '../http/exchange.ts';
import { parseRequestHead, type RequestHead } from '../http/head.ts';
import { eventually } from '../testing/mesh.ts';
import { RawServer } from '../testing/raw-server.ts';
import { Connection } from '../transport/connection.ts';
import { Connections } from './connections.ts';
import { Http2Pool } from './http2-pool.ts';
import { Pool } from './pool.ts';

const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const PING_HEAD = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0]);
const POST: RequestHead = parseRequestHead('POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 0\r\n');

/** Clock, endpoint and pool of one test. */
class Fixture implements Disposable {
  nowMs = 0;
  readonly app: RawServer;
  readonly pool: Http2Pool;
  readonly #opened: Connection[] = [];

  constructor(app: RawServer, isPeer: boolean) {
    this.app = app;
    const options = { connect: () => this.connect(), waitingMax: 10, mayUse: () => true, isPeer };
    this.pool = new Http2Pool(options, () => this.nowMs);
  }

  connect(): Promise<Connection> {
    return new Promise((resolve) => {
      const socket: Socket = connect(this.app.port, '127.0.0.1', () => {
        const connection = new Connection(socket);
        this.#opened.push(connection);
        resolve(connection);
      });
    });
  }

  /** @returns the connection for a request, or why there is none */
  wait(pool: Pick<Http2Pool, 'wait'> = this.pool): Promise<ServerExchange | ProxyError> {
    return new Promise((resolve) => pool.wait({ onClient: resolve, onError: resolve }));
  }

  [Symbol.dispose](): void {
    for (const connection of this.#opened) connection.destroy();
    this.app[Symbol.dispose]();
  }
}

test('no request goes to a peer that has not said that it speaks HTTP/2', async () => {
  const app = await RawServer.start((socket) => {
    socket.once('data', () => setImmediate(() => socket.end()));
  });
  using fixture = new Fixture(app, true);
  const refused = (await fixture.wait()) as ProxyError;
  assert.deepEqual([refused.code, refused.retry], ['http2-refused', 'safe']);
  assert.match(refused.message, /does not speak HTTP\/2: it ended the connection/);
  assert.equal(fixture.pool.isRefused, true);
  fixture.nowMs += 60_000;
  assert.equal(fixture.pool.isRefused, false);
});

test('a server of HTTP/1 that is spoken to in HTTP/2 is named as such', async () => {
  const app = await RawServer.start((socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  });
  using fixture = new Fixture(app, false);
  const refused = (await fixture.wait()) as ProxyError;
  assert.match(`${refused.code}: ${refused.message}`, /^http2-refused: the endpoint does not speak HTTP\/2: .+/);
});

test('what came over HTTP/1 is sent over HTTP/1 when the endpoint refuses to carry it', async () => {
  let preface = '';
  const app = await RawServer.start((socket) => {
    socket.once('data', (chunk: Buffer) => {
      preface = chunk.toString('latin1', 0, 3);
      socket.end();
    });
  });
  using fixture = new Fixture(app, true);
  const http1 = new Pool(
    { connect: () => fixture.connect(), idleMs: 1000, idleMax: 1, waitingMax: 1 },
    () => fixture.nowMs,
  );
  using connections = new Connections(http1, fixture.pool, true);
  const wait = (): Promise<ServerExchange | ProxyError> =>
    fixture.wait({ wait: (waiter) => connections.wait(POST, waiter) });
  assert.equal(((await wait()) as ProxyError).code, 'http2-refused');
  assert.equal(preface, 'PRI');
  const exchange = (await wait()) as ServerExchange;
  exchange.start(POST, '', undefined, true, {
    inform() {},
    respond: () => true,
    fail() {},
    resumeRequest() {},
    switchProtocols() {},
  });
  await eventually(() => preface === 'POS', 'the request in HTTP/1');
});

test('a silent connection must show that it is alive before a request goes over it', async () => {
  const pings: number[] = [];
  const app = await RawServer.start((socket) => {
    const number = pings.push(0) - 1;
    socket.write(SETTINGS);
    socket.on('data', (chunk: Buffer) => {
      const at = chunk.indexOf(PING_HEAD);
      if (at < 0) return;
      pings[number] = (pings[number] ?? 0) + 1;
      // The first answer only: then this peer is dead.
      if (pings[number] > 1) return;
      const answer = Buffer.from(chunk.subarray(at, at + 17));
      answer[4] = 1;
      socket.write(answer);
    });
  });
  using fixture = new Fixture(app, true);
  const first = (await fixture.wait()) as ServerExchange;
  assert.equal(first.exchanges, 1);
  assert.notEqual(fixture.pool.take(), undefined);
  fixture.nowMs += 2000;
  assert.equal(fixture.pool.take(), undefined);
  assert.ok('start' in (await fixture.wait()));
  assert.deepEqual([app.accepted, pings[0]], [1, 1]);

  fixture.nowMs += 2000;
  assert.ok('start' in (await fixture.wait()));
  assert.deepEqual([app.accepted, pings[0]], [2, 2]);
});

test('what waits for a connection goes elsewhere when its endpoint is gone', async () => {
  const app = await RawServer.start((socket) => {
    socket.on('data', () => {});
    setTimeout(() => socket.write(SETTINGS), 50);
  });
  using fixture = new Fixture(app, true);
  const outcome = fixture.wait();
  await eventually(() => app.accepted === 1, 'a connection');
  fixture.pool[Symbol.dispose]();
  const gone = (await outcome) as ProxyError;
  assert.equal(`${gone.code}, ${gone.retry}: ${gone.message}`, 'connect-failed, safe: the endpoint is gone');
  assert.equal(((await fixture.wait()) as ProxyError).message, gone.message, 'what comes later too');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(app.accepted, 1, 'no further connection');
});

test('a stream to an endpoint that is gone ends when its peer is dead', async () => {
  const app = await RawServer.start((socket) => {
    socket.on('data', () => {});
    socket.write(SETTINGS);
  });
  using fixture = new Fixture(app, true);
  const exchange = (await fixture.wait()) as ServerExchange;
  const failed = new Promise<ProxyError>((resolve) => {
    exchange.start(POST, '', undefined, true, {
      inform() {},
      respond: () => true,
      fail: resolve,
      resumeRequest() {},
      switchProtocols() {},
    });
  });
  fixture.pool[Symbol.dispose]();
  const clock = setInterval(() => (fixture.nowMs += 11_000), 100);
  const error = await failed;
  clearInterval(clock);
  assert.match(error.message, /no answer to a PING/);
});

test('an application is sent no PING, however long it is silent', async () => {
  let received = Buffer.alloc(0);
  const app = await RawServer.start((socket) => {
    socket.write(SETTINGS);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
    });
  });
  using fixture = new Fixture(app, false);
  await fixture.wait();
  for (let n = 0; n < 10; n += 1) {
    fixture.nowMs += 10_000;
    fixture.pool.sweep();
  }
  const exchange = fixture.pool.take();
  exchange?.start({ ...POST, isHttp2: true }, '', undefined, true, {
    inform() {},
    respond: () => true,
    fail() {},
    resumeRequest() {},
    switchProtocols() {},
  });
  await eventually(() => received.includes(Buffer.from([1, 5, 0, 0, 0, 1])), 'HEADERS of the request');
  assert.equal(received.includes(PING_HEAD), false);
});
