import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentials, status, type ServerWritableStream, type ServiceError } from '@grpc/grpc-js';
import { DestinationClient, DestinationService, type GetDestination, type Update } from '#api/gen/destination.ts';
import { createTestAuthority, tlsOptions, type TestAuthority } from '#pki/testing.ts';
import { Watch } from '#runtime/watch.ts';
import { GrpcServer } from './grpc-server.ts';
import { serveWatch } from './serve-watch.ts';

const NAME = 'destination.tulle';

/** A server that streams numbers, as label `n`. */
async function start(authority: TestAuthority) {
  const server = new GrpcServer({ ...tlsOptions(authority.leaf(NAME)), ca: authority.anchorsPem });
  const slot = new Watch(0);
  const encode = (n: number) => {
    const add = { addrs: [], metricLabels: { n: String(n) } };
    return { messages: [{ update: { $case: 'add', value: add } } satisfies Update] };
  };
  server.addService(DestinationService, {
    get: (call: ServerWritableStream<GetDestination, Update>) => serveWatch(call, slot, encode, server, () => {}),
    getProfile: (call: ServerWritableStream<GetDestination, never>) => call.end(),
  });
  return { server, slot, port: await server.listen(0, '127.0.0.1') };
}

/** Opens a stream. */
function open(port: number, anchorsPem: string, own?: { readonly key: string; readonly cert: string }) {
  const channel = credentials.createSsl(
    Buffer.from(anchorsPem),
    own && Buffer.from(own.key),
    own && Buffer.from(own.cert),
  );
  const client = new DestinationClient(`127.0.0.1:${port}`, channel, {
    'grpc.ssl_target_name_override': NAME,
    'grpc.use_local_subchannel_pool': 1,
  });
  const stream = client.get({ scheme: '', path: '', contextToken: '' });
  const seen: string[] = [];
  let wake = (): void => {};
  const over: { end?: string } = {};
  stream.on('data', ({ update }: Update) => {
    seen.push(update?.$case === 'add' ? (update.value.metricLabels['n'] ?? '') : '');
    wake();
  });
  stream.on('end', () => ((over.end ??= 'OK'), wake()));
  stream.on('error', (error: ServiceError) => ((over.end = status[error.code]), wake()));
  /** @returns the last thing seen, or the end */
  const next = async (): Promise<string | undefined> => {
    const before = seen.length;
    while (seen.length === before && over.end === undefined) await new Promise<void>((resolve) => (wake = resolve));
    return over.end ?? seen.at(-1);
  };
  return { next, close: () => client.close() };
}

test('a client without certificate, with one, and with one of another anchor are all served', async () => {
  const authority = createTestAuthority();
  const { server, port } = await start(authority);
  const expired = createTestAuthority(Date.now() - 3 * 86_400_000).leaf('old.client');
  for (const own of [undefined, authority.leaf('a.client'), createTestAuthority().leaf('b.client'), expired]) {
    const stream = open(port, authority.anchorsPem, own && tlsOptions(own));
    assert.equal(await stream.next(), '0');
    stream.close();
  }
  await server.stop(500);
});

test('a client of another anchor does not trust the server', async () => {
  const { server, port } = await start(createTestAuthority());
  const stream = open(port, createTestAuthority().anchorsPem);
  assert.equal(await stream.next(), 'UNAVAILABLE');
  stream.close();
  await server.stop(500);
});

test('a new identity is for new connections, and streams that run go on', async () => {
  const before = createTestAuthority();
  const after = createTestAuthority();
  const { server, slot, port } = await start(before);
  const running = open(port, before.anchorsPem);
  assert.equal(await running.next(), '0');
  server.setIdentity({ ...tlsOptions(after.leaf(NAME)), ca: after.anchorsPem });
  slot.set(1);
  assert.equal(await running.next(), '1');
  const fresh = open(port, after.anchorsPem);
  assert.equal(await fresh.next(), '1');
  const outdated = open(port, before.anchorsPem);
  assert.equal(await outdated.next(), 'UNAVAILABLE');
  for (const stream of [running, fresh, outdated]) stream.close();
  await server.stop(500);
});

test('a server that stops ends its streams in order and soon', async () => {
  const authority = createTestAuthority();
  const { server, port } = await start(authority);
  const streams = [1, 2, 3].map(() => open(port, authority.anchorsPem));
  for (const stream of streams) assert.equal(await stream.next(), '0');
  const startedMs = Date.now();
  const ends = streams.map((stream) => stream.next());
  await server.stop(5000);
  assert.deepEqual(await Promise.all(ends), ['OK', 'OK', 'OK']);
  assert.ok(Date.now() - startedMs < 4000);
  for (const stream of streams) stream.close();
});
