import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Proxy } from './proxy.ts';
import { eventually, exchange, meshed, SERVICE_HOST, SERVICE_IP, TestMesh, unmeshed } from './testing/mesh.ts';
import { RawServer } from './testing/raw-server.ts';

/** Both ways to a TCP service: declared opaque, and found to be by its bytes. */
async function bothWays(run: (client: Proxy, mesh: TestMesh) => Promise<void>, app: RawServer): Promise<void> {
  await using mesh = await TestMesh.start();
  const server = await mesh.proxy({ name: 'store' });
  const client = await mesh.proxy({ name: 'client' });
  for (const isOpaque of [true, false]) {
    mesh.servePort(isOpaque ? 6379 : 7000, [meshed('store', app.port, server)], isOpaque);
    await run(client, mesh);
  }
}

test('random bytes in random pieces come back exactly, to the end', async () => {
  using app = await RawServer.start((socket) => socket.pipe(socket));
  await bothWays(async (client) => {
    const bytes = Buffer.concat([Buffer.from([0, 1, 2, 255]), randomBytes(3_000_000)]);
    const received = createHash('sha256');
    let count = 0;
    const socket = connect({ port: client.outboundPort, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('data', (chunk: Buffer) => {
      count += chunk.length;
      received.update(chunk);
    });
    for (let at = 0; at < bytes.length;) {
      const size = 1 + Math.floor(Math.random() * 100_000);
      if (!socket.write(bytes.subarray(at, at + size))) await once(socket, 'drain');
      at += size;
    }
    socket.end();
    await once(socket, 'end');
    assert.equal(count, bytes.length);
    assert.equal(received.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
    socket.destroy();
  }, app);
});

test('the client may finish sending and still hear the answer', async () => {
  using app = await RawServer.start((socket) => {
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
    socket.on('end', () => setTimeout(() => socket.end(`${bytes} bytes`), 50));
  });
  await bothWays(async (client) => {
    assert.equal((await exchange(client.outboundPort, '\0hello')).toString(), '6 bytes');
  }, app);
});

test('the server may finish sending and still hear the client', async () => {
  const heard: string[] = [];
  using app = await RawServer.start((socket) => {
    socket.end('bye');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => heard.push(text));
  });
  await bothWays(async (client) => {
    const before = heard.length;
    const socket = connect({ port: client.outboundPort, host: '127.0.0.1', allowHalfOpen: true });
    socket.resume();
    await once(socket, 'end');
    socket.write('one,');
    setTimeout(() => socket.end('two'), 30);
    await eventually(() => heard.length > before, 'the server hears the end');
    assert.equal(heard.at(-1), 'one,two');
    socket.destroy();
  }, app);
});

test('a server that speaks first is heard within a moment', async () => {
  using app = await RawServer.start((socket) => {
    socket.write('220 ready\r\n');
    socket.on('data', (chunk: Buffer) => socket.end(`250 ${chunk.toString()}`));
  });
  await bothWays(async (client) => {
    const startedMs = performance.now();
    const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    assert.equal(greeting.toString(), '220 ready\r\n');
    assert.ok(performance.now() - startedMs < 2000);
    socket.write('HELO\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(answer.toString(), '250 HELO\r\n');
    socket.destroy();
  }, app);
});

test('a client whose first word could still become a request is answered without waiting for the detection to end', async () => {
  using app = await RawServer.start((socket) => {
    socket.on('data', (chunk: Buffer) => socket.write(`heard ${chunk.toString()}`));
  });
  await using mesh = await TestMesh.start();
  const env = { INBOUND_DETECT_TIMEOUT: '1h', OUTBOUND_DETECT_TIMEOUT: '1h' };
  const server = await mesh.proxy({ name: 'store', env });
  const client = await mesh.proxy({ name: 'client', env });
  for (const endpoint of [meshed('store', app.port, server), unmeshed(app.port)]) {
    mesh.servePort(endpoint.identity === undefined ? 7001 : 7002, [endpoint], false);
    for (const word of ['HELLO', 'get key', 'P']) {
      const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
      socket.write(word);
      const [answer] = (await once(socket, 'data', { signal: AbortSignal.timeout(20_000) })) as [Buffer];
      assert.equal(answer.toString(), `heard ${word}`);
      socket.destroy();
    }
  }
});

test('a client that is slow to speak HTTP is still served as HTTP', async () => {
  using app = await RawServer.start((socket) => {
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
  });
  await using mesh = await TestMesh.start();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  await new Promise((resolve) => void setTimeout(resolve, 300));
  socket.write('GET / HT');
  await new Promise((resolve) => void setTimeout(resolve, 200));
  socket.write('TP/1.1\r\nhost: web\r\n\r\n');
  await eventually(() => answer.endsWith('ok'), 'the answer');
  const metrics = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
  assert.match(metrics, /request_total\{direction="outbound"[^}]*\} 1/);
  socket.destroy();
});

test('an abort on one end is an abort on the other', async () => {
  const errors: string[] = [];
  const sockets: Socket[] = [];
  using app = await RawServer.start((socket) => {
    sockets.push(socket);
    socket.on('error', (error) => errors.push(error.message));
    socket.on('data', () => socket.write('x'));
  });
  await bothWays(async (client) => {
    const open = async (): Promise<Socket> => {
      const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.write('\0');
      await once(socket, 'data');
      return socket;
    };
    const first = await open();
    const before = errors.length;
    first.resetAndDestroy();
    await eventually(() => errors.length > before, 'the server sees the reset');
    const second = await open();
    const failed = once(second, 'error');
    sockets.at(-1)?.resetAndDestroy();
    assert.match(String((await failed)[0]), /ECONNRESET/);
  }, app);
});

test('bytes of TLS pass through to an unmeshed server unchanged', async () => {
  using app = await RawServer.start((socket) => socket.pipe(socket));
  await using mesh = await TestMesh.start();
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([unmeshed(app.port)]);
  const bytes = '\x16\x03\x01\0\x05hello';
  const answer = await exchange(client.outboundPort, Buffer.from(bytes, 'latin1'));
  assert.equal(answer.toString('latin1'), bytes);
});

test('a refused connection reaches the application as a reset', async () => {
  await using mesh = await TestMesh.start();
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([unmeshed(1)], true);
  await assert.rejects(exchange(client.outboundPort, '\0'), /ECONNRESET/);
});

test('a client that waits for a dead server to speak is not left waiting', async () => {
  await using mesh = await TestMesh.start();
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([unmeshed(1)]);
  const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
  const startedMs = performance.now();
  const [error] = (await once(socket, 'error')) as [Error];
  assert.match(error.message, /ECONNRESET/);
  assert.ok(performance.now() - startedMs < 4000);
});

test('a split divides connections that are not HTTP, opaque ones and those found to be', async () => {
  using one = await RawServer.start((socket) => void socket.end('one'));
  using two = await RawServer.start((socket) => void socket.end('two'));
  await using mesh = await TestMesh.start();
  const client = await mesh.proxy({ name: 'client' });
  const canary = 'canary.shop.svc.cluster.local';
  for (const isOpaque of [true, false]) {
    const port = isOpaque ? 6379 : 7000;
    mesh.servePort(port, [unmeshed(one.port)], isOpaque);
    mesh.control.setEndpoints(`${canary}:${port}`, [unmeshed(two.port)]);
    const targets = [
      { authority: `${SERVICE_HOST}:${port}`, weight: 3 },
      { authority: `${canary}:${port}`, weight: 1 },
    ];
    mesh.control.setProfile(`${SERVICE_IP}:${port}`, { fullyQualifiedName: SERVICE_HOST, isOpaque, targets });
    const answers: string[] = [];
    for (let n = 0; n < 200; n += 1) answers.push((await exchange(client.outboundPort, '\0hello')).toString());
    const share = answers.filter((answer) => answer === 'two').length;
    assert.equal(answers.filter((answer) => answer === 'one').length, 200 - share);
    // 50 are expected; five standard deviations are 31.
    assert.ok(share > 19 && share < 81, `${share} of 200`);
  }
});
