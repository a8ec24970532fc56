import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TapService } from '#api/gen/tap.ts';
import { createLogger } from '#runtime/log.ts';
import { ErrorCode } from '../http2/errors.ts';
import { Flag, Frame } from '../http2/frames.ts';
import { block, frame, RawHttp2, SETTINGS, uint32, type Fields } from '../testing/raw-http2.ts';
import { TapHub } from './hub.ts';
import { TapServer } from './server.ts';

/** A tap server that ends idle connections soon. Its clients here have no identity: each call is refused when it is complete. */
async function start(idleMs = 60_000): Promise<TapServer> {
  const server = new TapServer({
    host: '127.0.0.1',
    port: 0,
    client: 'tap',
    credentials: () => undefined,
    hub: new TapHub(() => performance.now()),
    log: createLogger('test', 'silent'),
    timeoutMs: 10_000,
    idleMs,
  });
  await server.listen();
  return server;
}

const OBSERVE: Fields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'tap'],
  [':path', TapService.observe.path],
  ['te', 'trailers'],
];
const head = (id: number, fields: Fields, isEnd = false): Buffer =>
  frame(Frame.HEADERS, Flag.END_HEADERS | (isEnd ? Flag.END_STREAM : 0), id, block(fields));
const data = (id: number, isEnd = true): Buffer => frame(Frame.DATA, isEnd ? Flag.END_STREAM : 0, id, Buffer.alloc(5));
const resetCode = ({ frames }: RawHttp2, id: number): number | undefined =>
  frames.find(({ type, id: of }) => type === Frame.RST_STREAM && of === id)?.payload.readUInt32BE(0);

test('a connection without a call is told to go and ended, one with a call stays', async () => {
  using server = await start(1);
  using busy = await RawHttp2.connect(server.port);
  busy.send(SETTINGS, head(1, OBSERVE));
  using idle = await RawHttp2.connect(server.port);
  idle.send(SETTINGS);
  await idle.until(() => false);
  assert.equal(idle.goAwayCode, ErrorCode.NO_ERROR);
  assert.equal(busy.isOver, false);
  busy.send(data(1));
  await busy.until(() => busy.hasEnded(1));
  assert.match(busy.fields(1), /grpc-status: 16\r\n/);
  await busy.until(() => false);
  assert.equal(busy.goAwayCode, ErrorCode.NO_ERROR);
});

test('after GOAWAY of the client its connection ends with its last call', async () => {
  using server = await start();
  using client = await RawHttp2.connect(server.port);
  client.send(SETTINGS, head(1, OBSERVE), head(3, OBSERVE), frame(Frame.GOAWAY, 0, 0, Buffer.alloc(8)));
  client.send(data(1));
  await client.until(() => client.hasEnded(1));
  assert.equal(client.isOver, false);
  client.send(data(3));
  await client.until(() => false);
  assert.ok(client.hasEnded(3));
  assert.equal(client.goAwayCode, ErrorCode.NO_ERROR);
});

test('a call that is malformed, incomplete or one too many ends, and the connection goes on', async () => {
  using server = await start();
  using client = await RawHttp2.connect(server.port);
  const without = OBSERVE.filter(([name]) => name !== ':scheme');
  client.send(SETTINGS, head(1, without), head(3, [...OBSERVE, ['content-length', '9']]), data(3));
  client.send(head(5, OBSERVE), head(5, [[':path', '/']], true));
  client.send(head(7, OBSERVE, true), head(9, [...OBSERVE, ['connection', 'close']]));
  await client.until(() => [1, 3, 5, 7, 9].every((id) => client.hasEnded(id)));
  assert.deepEqual(
    [1, 3, 5, 7, 9].map((id) => resetCode(client, id)),
    [1, 1, 1, undefined, 1],
  );
  assert.match(client.fields(7), /grpc-status: 16\r\n/);
  for (let id = 11; id <= 11 + 2 * 16; id += 2) client.send(head(id, OBSERVE));
  const last = 11 + 2 * 16;
  await client.until(() => client.hasEnded(last));
  assert.match(client.fields(last), /grpc-status: 8\r\n/);
  assert.equal(client.hasEnded(11), false);
  client.send(frame(Frame.RST_STREAM, 0, 11, uint32(8)), head(last + 2, OBSERVE, true));
  await client.until(() => client.hasEnded(last + 2));
  assert.match(client.fields(last + 2), /grpc-status: 16\r\n/);
});
