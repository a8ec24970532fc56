import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request as httpRequest, Agent, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { ChunkDecoder } from './http/chunked.ts';
import { eventually, exchange, meshed, TestApp, TestMesh, unmeshed } from './testing/mesh.ts';
import { answering, RawServer } from './testing/raw-server.ts';
import type { Proxy } from './proxy.ts';

/** An application with every kind of response body, deterministic to the byte. */
function application(): Promise<TestApp> {
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    response.sendDate = false;
    if (path === '/chunked') {
      response.write('first,');
      response.write('second,');
      response.end('last');
    } else if (path === '/trailers') {
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('abc');
      response.addTrailers({ 'x-sum': '42' });
      response.end();
    } else if (path === '/204') response.writeHead(204).end();
    else if (path === '/304') response.writeHead(304, { etag: '"a"' }).end();
    else if (path === '/close') response.writeHead(200, { connection: 'close' }).end('closing');
    else if (path === '/503') response.writeHead(503, { 'content-length': '4' }).end('busy');
    else if (path === '/early') {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      response.end('hinted');
    } else if (path === '/echo') request.pipe(response);
    else if (path === '/collect') {
      const chunks: Uint8Array[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => response.end(Buffer.concat(chunks)));
    } else response.writeHead(200, { 'content-length': '5', 'X-Mixed-Case': 'caf\xe9' }).end('hello');
  });
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  return TestApp.start(server);
}

/** Leaves out what belongs to one connection. */
function withoutHopByHop(response: Buffer): string {
  return response.toString('latin1').replace(/^(?:connection|keep-alive):[^\r\n]*\r\n/gim, '');
}

/**
 * The responses as their meaning: HTTP/2 between the proxies knows neither the case of names nor chunks, and a response
 * without a body has no coding.
 */
function meaning(response: Buffer): string {
  return withoutHopByHop(response)
    .split(/(?=HTTP\/1\.[01] \d{3} )/)
    .map(meaningOfOne)
    .join('\n');
}

function meaningOfOne(message: string): string {
  const end = message.indexOf('\r\n\r\n');
  const [statusLine = '', ...fields] = message.slice(0, end).split('\r\n');
  const lower = fields.map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase()));
  const isChunked = lower.includes('transfer-encoding: chunked');
  const body = message.slice(end + 4);
  const kept = lower.filter((field) => field !== 'transfer-encoding: chunked').sort();
  if (!isChunked) return [statusLine, ...kept, '', body].join('\r\n');
  const decoder = new ChunkDecoder();
  const content = decoder.decode(Buffer.from(body, 'latin1'))?.toString('latin1') ?? '';
  return [statusLine, ...kept, '', content + decoder.trailers.toLowerCase()].join('\r\n');
}

const REQUESTS: Readonly<Record<string, string>> = {
  'content-length': 'GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  chunked: 'GET /chunked HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  trailers: 'GET /trailers HTTP/1.1\r\nHost: web\r\nTE: trailers\r\nConnection: close\r\n\r\n',
  HEAD: 'HEAD / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  'HEAD of chunked': 'HEAD /chunked HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  204: 'GET /204 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  304: 'GET /304 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  503: 'GET /503 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  'interim response': 'GET /early HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  'closing server': 'GET /close HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  'HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'HTTP/1.0 without length': 'GET /chunked HTTP/1.0\r\n\r\n',
  'request body': 'POST /echo HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde',
  'chunked request':
    'POST /echo HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n',
  'expect continue':
    'POST /echo HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi',
  'absolute target': 'GET http://web/ HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
  'pipelined requests':
    'GET / HTTP/1.1\r\nHost: web\r\n\r\nGET /304 HTTP/1.1\r\nHost: web\r\n\r\nHEAD / HTTP/1.1\r\nHost: web\r\n\r\n' +
    'POST /echo HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nxyzGET /204 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n',
};

test('responses through two proxies, and through one to an unmeshed server, equal those without a proxy', async (t) => {
  await using mesh = await TestMesh.start();
  using app = await application();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  for (const [path, endpoint] of Object.entries({
    meshed: meshed('web', app.port, server),
    unmeshed: unmeshed(app.port),
  })) {
    mesh.serve([endpoint]);
    await exchange(client.outboundPort, REQUESTS['content-length'] ?? '', { isEnding: false });
    for (const [name, request] of Object.entries(REQUESTS)) {
      await t.test(`${name}, ${path}`, async () => {
        const direct = await exchange(app.port, request, { isEnding: false });
        const proxied = await exchange(client.outboundPort, request, { isEnding: false });
        const view = path === 'meshed' ? meaning : withoutHopByHop;
        assert.equal(view(proxied), view(direct));
      });
    }
  }
});

test('bytes that arrive one at a time make the same exchange', async () => {
  await using mesh = await TestMesh.start();
  using app = await application();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const request = (REQUESTS['chunked request'] ?? '').replace('/echo', '/collect');
  const direct = await exchange(app.port, request, { isEnding: false });
  const proxied = await new Promise<Buffer>((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    const socket = connect({ port: client.outboundPort, host: '127.0.0.1', noDelay: true });
    let at = 0;
    const next = (): void => {
      if (at === request.length) return;
      socket.write(request[at] ?? '', 'latin1', () => setImmediate(next));
      at += 1;
    };
    socket.once('connect', next);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
  });
  assert.equal(meaning(proxied), meaning(direct));
});

test('a connection can be upgraded and then carries bytes both ways', async () => {
  await using mesh = await TestMesh.start();
  using app = await application();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const answer = await exchange(
    client.outboundPort,
    'GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nbytes of another protocol',
  );
  assert.match(answer.toString(), /^HTTP\/1.1 101 [\s\S]*upgrade: echo[\s\S]*\r\n\r\nbytes of another protocol$/i);
});

const MIB = 1024 * 1024;

/** @returns digest of what came back */
function transfer(client: Proxy, path: string, upload: Buffer | undefined, times: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const agent = new Agent();
    const request = httpRequest(
      {
        agent,
        port: client.outboundPort,
        path,
        method: upload === undefined ? 'GET' : 'POST',
        headers: { host: 'web', ...(upload && { 'content-length': String(upload.length * times) }) },
      },
      (response: IncomingMessage) => {
        const hash = createHash('sha256');
        response.on('data', (chunk: Buffer) => hash.update(chunk));
        response.on('end', () => {
          agent.destroy();
          resolve(hash.digest('hex'));
        });
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    let sent = 0;
    const send = (): void => {
      for (; sent < times; sent += 1) {
        if (upload !== undefined && !request.write(upload)) {
          sent += 1;
          request.once('drain', send);
          return;
        }
      }
      request.end();
    };
    send();
  });
}

test('100 MiB go down and up unchanged, with bounded memory', async () => {
  await using mesh = await TestMesh.start();
  const block = randomBytes(MIB);
  const expected = createHash('sha256');
  for (let n = 0; n < 100; n += 1) expected.update(block);
  const digest = expected.digest('hex');
  using app = await TestApp.start(
    createServer((request, response) => {
      if (request.method === 'POST') {
        const hash = createHash('sha256');
        request.on('data', (chunk: Buffer) => hash.update(chunk));
        request.on('end', () => response.end(hash.digest('hex')));
        return;
      }
      let left = 100;
      const send = (): void => {
        while (left > 0) {
          left -= 1;
          if (!response.write(block)) {
            response.once('drain', send);
            return;
          }
        }
        response.end();
      };
      response.writeHead(200, { 'content-length': String(100 * MIB) });
      send();
    }),
  );
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  assert.equal(await transfer(client, '/', undefined, 0), digest);
  assert.equal(await transfer(client, '/', block, 100), createHash('sha256').update(digest).digest('hex'));
});

test('a reader that stops reading stops the server, so the proxies hold little', async () => {
  await using mesh = await TestMesh.start();
  let sent = 0;
  using app = await RawServer.start((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n');
      const block = Buffer.alloc(64 * 1024);
      const send = (): void => {
        if (socket.destroyed) return;
        sent += block.length;
        if (socket.write(block)) setImmediate(send);
        else socket.once('drain', send);
      };
      send();
    });
  });
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
  socket.write('GET / HTTP/1.1\r\nhost: web\r\n\r\n');
  socket.pause();
  let before = -1;
  let sameFor = 0;
  await eventually(() => {
    sameFor = sent > 0 && sent === before ? sameFor + 1 : 0;
    before = sent;
    return sameFor > 15;
  }, 'the server stops sending');
  assert.ok(sent < 40 * MIB, `the server could send ${sent} bytes to a client that reads nothing`);
  socket.destroy();
});

test('a response that stops in the middle is an abort, not an end', async () => {
  await using mesh = await TestMesh.start();
  using app = await answering('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', true);
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  await assert.rejects(
    exchange(client.outboundPort, 'GET / HTTP/1.1\r\nhost: web\r\n\r\n', { isEnding: false }),
    /ECONNRESET/,
  );
});

test('an answer before the end of an upload that had to wait leaves the connection usable', async () => {
  await using mesh = await TestMesh.start();
  // It reads nothing until it answers: by then every window between it and the client is full.
  using app = await TestApp.start(
    createServer((request, response) => {
      if (request.method === 'GET') response.end('next');
      else setTimeout(() => response.writeHead(503).end('busy'), 300);
    }),
  );
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  for (const endpoint of [meshed('web', app.port, server), unmeshed(app.port)]) {
    mesh.serve([endpoint]);
    const socket = connect({ port: client.outboundPort, host: '127.0.0.1' });
    let received = '';
    let failure: Error | undefined;
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.on('error', (error) => (failure = error));
    socket.write(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${8 * MIB}\r\n\r\n`);
    socket.write(Buffer.alloc(8 * MIB));
    await eventually(() => received.endsWith('busy') || received.endsWith('busy\r\n0\r\n\r\n'), 'the early answer');
    socket.write('GET /next HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
    await eventually(() => failure !== undefined || /HTTP\/1.1 200 [^]*next/.test(received), 'the next answer');
    assert.equal(failure, undefined);
    assert.match(received, /^HTTP\/1.1 503 [^]*HTTP\/1.1 200 [^]*next/);
    socket.destroy();
  }
});
