// Clients that ask too much, too long, nonsense or nothing, beside one that behaves.
import assert from 'node:assert/strict';
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream, type Settings } from 'node:http2';
import { test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import {
  credentials,
  status,
  type ClientReadableStream,
  type ServerWritableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { DestinationClient, DestinationService, type GetDestination, type Update } from '#api/gen/destination.ts';
import { eventually } from '#k8s/testing.ts';
import { createTestAuthority, tlsOptions, type TestAuthority } from '#pki/testing.ts';
import { Watch } from '#runtime/watch.ts';
import { GrpcServer } from './grpc-server.ts';
import { serveWatch } from './serve-watch.ts';
import { StreamLimits, streamsFor, type Refusal, type StreamLimitsOptions } from './stream-limits.ts';

const NAME = 'destination.tulle';
const PATH = '/io.linkerd.proxy.destination.Destination/Get';

/** A server that streams numbers, as label `n` of messages that are as long as wanted, and a client of it that behaves. */
class Fixture implements AsyncDisposable {
  readonly slot = new Watch(0);
  readonly refusals: Refusal[] = [];
  readonly limits: StreamLimits;
  readonly #authority: TestAuthority = createTestAuthority();
  readonly #server: GrpcServer;
  readonly #clients: { close(): void }[] = [];
  #port = 0;

  constructor(
    options: StreamLimitsOptions,
    keepalive?: { readonly timeMs: number; readonly timeoutMs: number },
    messageBytes = 0,
  ) {
    this.limits = new StreamLimits({ ...options, onRefused: (reason) => this.refusals.push(reason) });
    const identity = { ...tlsOptions(this.#authority.leaf(NAME)), ca: this.#authority.anchorsPem };
    const server = (this.#server = new GrpcServer(identity, this.limits, keepalive));
    const encode = (n: number) => {
      const add = { addrs: [], metricLabels: { n: String(n), padding: 'x'.repeat(messageBytes) } };
      return { messages: [{ update: { $case: 'add', value: add } } satisfies Update] };
    };
    server.addService(DestinationService, {
      get: (call: ServerWritableStream<GetDestination, Update>) =>
        serveWatch(call, this.slot, encode, server, () => {}),
      getProfile: (call: ServerWritableStream<GetDestination, never>) => call.end(),
    });
  }

  async start(): Promise<this> {
    this.#port = await this.#server.listen(0, '127.0.0.1');
    return this;
  }

  /** A client with a connection of its own. */
  client(): DestinationClient {
    const channel = credentials.createSsl(Buffer.from(this.#authority.anchorsPem));
    const options = { 'grpc.ssl_target_name_override': NAME, 'grpc.use_local_subchannel_pool': 1 };
    const client = new DestinationClient(`127.0.0.1:${this.#port}`, channel, options);
    this.#clients.push(client);
    return client;
  }

  /** A TLS connection on which anything can be sent. */
  async socket(): Promise<TLSSocket> {
    const socket = connectTls({
      host: '127.0.0.1',
      port: this.#port,
      servername: NAME,
      ca: this.#authority.anchorsPem,
      ALPNProtocols: ['h2'],
    });
    this.#clients.push({ close: () => socket.destroy() });
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.once('secureConnect', resolve));
    return socket;
  }

  async session(
    settings: Settings = {},
  ): Promise<{ readonly session: ClientHttp2Session; readonly socket: TLSSocket }> {
    const socket = await this.socket();
    const session = connectHttp2('https://localhost', { createConnection: () => socket, settings });
    session.on('error', () => undefined);
    return { session, socket };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.#server.stop(200);
  }
}

/** What a call has been told, and how it ended. */
function follow(call: ClientReadableStream<Update>) {
  const seen: string[] = [];
  let end: { readonly code: string; readonly details: string } | undefined;
  call.on('data', ({ update }: Update) =>
    seen.push(update?.$case === 'add' ? (update.value.metricLabels['n'] ?? '') : ''),
  );
  call.on('end', () => (end ??= { code: 'OK', details: '' }));
  call.on('error', (error: ServiceError) => (end = { code: status[error.code], details: error.details }));
  return { seen, end: () => end, cancel: () => call.cancel() };
}

const asked = { scheme: '', path: 'web.shop.svc.cluster.local:80', contextToken: '' };

/** A call over HTTP/2 by hand, of which only the headers are sent. */
function open(session: ClientHttp2Session): {
  readonly stream: ClientHttp2Stream;
  readonly status: () => string | undefined;
} {
  const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request(headers, { endStream: false });
  let found: string | undefined;
  const read = (fields: object): void => {
    found ??= (fields as Record<string, string>)['grpc-status'];
  };
  stream
    .on('error', () => undefined)
    .on('response', read)
    .on('trailers', read)
    .resume();
  return { stream, status: () => found };
}

test('a process has as many calls open as its memory takes', () => {
  const MIB = 1024 * 1024;
  assert.deepEqual(
    [384 * MIB, 512 * MIB, 1024 * MIB, 2 ** 64, 0].map(streamsFor),
    [6_144, 8_192, 16_000, 16_000, 16_000],
  );
});

test('a client with many calls is told that it is too much, and others are served', async () => {
  await using fixture = await new Fixture({ max: 20 }).start();
  const greedy = fixture.client();
  const calls = Array.from({ length: 30 }, () => follow(greedy.get(asked)));
  const refused = () => calls.flatMap(({ end }) => end() ?? []);
  await eventually('the refusals', () => refused().length === 20 && fixture.limits.open === 10);
  assert.deepEqual(new Set(refused().map(({ code }) => code)), new Set(['RESOURCE_EXHAUSTED']));
  assert.match(refused()[0]?.details ?? '', /this connection has 10 calls open, and there is room for 10 more/);
  assert.equal(fixture.refusals.length, 20);

  const others = [1, 2, 3].map(() => follow(fixture.client().get(asked)));
  await eventually('the answers to others', () => others.every(({ seen }) => seen.length === 1));
  fixture.slot.set(7);
  await eventually('news for everybody', () => others.every(({ seen }) => seen.at(-1) === '7'));

  for (const call of calls) call.cancel();
  await eventually('room', () => fixture.limits.open === 3);
  const again = follow(greedy.get(asked));
  await eventually('an answer', () => again.seen[0] === '7');
});

test('a call that does not say what it wants is ended, however slowly it speaks', async () => {
  await using fixture = await new Fixture({ requestTimeoutMs: 150 }).start();
  const { session } = await fixture.session();
  const good = follow(fixture.client().get(asked));
  const silent = open(session);
  const slow = open(session);
  slow.stream.write(Buffer.from([0, 0, 0, 4, 0, 1])); // a message of 1024 bytes, of which one comes
  await eventually('the ends', () => silent.status() === '4' && slow.status() === '4', 5_000);
  assert.deepEqual(fixture.refusals, ['no-request', 'no-request']);
  await eventually('their release', () => fixture.limits.open === 1);
  fixture.slot.set(1);
  await eventually('news for the other', () => good.seen.at(-1) === '1');
});

test('requests that are too large or no messages get a status, and cost others nothing', async () => {
  await using fixture = await new Fixture({}).start();
  const good = follow(fixture.client().get(asked));
  const huge = follow(fixture.client().get({ ...asked, path: 'x'.repeat(200_000) }));
  await eventually('the refusal', () => huge.end() !== undefined);
  assert.equal(huge.end()?.code, 'RESOURCE_EXHAUSTED');
  const { session } = await fixture.session();
  const claims = open(session);
  claims.stream.write(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff])); // a message of 2 GiB
  const garbage = open(session);
  garbage.stream.end(Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]));
  const cut = open(session);
  cut.stream.end(Buffer.from([0, 0, 0, 0, 9, 1]));
  const bomb = open(session);
  bomb.stream.end(Buffer.from([1, 0, 0, 0, 2, 1, 2])); // compressed with nothing that was named
  const statuses = () => [claims, garbage, cut, bomb].map((call) => call.status());
  await eventually('their statuses', () => statuses().every((one) => one !== undefined));
  assert.equal(statuses()[0], String(status.RESOURCE_EXHAUSTED));
  assert.equal(statuses()[1], String(status.INTERNAL));
  assert.ok(
    statuses().every((one) => one !== '0'),
    statuses().join(),
  );
  await eventually('their release', () => fixture.limits.open === 1);
  fixture.slot.set(1);
  await eventually('news for the other', () => good.seen.at(-1) === '1');
});

test('connections that speak no HTTP/2, or break it, end alone', async () => {
  await using fixture = await new Fixture({}).start();
  const good = follow(fixture.client().get(asked));
  const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  for (const bytes of [
    'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
    `${PREFACE}nonsense that is no frame at all`,
    Buffer.concat([Buffer.from(PREFACE), Buffer.from([0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0])]),
  ]) {
    const socket = await fixture.socket();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.resume();
    socket.write(bytes);
    await closed;
  }
  fixture.slot.set(1);
  await eventually('news for the other', () => good.seen.at(-1) === '1');
});

test('the calls of a client that is gone without a word are released', async () => {
  await using fixture = await new Fixture({}, { timeMs: 200, timeoutMs: 200 }).start();
  const good = follow(fixture.client().get(asked));
  const { session, socket } = await fixture.session();
  const call = open(session);
  call.stream.end(Buffer.from([0, 0, 0, 0, 0]));
  await eventually('both calls', () => fixture.limits.open === 2 && good.seen.length === 1);
  (socket as unknown as { _handle: { readStop(): void } })._handle.readStop(); // no ping is answered any more
  await eventually('the release', () => fixture.limits.open === 1, 5_000);
  fixture.slot.set(1);
  await eventually('news for the other', () => good.seen.at(-1) === '1');
});

test('what waits for a client that gives no window is bounded, its connection ends in time, and others have their news', async () => {
  const MIB = 1024 * 1024;
  const backlog = { bytesMax: 8 * MIB, takeTimeoutMs: 2_000 };
  await using fixture = await new Fixture({ backlog }, undefined, MIB).start();
  const good = follow(fixture.client().get(asked));
  await eventually('its first answer', () => good.seen.length === 1);
  const before = process.memoryUsage().arrayBuffers;
  const { session } = await fixture.session({ initialWindowSize: 0 });
  await new Promise((resolve) => session.once('localSettings', resolve));
  const closed = new Promise<void>((resolve) => session.once('close', () => resolve()));
  for (let nth = 0; nth < 100; nth += 1) open(session).stream.end(Buffer.from([0, 0, 0, 0, 0]));
  await eventually('all calls', () => fixture.limits.open === 101);
  fixture.slot.set(1);
  await eventually('news for the other', () => good.seen.at(-1) === '1');
  const { bytes } = fixture.limits.backlog;
  assert.ok(bytes >= 4 * MIB && bytes < 6 * MIB, `${bytes} bytes wait`);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 50 * MIB, `${grown} bytes more than before`);
  await closed;
  await eventually('the release', () => fixture.limits.open === 1 && fixture.limits.backlog.bytes === 0);
  assert.deepEqual(fixture.refusals, ['not-taken']);
  fixture.slot.set(2);
  await eventually('news for the other again', () => good.seen.at(-1) === '2');
});
