import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DestinationService, type DestinationProfile } from '#api/gen/destination.ts';
import { createTestAuthority } from '#pki/testing.ts';
import { createLogger } from '#runtime/log.ts';
import { anonymousContext, readTrustAnchors } from '../identity/credentials.ts';
import { CONTROL_IDENTITY, TestControlPlane } from '../testing/control-plane.ts';
import { eventually } from '../testing/mesh.ts';
import { Flag, Frame, PREFACE } from '../http2/frames.ts';
import { frame, SETTINGS, uint32 } from '../testing/raw-http2.ts';
import { RawServer } from '../testing/raw-server.ts';
import { backoffMs } from './backoff.ts';
import { GrpcClient, GrpcError, STATUS } from './client.ts';
import { watchStream } from '../discovery/watch-stream.ts';

function clientOf(control: TestControlPlane, identity = CONTROL_IDENTITY, random = Math.random): GrpcClient {
  const context = anonymousContext(readTrustAnchors(control.authority.anchorsPem));
  return new GrpcClient(
    { host: '127.0.0.2', port: control.port, identity },
    {
      exemption: { kind: 'uid', uid: 2102 },
      context: () => context,
      log: createLogger('test', 'silent'),
      random,
    },
  );
}

const request = { scheme: '', path: '10.0.0.1:80', contextToken: '' };

test('a watch outlives the control plane and hears its news when it is back', async () => {
  await using control = new TestControlPlane(createTestAuthority());
  control.setProfile(request.path, { fullyQualifiedName: 'one', isOpaque: false });
  await control.start();
  using client = clientOf(control);
  const heard: [string, boolean][] = [];
  let interruptions = 0;
  using _watch = watchStream(client, DestinationService.getProfile, request, {
    onMessage: (message: DestinationProfile, isFirst) => heard.push([message.fullyQualifiedName, isFirst]),
    onInterrupted: () => (interruptions += 1),
    onRefused: (error) => assert.fail(error),
  });
  await eventually(() => heard.length === 1, 'the first answer');
  control.setProfile(request.path, { fullyQualifiedName: 'two', isOpaque: false });
  await eventually(() => heard.length === 2, 'an update');
  await control.stop();
  await eventually(() => interruptions > 0 && !client.isReachable, 'the loss is noticed');
  control.setProfile(request.path, { fullyQualifiedName: 'three', isOpaque: false });
  await control.start();
  await eventually(() => heard.length === 3, 'news after the return');
  assert.deepEqual(heard, [
    ['one', true],
    ['two', false],
    ['three', true],
  ]);
});

test('after a loss watches wait their turn, a new question does not', async () => {
  await using control = new TestControlPlane(createTestAuthority());
  control.setProfile(request.path, { fullyQualifiedName: 'one', isOpaque: false });
  await control.start();
  using client = clientOf(control, CONTROL_IDENTITY, () => 0.5); // the middle of the time over which all of them spread
  const order: string[] = [];
  using _watch = watchStream(client, DestinationService.getProfile, request, {
    onMessage: () => order.push('watch'),
    onInterrupted: () => order.push('lost'),
    onRefused: (error) => assert.fail(error),
  });
  await eventually(() => order.length === 1, 'the first answer');
  await control.stop();
  await eventually(() => order.length === 2, 'the loss');
  await control.start();
  const heard = { onMessage: () => order.push('question'), onEnd: () => {} };
  using _question = client.stream(DestinationService.getProfile, request, heard);
  await eventually(() => order.length === 4, 'both');
  assert.deepEqual(order, ['watch', 'lost', 'question', 'watch']);
  assert.equal(client.watchPauseMs(1), backoffMs(1, 0.5), 'with a connection nobody waits for a turn');
});

test('an answer that no repetition can change ends the watch', async () => {
  await using control = new TestControlPlane(createTestAuthority());
  await control.start();
  using client = clientOf(control);
  const status = await new Promise<number>((resolve) => {
    watchStream(client, DestinationService.getProfile, request, {
      onMessage: () => resolve(-1),
      onRefused: (error) => resolve(error.status),
    });
  });
  assert.equal(status, STATUS.invalidArgument);
});

test('a server with another name is not spoken to', async () => {
  await using control = new TestControlPlane(createTestAuthority());
  await control.start();
  using client = clientOf(control, 'somebody.else');
  await assert.rejects(
    client.unary(DestinationService.getProfile, request, 2000),
    (error: unknown) =>
      error instanceof GrpcError && error.status === STATUS.unavailable && /names control/.test(error.message),
  );
});

test('hundreds of watches share one connection', async () => {
  await using control = new TestControlPlane(createTestAuthority());
  await control.start();
  using client = clientOf(control);
  let answers = 0;
  using watches = new DisposableStack();
  for (let n = 0; n < 300; n += 1) {
    const path = `10.0.0.1:${n}`;
    control.setProfile(path, { fullyQualifiedName: path, isOpaque: false });
    const handler = { onMessage: () => (answers += 1), onRefused: (error: GrpcError) => assert.fail(error) };
    watches.use(watchStream(client, DestinationService.getProfile, { ...request, path }, handler));
    // As a proxy learns of its targets: one by one.
    await eventually(() => answers === n + 1, `answer ${n}`);
  }
  assert.equal(control.connections, 1);
});

test('pauses grow to a limit and are never equal for everybody', () => {
  assert.equal(backoffMs(1, 0), 100);
  assert.equal(backoffMs(3, 0), 400);
  assert.equal(backoffMs(1000, 0), 10_000);
  assert.equal(backoffMs(1000, 0.5), 11_000);
});

test('a connection that the server drains is watched until its last call ends', async (context) => {
  let isDrained = false;
  let pings = 0;
  using server = await RawServer.start((socket) => {
    let unread = Buffer.alloc(0);
    let at = PREFACE.length;
    socket.write(SETTINGS);
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= at + 9 && unread.length >= at + 9 + unread.readUIntBE(at, 3)) {
        const [type, flags = 0] = [unread[at + 3], unread[at + 4]];
        at += 9 + unread.readUIntBE(at, 3);
        if (type === Frame.SETTINGS) socket.write(frame(Frame.SETTINGS, Flag.ACK, 0));
        if (type === Frame.HEADERS) {
          socket.write(frame(Frame.GOAWAY, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
          socket.write(frame(Frame.PING, 0, 0, Buffer.alloc(8)));
        }
        if (type !== Frame.PING) continue;
        if ((flags & Flag.ACK) !== 0) isDrained = true;
        else pings += 1; // which it does not answer
      }
    });
  });
  let skippedMs = 0;
  const now = performance.now.bind(performance);
  context.mock.method(performance, 'now', () => now() + skippedMs);
  using client = new GrpcClient(
    { host: '127.0.0.1', port: server.port, identity: undefined },
    {
      exemption: { kind: 'uid', uid: 2102 },
      context: () => assert.fail('plain text needs no certificate'),
      log: createLogger('test', 'silent'),
      random: Math.random,
    },
  );
  const ends: GrpcError[] = [];
  client.stream(DestinationService.getProfile, request, { onMessage: () => {}, onEnd: (error) => ends.push(error) });
  await eventually(() => isDrained, 'GOAWAY has arrived during the call');
  assert.equal(ends.length, 0);
  skippedMs = 11_000;
  await eventually(() => pings > 0, 'the silent server is asked for a sign of life');
  assert.equal(ends.length, 0);
  skippedMs = 22_000;
  await eventually(() => ends.length > 0, 'the call ends with its connection');
  assert.equal(ends[0]?.status, STATUS.unavailable);
  await eventually(() => server.sockets.size === 0, 'the connection is closed');
});
