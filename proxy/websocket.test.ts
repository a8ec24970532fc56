import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { meshed, TestApp, TestMesh, unmeshed } from './testing/mesh.ts';

const MESSAGES = 1000;

test('a WebSocket carries 1,000 messages each way, beside the requests of HTTP/2 between the proxies', async () => {
  await using mesh = await TestMesh.start();
  const http = createServer((_request, response) => response.end('plain'));
  const sockets = new WebSocketServer({ server: http });
  sockets.on('connection', (socket, request) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.send(`for ${String(request.headers['l5d-client-id'])}`);
  });
  using app = await TestApp.start(http);
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  for (const [port, endpoint] of [
    [91, meshed('web', app.port, server)],
    [92, unmeshed(app.port)],
  ] as const) {
    mesh.servePort(port, [endpoint], false);
    const url = `http://127.0.0.1:${client.outboundPort}/`;
    assert.equal(await (await fetch(url)).text(), 'plain');
    const socket = new WebSocket(url.replace('http', 'ws'));
    const received: string[] = [];
    socket.on('message', (data: Buffer) => received.push(data.toString()));
    await once(socket, 'open');
    for (let n = 0; n < MESSAGES; n += 1) socket.send(`${n} ${'x'.repeat(n * 10)}`);
    while (received.length < MESSAGES + 1) await once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
    const [greeting, ...echoed] = received;
    assert.match(greeting ?? '', port === 91 ? /^for client\.shop\./ : /^for undefined$/);
    assert.deepEqual(
      echoed,
      Array.from({ length: MESSAGES }, (_, n) => `${n} ${'x'.repeat(n * 10)}`),
    );
    assert.equal(await (await fetch(url)).text(), 'plain');
    socket.close();
    await once(socket, 'close');
  }
});
