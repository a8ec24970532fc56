import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { ProxyError } from '../errors.ts';
import { Connection } from '../transport/connection.ts';
import type { RequestSink, ResponseSink } from './exchange.ts';
import { parseResponseHead, type RequestHead } from './head.ts';
import { Http1Server } from './server.ts';

const TIMEOUTS = { headMs: 1000, idleMs: 5000, lingerMs: 500 };
const OK = parseResponseHead('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n', 'GET');

/** A request as the server side hands it on. */
class Seen implements RequestSink {
  readonly head: RequestHead;
  readonly response: ResponseSink;
  body: string;
  isEnd: boolean;
  isAborted = false;

  constructor(head: RequestHead, body: Buffer | undefined, isEnd: boolean, response: ResponseSink) {
    this.head = head;
    this.response = response;
    this.body = body?.toString('latin1') ?? '';
    this.isEnd = isEnd;
  }
  send(body: Buffer | undefined, isEnd: boolean): boolean {
    this.body += body?.toString('latin1') ?? '';
    this.isEnd = isEnd;
    return true;
  }
  resumeResponse(): void {}
  abort(): void {
    this.isAborted = true;
  }
}

/** The class under test with a client's socket on the other end. */
class Fixture implements Disposable {
  readonly seen: Seen[] = [];
  readonly client: Socket;
  readonly server: Http1Server;
  readonly accepted: Socket;
  readonly #listener: Server;
  received = '';
  isEnded = false;

  private constructor(listener: Server, client: Socket, accepted: Socket, onRequest: (seen: Seen) => void) {
    this.#listener = listener;
    this.client = client;
    this.accepted = accepted;
    const connection = new Connection(accepted);
    const serve = (
      head: RequestHead,
      body: Buffer | undefined,
      isEnd: boolean,
      response: ResponseSink,
    ): RequestSink => {
      const seen = new Seen(head, body, isEnd, response);
      this.seen.push(seen);
      onRequest(seen);
      return seen;
    };
    this.server = new Http1Server(connection, serve, () => {}, TIMEOUTS, 1);
    connection.start(this.server);
    client.on('data', (chunk: Buffer) => (this.received += chunk.toString('latin1')));
    client.on('end', () => (this.isEnded = true));
    client.on('error', () => {});
  }

  static async start(onRequest: (seen: Seen) => void = () => {}): Promise<Fixture> {
    const listener = createServer({ allowHalfOpen: true });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const [accepted] = (await once(listener, 'connection')) as [Socket];
    return new Fixture(listener, client, accepted, onRequest);
  }

  async until(holds: () => boolean): Promise<void> {
    const deadline = Date.now() + 30_000; // tens of MiB on a busy machine
    while (!holds()) {
      assert.ok(Date.now() < deadline, `received so far: ${JSON.stringify(this.received.slice(0, 1000))}`);
      await new Promise((resolve) => void setTimeout(resolve, 5));
    }
  }

  [Symbol.dispose](): void {
    this.client.destroy();
    this.#listener.close();
  }
}

const answer = (seen: Seen): void => void seen.response.respond(OK, Buffer.from('ok'), true);

test('pipelined requests are served one at a time, in order', async () => {
  using fixture = await Fixture.start();
  fixture.client.write('GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n');
  await fixture.until(() => fixture.seen.length === 1);
  await new Promise((resolve) => void setTimeout(resolve, 20));
  assert.equal(fixture.seen.length, 1);
  answer(fixture.seen[0]!);
  await fixture.until(() => fixture.seen.length === 2);
  assert.equal(fixture.seen[1]?.head.target, '/2');
});

test('whoever waits for the rest of a request hears that it will not come, when the connection ends after its answer', async () => {
  using fixture = await Fixture.start((seen) => void setImmediate(() => answer(seen)));
  fixture.client.write('POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nab');
  await fixture.until(() => fixture.seen.length === 1 && fixture.received.endsWith('ok'));
  await fixture.until(() => fixture.seen[0]?.isAborted === true);
});

test('ten thousand pipelined requests that are refused at once do not exhaust the stack', async () => {
  const refusal = new ProxyError('unauthorized', 'no');
  using fixture = await Fixture.start((seen) => seen.response.fail(refusal));
  fixture.client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(10_000));
  await fixture.until(() => fixture.seen.length === 10_000);
});

/** More of them than sockets and kernel take from a server whose client does not read. */
const MANY = 1000;
const PAGE_BYTES = 64 * 1024;
const PAGE = parseResponseHead(`HTTP/1.1 200 OK\r\ncontent-length: ${PAGE_BYTES}\r\n`, 'GET');
const answerPage = (seen: Seen): void => void seen.response.respond(PAGE, Buffer.alloc(PAGE_BYTES, 'x'), true);

/** The server answers pages to a client that does not read, until its socket is full. */
async function unreadPages(): Promise<Fixture> {
  const fixture = await Fixture.start(answerPage);
  fixture.client.pause();
  fixture.client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(MANY));
  await fixture.until(() => fixture.accepted.writableLength > 0);
  await new Promise((resolve) => void setTimeout(resolve, 50));
  return fixture;
}

test('pipelined requests wait while their client does not read the responses', async () => {
  using fixture = await unreadPages();
  assert.ok(fixture.seen.length < MANY, `${fixture.seen.length} requests are answered`);
  const queued = fixture.accepted.writableLength;
  assert.ok(queued < 2 * PAGE_BYTES, `${queued} bytes wait for the client`);
  let received = 0;
  fixture.client.removeAllListeners('data').on('data', ({ length }: Buffer) => (received += length));
  fixture.client.resume();
  await fixture.until(() => received === MANY * (PAGE.lines.length + 2 + PAGE_BYTES));
  assert.equal(fixture.seen.length, MANY);
});

test('a connection whose client does not read drains and closes', async () => {
  using draining = await unreadPages();
  const answered = draining.seen.length;
  assert.equal(draining.server.isIdle, false, 'requests wait');
  draining.server.drain();
  draining.server.closeIdle();
  draining.client.resume();
  await draining.until(() => draining.isEnded);
  assert.equal(draining.seen.length, answered + 1);
  assert.equal(draining.received.split('connection: close\r\n').length, 2);
  assert.ok(draining.received.endsWith('x'.repeat(PAGE_BYTES)));

  using gone = await unreadPages();
  gone.client.resetAndDestroy();
  await gone.until(() => gone.server.isClosed);

  const length = MANY * PAGE_BYTES;
  const long = parseResponseHead(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n`, 'GET');
  using idle = await Fixture.start((seen) => void seen.response.respond(long, Buffer.alloc(length, 'x'), true));
  idle.client.pause();
  idle.client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await idle.until(() => idle.accepted.writableLength > 0);
  assert.equal(idle.server.isIdle, true, 'no request waits');
  idle.server.closeIdle();
  idle.client.resume();
  await idle.until(() => idle.isEnded);
  assert.equal(idle.received.length, long.lines.length + 2 + length, 'what was on its way arrives');
});

/** Each is answered with an error, and not a byte of what follows is taken for a request. */
const MALFORMED: readonly (readonly [string, string, number])[] = [
  ['two lengths', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 44\r\n\r\n', 400],
  [
    'length and coding',
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['obscured coding', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n', 400],
  ['coding by tab', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\tchunked, identity\r\n\r\n0\r\n\r\n', 400],
  ['no CR', 'GET / HTTP/1.1\nhost: a\n\n', 400],
  ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['HTTP/3', 'GET / HTTP/3.0\r\nhost: a\r\n\r\n', 505],
  ['compressed coding', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n', 501],
  ['endless head', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(70_000)}`, 431],
  ['many fields', `GET / HTTP/1.1\r\nhost: a\r\n${'x: 1\r\n'.repeat(200)}\r\n`, 431],
];

for (const [name, bytes, status] of MALFORMED) {
  test(`malformed request ends the connection: ${name}`, async () => {
    using fixture = await Fixture.start(answer);
    fixture.client.write(`${bytes}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n`);
    await fixture.until(() => fixture.isEnded);
    assert.match(fixture.received, new RegExp(`^HTTP/1.1 ${status} [^\\r]+\\r\\nl5d-proxy-error: [a-z-]+: .*\\r\\n`));
    assert.match(fixture.received, /connection: close\r\n\r\n$/);
    assert.equal(fixture.seen.length, 0);
  });
}

test('a malformed chunk aborts a request that is already on its way', async () => {
  using fixture = await Fixture.start();
  fixture.client.write('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n');
  await fixture.until(() => fixture.seen[0]?.body.includes('abc') === true);
  fixture.client.write('zz\r\n');
  await fixture.until(() => fixture.isEnded);
  assert.equal(fixture.seen[0]?.isAborted, true);
  assert.match(fixture.received, /^HTTP\/1.1 400 /);
});

test('a head that does not arrive in time is answered 408, an idle connection closed', async () => {
  using slow = await Fixture.start();
  slow.client.write('GET / HT');
  await new Promise((resolve) => void setTimeout(resolve, 20));
  slow.server.sweep(10_000);
  slow.client.write('TP');
  await new Promise((resolve) => void setTimeout(resolve, 20));
  slow.server.sweep(11_100);
  await slow.until(() => slow.isEnded);
  assert.match(slow.received, /^HTTP\/1.1 408 Request Timeout\r\nl5d-proxy-error: head-timeout/);
  using idle = await Fixture.start();
  idle.server.sweep(4000);
  assert.equal(idle.isEnded, false);
  idle.server.sweep(6000);
  await idle.until(() => idle.isEnded);
  assert.equal(idle.received, '');
});

test('while draining a response carries Connection: close and ends the connection', async () => {
  using fixture = await Fixture.start();
  fixture.client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await fixture.until(() => fixture.seen.length === 1);
  fixture.server.drain();
  answer(fixture.seen[0]!);
  await fixture.until(() => fixture.isEnded);
  assert.equal(fixture.received, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
});

test('an error after part of a response is a reset, so that nobody takes the part for the whole', async () => {
  using fixture = await Fixture.start();
  fixture.client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await fixture.until(() => fixture.seen.length === 1);
  fixture.seen[0]?.response.respond(OK, Buffer.from('o'), false);
  await fixture.until(() => fixture.received.endsWith('o'));
  const failed = once(fixture.client, 'error');
  fixture.seen[0]?.response.fail(new ProxyError('server-closed', 'gone'));
  assert.match(String((await failed)[0]), /ECONNRESET/);
});

test('a client that goes away aborts its request', async () => {
  using fixture = await Fixture.start();
  fixture.client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await fixture.until(() => fixture.seen.length === 1);
  fixture.client.resetAndDestroy();
  await fixture.until(() => fixture.seen[0]?.isAborted === true);
});

test('an early answer to an upload leaves the connection usable once the upload is complete', async () => {
  using fixture = await Fixture.start();
  fixture.client.write('POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc');
  await fixture.until(() => fixture.seen.length === 1);
  answer(fixture.seen[0]!);
  await fixture.until(() => fixture.received.endsWith('ok'));
  fixture.client.write('defGET /next HTTP/1.1\r\nhost: a\r\n\r\n');
  await fixture.until(() => fixture.seen.length === 2);
  assert.equal(fixture.seen[0]?.body, 'abcdef');
  assert.equal(fixture.seen[1]?.head.target, '/next');
});
