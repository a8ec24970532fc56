import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Flag, Frame, PREFACE } from '../http2/frames.ts';
import { exchange, meshed, TestMesh, unmeshed } from '../testing/mesh.ts';
import { RawServer } from '../testing/raw-server.ts';
import { block, frame, RawHttp2, SETTINGS } from '../testing/raw-http2.ts';

const RESPONSE = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello';

/** Where a server fails: after so many bytes of the request, or, when it has all of them, of its response. */
type Failure = { readonly of: 'request' | 'response'; readonly bytes: number; readonly isReset: boolean };

/**
 * A server of HTTP/1 that answers requests for /warm and fails all others. It counts how often one of those began to arrive: whoever
 * sends a byte of it a second time risks that it is executed twice.
 */
class FailingServer implements Disposable {
  failure: Failure = { of: 'request', bytes: 0, isReset: true };
  begun = 0;
  readonly raw: RawServer;

  private constructor(raw: RawServer) {
    this.raw = raw;
  }

  static async start(requestBytes: number): Promise<FailingServer> {
    const servers: FailingServer[] = [];
    const raw = await RawServer.start((socket) => servers[0]?.serve(socket, requestBytes));
    const server = new FailingServer(raw);
    servers.push(server);
    return server;
  }

  serve(socket: Socket, requestBytes: number): void {
    let unread = '';
    let isCounted = false;
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      unread += chunk.toString('latin1');
      const warm = /^GET \/warm [^]*?\r\n\r\n/.exec(unread)?.[0];
      if (warm !== undefined) {
        unread = unread.slice(warm.length);
        socket.write(RESPONSE);
      }
      if (unread === '' || unread.startsWith('GET /w')) return;
      if (!isCounted) this.begun += 1;
      isCounted = true;
      const { of, bytes, isReset } = this.failure;
      // Of a request the proxy changes nothing here, so its bytes can be counted.
      if (unread.length < (of === 'request' ? bytes : requestBytes)) return;
      if (of === 'response' && bytes > 0) socket.write(RESPONSE.slice(0, bytes));
      if (isReset) socket.resetAndDestroy();
      else socket.end();
    });
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }
}

const WARM = 'GET /warm HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';
const requestOf = (method: string, fields = ''): string =>
  `${method} /x HTTP/1.1\r\nhost: web\r\ncontent-length: 4\r\n${fields}\r\nbody`;

/** Every place at which a server may fail, in both ways. */
function failures(requestBytes: number): readonly Failure[] {
  const all: Failure[] = [];
  for (const isReset of [true, false]) {
    for (let bytes = 1; bytes <= requestBytes; bytes += 1) all.push({ of: 'request', bytes, isReset });
    for (let bytes = 0; bytes < RESPONSE.length; bytes += 1) all.push({ of: 'response', bytes, isReset });
  }
  return all;
}

for (const path of ['a pair', 'one proxy'] as const) {
  test(`through ${path} no POST is sent twice, wherever a server of HTTP/1 fails`, async () => {
    await using mesh = await TestMesh.start();
    const requestBytes = requestOf('POST').length;
    using server = await FailingServer.start(requestBytes);
    const inbound = await mesh.proxy({ name: 'web' });
    const client = await mesh.proxy({ name: 'client' });
    mesh.serve([path === 'a pair' ? meshed('web', server.raw.port, inbound) : unmeshed(server.raw.port)]);
    for (const failure of failures(requestBytes)) {
      for (const isWarm of [false, true]) {
        server.failure = failure;
        if (isWarm) assert.match((await exchange(client.outboundPort, WARM)).toString(), /hello$/);
        server.begun = 0;
        const asked = requestOf('POST', 'connection: close\r\n');
        // A response that breaks off is an abort, which the client sees too.
        const answer = await exchange(client.outboundPort, asked).catch(() => Buffer.alloc(0));
        const context = `${JSON.stringify(failure)}, ${isWarm ? 'warm' : 'cold'}: ${answer.toString('latin1')}`;
        assert.ok(server.begun <= 1, `${server.begun} times, ${context}`);
        assert.doesNotMatch(answer.toString('latin1'), /hello$/, context);
      }
    }
  });

  test(`through ${path} a server that fails every request gets at most 1.2 times the load`, async () => {
    await using mesh = await TestMesh.start();
    const asked = requestOf('GET', 'connection: close\r\n');
    using server = await FailingServer.start(requestOf('GET').length);
    server.failure = { of: 'response', bytes: 0, isReset: false };
    const inbound = await mesh.proxy({ name: 'web' });
    const client = await mesh.proxy({ name: 'client' });
    mesh.serve([path === 'a pair' ? meshed('web', server.raw.port, inbound) : unmeshed(server.raw.port)]);
    const REQUESTS = 500;
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        for (let n = 0; n < REQUESTS / 5; n += 1)
          assert.match((await exchange(client.outboundPort, asked)).toString(), /^HTTP\/1.1 502 /);
      }),
    );
    assert.ok(server.begun >= REQUESTS && server.begun <= 1.2 * REQUESTS, `${server.begun} for ${REQUESTS}`);
  });
}

test('no POST over HTTP/2 is sent twice, wherever a server fails', async () => {
  await using mesh = await TestMesh.start();
  const fields = block([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'web'],
    [':path', '/x'],
  ]);
  const response = Buffer.concat([
    SETTINGS,
    frame(Frame.HEADERS, Flag.END_HEADERS, 1, block([[':status', '200']])),
    frame(Frame.DATA, Flag.END_STREAM, 1, Buffer.from('hello')),
  ]);
  let begun = 0;
  let failAt = 0; // bytes of what the server has read
  let answered = 0; // bytes of the response
  let code: number | undefined; // RST_STREAM instead of a reset
  using server = await RawServer.start((socket) => {
    let unread = Buffer.alloc(0);
    let isBegun = false;
    let isOver = false;
    socket.write(SETTINGS);
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      // HEADERS that have begun: whether they are complete only the server knows.
      for (let at = PREFACE.length; at + 4 <= unread.length; at += 9 + unread.readUIntBE(at, 3)) {
        if (unread[at + 3] === Frame.HEADERS && !isBegun) {
          isBegun = true;
          begun += 1;
        }
      }
      const isWhole = unread.includes('body');
      if (isOver || (unread.length < failAt && !isWhole) || (answered > 0 && !isBegun)) return;
      isOver = true;
      if (answered > 0) socket.write(response.subarray(SETTINGS.length, answered));
      if (code === undefined) socket.resetAndDestroy();
      else socket.end(frame(Frame.RST_STREAM, 0, 1, Buffer.from([0, 0, 0, code])));
    });
  });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([unmeshed(server.port)]);
  const ask = async (): Promise<void> => {
    begun = 0;
    using asking = await RawHttp2.connect(client.outboundPort);
    asking.send(SETTINGS, frame(Frame.HEADERS, Flag.END_HEADERS, 1, fields));
    asking.send(frame(Frame.DATA, Flag.END_STREAM, 1, Buffer.from('body')));
    await asking
      .until(() => asking.hasEnded(1))
      .catch((error: Error) => assert.fail(`${error.message}: ${JSON.stringify({ failAt, answered, code })}`));
    assert.ok(begun <= 1, `${begun} times: ${JSON.stringify({ failAt, answered, code })}`);
    assert.notEqual(asking.content(1), 'hello');
  };
  // The preface, the SETTINGS and the window of the proxy, HEADERS, DATA.
  for (failAt = 1; failAt < 200; failAt += 1) await ask();
  failAt = 1;
  for (answered = SETTINGS.length + 1; answered < response.length; answered += 1) await ask();
  // INTERNAL_ERROR and CANCEL say that the request may have been executed.
  answered = 0;
  failAt = 200;
  for (code of [2, 8]) {
    await ask();
  }
});
