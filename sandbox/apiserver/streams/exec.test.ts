import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { toBuffer } from './channel-socket.ts';
import { StreamServer, testPod } from './testing/stream-server.ts';

type Received = { channels: Map<number, string>; code: number };

function open(server: StreamServer, query: string, protocols: string | string[] = 'v5.channel.k8s.io'): WebSocket {
  const path = `/api/v1/namespaces/default/pods/web/exec?${query}`;
  return new WebSocket(`ws://127.0.0.1:${server.port}${path}`, protocols, { perMessageDeflate: false });
}

/** Everything up to the close, decoded per channel. */
async function collect(socket: WebSocket): Promise<Received> {
  const chunks = new Map<number, Buffer[]>();
  socket.on('message', (message) => {
    const bytes = toBuffer(message);
    const channel = bytes[0] ?? -1;
    chunks.set(channel, [...(chunks.get(channel) ?? []), bytes.subarray(1)]);
  });
  const [code] = (await once(socket, 'close')) as [number];
  return { channels: new Map([...chunks].map(([key, list]) => [key, Buffer.concat(list).toString()])), code };
}

function command(...parts: readonly string[]): string {
  return parts.map((part) => `command=${encodeURIComponent(part)}`).join('&');
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, what);
    await delay(10);
  }
}

test('outputs come on their own channels and the exit code as a Status', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('sh', '-c', 'echo out; echo err >&2; exit 3')}&stdout=true&stderr=true`);
  const { channels, code } = await collect(socket);
  assert.equal(channels.get(1), 'out\n');
  assert.equal(channels.get(2), 'err\n');
  const status = JSON.parse(channels.get(3) ?? '') as { reason: string; details: unknown };
  assert.equal(status.reason, 'NonZeroExitCode');
  assert.deepEqual(status.details, { causes: [{ reason: 'ExitCode', message: '3' }] });
  assert.equal(code, 1000);
});

test('a command that succeeds ends with Success', async () => {
  await using server = await StreamServer.start();
  const { channels } = await collect(open(server, `${command('true')}&stdout=1`));
  assert.deepEqual(JSON.parse(channels.get(3) ?? ''), { metadata: {}, status: 'Success' });
});

test('stdin reaches the command and can be ended with version 5', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('wc', '-c')}&stdin=true&stdout=true`);
  await once(socket, 'open');
  const received = collect(socket);
  for (let count = 0; count < 100; count += 1)
    socket.send(Buffer.concat([Buffer.from([0]), Buffer.alloc(10_000, 'x')]));
  socket.send(Buffer.from([255, 0]));
  assert.equal((await received).channels.get(1)?.trim(), '1000000');
});

test('a large output arrives whole although the client reads slowly', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('head', '-c', '20000000', '/dev/zero')}&stdout=true`);
  let bytes = 0;
  socket.on('message', (message) => {
    const frame = toBuffer(message);
    if (frame[0] === 1) bytes += frame.length - 1;
    socket.pause();
    setImmediate(() => socket.resume());
  });
  await once(socket, 'close');
  assert.equal(bytes, 20_000_000);
});

test('an endless output is held back by a client that does not read', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('yes')}&stdout=true`);
  await once(socket, 'open');
  socket.pause();
  const before = process.memoryUsage().rss;
  await delay(300); // time for megabytes to pile up, if they could
  assert.ok(process.memoryUsage().rss - before < 100_000_000);
  socket.terminate();
  await until(() => server.agent.killed.length === 1, 'the command is ended with its client');
});

test('a client that leaves while its input is held back ends the command', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('sleep', '60')}&stdin=true&stdout=true`);
  await once(socket, 'open');
  for (let count = 0; count < 40; count += 1) socket.send(Buffer.alloc(500_000));
  await delay(100);
  assert.ok(socket.bufferedAmount > 1_000_000, 'nobody reads the input');
  socket.terminate();
  await until(() => server.agent.killed.length === 1, 'the command is ended with its client');
});

test('a terminal size is passed on, nonsense is not', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('cat')}&stdin=true&stdout=true&tty=true`);
  await once(socket, 'open');
  for (const text of ['{"Width":120,"Height":40}', '{"Width":-1,"Height":40}', '{', 'null']) {
    socket.send(Buffer.concat([Buffer.from([4]), Buffer.from(text)]));
  }
  socket.send(Buffer.from([255, 0]));
  await once(socket, 'close');
  assert.deepEqual(server.agent.sizes, ['120x40']);
});

test('a node that refuses is heard on the status channel', async () => {
  await using server = await StreamServer.start();
  const { channels } = await collect(open(server, `${command('refused')}&stdout=true`));
  assert.match(channels.get(3) ?? '', /"message":"container is not running"/);
});

test('a client of version 4 is served, stdin stays open until it leaves', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('cat')}&stdin=true&stdout=true`, ['v4.channel.k8s.io', 'channel.k8s.io']);
  await once(socket, 'open');
  assert.equal(socket.protocol, 'v4.channel.k8s.io');
  socket.send(Buffer.from('\0hello'));
  const [message] = (await once(socket, 'message')) as [Buffer];
  assert.equal(message.toString(), '\x01hello');
  socket.send(Buffer.from([255, 0])); // means nothing in this version
  socket.close();
  await until(() => server.agent.killed.length === 1, 'the command is ended with its client');
});

test('attach follows the output of the container', async () => {
  await using server = await StreamServer.start();
  const url = `ws://127.0.0.1:${server.port}/api/v1/namespaces/default/pods/web/attach?stdout=true&stderr=true`;
  const { channels } = await collect(new WebSocket(url, 'v5.channel.k8s.io'));
  assert.equal(channels.get(1), 'one\ntwo\n');
  assert.equal(server.agent.logCalls[0]?.follow, true);
});

async function refusal(server: StreamServer, query: string, protocol: string): Promise<string> {
  const socket = open(server, query, protocol);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, NodeJS.ReadableStream];
  response.setEncoding('utf8');
  let body = '';
  for await (const chunk of response) body += String(chunk);
  socket.on('error', () => undefined);
  socket.terminate();
  return body;
}

test('what can never run is refused before the upgrade with a Status that says why', async () => {
  await using server = await StreamServer.start();
  const v5 = 'v5.channel.k8s.io';
  assert.match(await refusal(server, 'stdout=true', v5), /at least one command/);
  assert.match(await refusal(server, command('ls'), v5), /at least 1 of stdin, stdout, stderr/);
  assert.match(
    await refusal(server, `${command('ls')}&stdout=true&container=no`, v5),
    /container no is not valid for pod web/,
  );
  assert.match(await refusal(server, `${command('ls')}&stdout=true`, 'v1.channel.k8s.io'), /v5\.channel\.k8s\.io/);
  server.pod = { ...testPod, spec: { containers: [{ name: 'a' }, { name: 'b' }], initContainers: [{ name: 'i' }] } };
  assert.match(
    await refusal(server, `${command('ls')}&stdout=true`, v5),
    /choose one of: \[a b\] or one of the init containers: \[i\]/,
  );
});

test('an upgrade to something else is refused with what to use', async () => {
  await using server = await StreamServer.start();
  const outgoing = request({
    port: server.port,
    method: 'POST',
    path: `/api/v1/namespaces/default/pods/web/exec?${command('ls')}&stdout=true`,
    headers: { Connection: 'Upgrade', Upgrade: 'SPDY/2' },
  });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
  assert.equal(response.statusCode, 400);
  let body = '';
  for await (const chunk of response) body += String(chunk);
  assert.match(body, /"kind":"Status".*streaming needs GET with/);
});

test('ending the streams ends every session', async () => {
  await using server = await StreamServer.start();
  const socket = open(server, `${command('sleep', '60')}&stdout=true`);
  await once(socket, 'open');
  server.streams[Symbol.dispose]();
  await once(socket, 'close');
  await until(() => server.agent.killed.length === 1, 'the command is ended');
});
