// Exchanges in which request and response do not simply follow each other: over every way that one can take.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { Proxy } from './proxy.ts';
import { listen, meshed, SERVICE_HOST, TestMesh, unmeshed } from './testing/mesh.ts';
import { policy, rule } from './testing/routed.ts';

/** HTTP/1 is carried over HTTP/2 between proxies, and goes as it is to a server without one; with routes each attempt is one of several. */
async function everyWay(app: Server, run: (client: Proxy, way: string) => Promise<void>): Promise<void> {
  await using mesh = await TestMesh.start();
  const { port } = app.address() as AddressInfo;
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.control.setEndpoints(`${SERVICE_HOST}:80`, []); // that the opaque route of the policy names
  let servicePort = 90;
  for (const endpoint of [meshed('web', port, server), unmeshed(port)]) {
    for (const isRouted of [true, false]) {
      servicePort += 1;
      if (isRouted) {
        const backend = { ref: { type: 'default', name: 'b' }, target: { kind: 'forward', endpoint } } as const;
        const distribution = { kind: 'first-available', backends: [{ backend, filters: [] }] } as const;
        const retry = { maxRetries: 1, maxRequestBytes: 65_536, conditions: [{ min: 502, max: 504 }] };
        mesh.control.setOutboundPolicy(servicePort, policy([rule({ distribution, retry })]));
      }
      mesh.servePort(servicePort, [endpoint], false);
      await run(client, `${endpoint.identity === undefined ? 'unmeshed' : 'meshed'}, ${isRouted ? '' : 'not '}routed`);
    }
  }
}

type Outcome = {
  readonly status: number;
  readonly body: string;
  readonly wasContinued: boolean;
  readonly trailers?: unknown;
};

/** Waits with its body for 100, or for an answer instead. */
async function expecting(client: Proxy, path: string, body: string): Promise<Outcome> {
  const request = httpRequest({
    port: client.outboundPort,
    path,
    method: 'POST',
    agent: false,
    headers: { host: 'web', expect: '100-continue', 'transfer-encoding': 'chunked' },
  });
  request.setTimeout(10_000, () => request.destroy(new Error('no answer')));
  let wasContinued = false;
  request.on('continue', () => {
    wasContinued = true;
    request.end(body);
  });
  request.flushHeaders();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const outcome = { status: response.statusCode ?? 0, body: await text(response), wasContinued };
  request.destroy();
  return outcome;
}

/** An HTTP/1 application whose 100 comes when it has looked at the head. */
function cautious(): Promise<Server> {
  const server = createServer(async (request, response) => {
    response.end(`heard ${await text(request)}`);
  });
  server.on('checkContinue', async (request, response) => {
    if (request.url === '/no') {
      response.writeHead(413, { connection: 'close' }).end('too much');
      return;
    }
    response.writeContinue();
    response.end(`heard ${await text(request)}`);
  });
  return listen(server);
}

test('Expect: 100-continue over HTTP/1: the client hears 100 before it sends, or the refusal instead', async () => {
  const app = await cautious();
  await everyWay(app, async (client, way) => {
    assert.deepEqual(
      await expecting(client, '/', 'hello'),
      { status: 200, body: 'heard hello', wasContinued: true },
      way,
    );
    assert.deepEqual(
      await expecting(client, '/no', 'hello'),
      { status: 413, body: 'too much', wasContinued: false },
      way,
    );
    assert.deepEqual(
      await expecting(client, '/', 'again'),
      { status: 200, body: 'heard again', wasContinued: true },
      way,
    );
  });
  app.close();
});

/** An HTTP/2 application. */
function http2App(serve: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void): Promise<Http2Server> {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    serve(stream, headers);
  });
  server.on('checkContinue', () => {}); // the stream is served above
  return listen(server);
}

test('Expect: 100-continue over HTTP/2', async () => {
  const app = await http2App((stream, headers) => {
    if (headers[':path'] === '/no') {
      stream.respond({ ':status': 413 });
      stream.end('too much');
      return;
    }
    stream.additionalHeaders({ ':status': 100 });
    void text(stream).then((body) => {
      stream.respond();
      stream.end(`heard ${body}`);
    });
  });
  await everyWay(app, async (client, way) => {
    const session = connectHttp2(`http://127.0.0.1:${client.outboundPort}`);
    const ask = async (path: string): Promise<Outcome> => {
      const stream = session.request(
        { ':method': 'POST', ':path': path, ':authority': 'web', expect: '100-continue' },
        { endStream: false },
      );
      let wasContinued = false;
      stream.on('continue', () => {
        wasContinued = true;
        stream.end('hello');
      });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      const outcome = { status: Number(headers[':status']), body: await text(stream), wasContinued };
      stream.close();
      return outcome;
    };
    assert.deepEqual(await ask('/'), { status: 200, body: 'heard hello', wasContinued: true }, way);
    assert.deepEqual(await ask('/no'), { status: 413, body: 'too much', wasContinued: false }, way);
    assert.deepEqual(await ask('/'), { status: 200, body: 'heard hello', wasContinued: true }, way);
    session.destroy();
  });
  app.close();
});

const UPLOAD = Buffer.alloc(64 * 1024, 'u');
const UPLOAD_COUNT = 200;

test('an answer to an upload that is not complete arrives whole, over HTTP/1 and HTTP/2', async () => {
  const answer = 'x'.repeat(100_000);
  const http1 = await listen(
    createServer((request, response) => {
      request.resume();
      response.writeHead(401, { 'content-length': answer.length }).end(answer);
    }),
  );
  await everyWay(http1, async (client, way) => {
    const request = httpRequest({
      port: client.outboundPort,
      method: 'POST',
      agent: false,
      headers: { host: 'web', 'content-length': UPLOAD.length * UPLOAD_COUNT },
    });
    request.on('error', () => {}); // of the rest of the upload, which nobody wants
    request.write(UPLOAD);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let sent = 1;
    const send = (): void => {
      while (sent < UPLOAD_COUNT && request.writable) {
        sent += 1;
        if (!request.write(UPLOAD)) return void request.once('drain', send);
      }
    };
    send();
    assert.deepEqual([response.statusCode, await text(response)], [401, answer], way);
    request.destroy();
  });
  http1.close();
  const http2 = await http2App((stream) => {
    stream.respond({ ':status': 401 });
    stream.end(answer);
  });
  await everyWay(http2, async (client, way) => {
    const session = connectHttp2(`http://127.0.0.1:${client.outboundPort}`);
    const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': 'web' }, { endStream: false });
    stream.on('error', () => {});
    stream.write(UPLOAD);
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    assert.deepEqual([headers[':status'], await text(stream)], [401, answer], way);
    stream.close();
    const next = session.request({ ':path': '/', ':authority': 'web' });
    const [after] = (await once(next, 'response')) as [Record<string, unknown>];
    assert.equal(after[':status'], 401, 'the connection goes on');
    session.destroy();
  });
  http2.close();
});

test('trailers of requests and responses over HTTP/1', async () => {
  const app = await listen(
    createServer(async (request, response) => {
      const body = await text(request);
      response.writeHead(200, { trailer: 'x-back' });
      response.write(body);
      response.addTrailers({ 'x-back': String(request.trailers['x-sum']) });
      response.end();
    }),
  );
  await everyWay(app, async (client, way) => {
    const request = httpRequest({
      port: client.outboundPort,
      method: 'POST',
      agent: false,
      headers: { host: 'web', te: 'trailers', trailer: 'x-sum', 'transfer-encoding': 'chunked' },
    });
    request.write('hello');
    request.addTrailers({ 'x-sum': '42' });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const body = await text(response);
    assert.deepEqual([body, response.trailers], ['hello', { 'x-back': '42' }], way);
  });
  app.close();
});
