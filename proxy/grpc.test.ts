import assert from 'node:assert/strict';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { test } from 'node:test';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { identityOf, listen, meshed, TestMesh, unmeshed } from './testing/mesh.ts';

const raw = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/shop.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});
const SERVICE = {
  unary: method('Unary', false, false),
  many: method('Many', false, true),
  collect: method('Collect', true, false),
  chat: method('Chat', true, true),
};

/** A gRPC server with one method of each kind. */
async function grpcServer(): Promise<{ port: number } & Disposable> {
  const server = new Server();
  server.addService(SERVICE, {
    unary: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
      if (call.request.toString() === 'fail') {
        done({ code: status.UNAVAILABLE, details: 'as asked' });
        return;
      }
      const trailer = new Metadata();
      trailer.set('x-sum', '42');
      done(
        null,
        Buffer.from(`${call.request.toString()} for ${String(call.metadata.get('l5d-client-id')[0])}`),
        trailer,
      );
    },
    many: (call: ServerWritableStream<Buffer, Buffer>) => {
      for (let n = 0; n < 1000; n += 1) call.write(Buffer.from(`${n}`));
      call.end();
    },
    collect: (call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
      let bytes = 0;
      call.on('data', (part: Buffer) => {
        bytes += part.length;
      });
      call.on('end', () => done(null, Buffer.from(String(bytes))));
    },
    chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (part: Buffer) => call.write(part));
      call.on('end', () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, [Symbol.dispose]: () => server.forceShutdown() };
}

function unary(client: Client, text: string): Promise<{ answer: string; trailer: string }> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const call = client.makeUnaryRequest(
      SERVICE.unary.path,
      raw,
      raw,
      Buffer.from(text),
      (error: ServiceError | null, value?: Buffer) => {
        if (error !== null) reject(error);
        else answer = value?.toString() ?? '';
      },
    );
    call.on('status', ({ metadata, code }) => {
      if (code === status.OK) setImmediate(() => resolve({ answer, trailer: String(metadata.get('x-sum')[0]) }));
    });
  });
}

test('gRPC calls of all four kinds cross both proxies, with trailers, and are counted by grpc-status', async () => {
  await using mesh = await TestMesh.start();
  using app = await grpcServer();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  for (const endpoint of [meshed('web', app.port, server), unmeshed(app.port)]) {
    const isMeshed = endpoint.identity !== undefined;
    mesh.servePort(isMeshed ? 81 : 82, [endpoint], false);
    const grpc = new Client(`127.0.0.1:${client.outboundPort}`, credentials.createInsecure());
    try {
      const identity = isMeshed ? identityOf('client') : 'undefined';
      assert.deepEqual(await unary(grpc, 'hello'), { answer: `hello for ${identity}`, trailer: '42' });
      await assert.rejects(unary(grpc, 'fail'), { code: status.UNAVAILABLE, details: 'as asked' });

      const many = grpc.makeServerStreamRequest(SERVICE.many.path, raw, raw, Buffer.from('go'));
      const parts: string[] = [];
      for await (const part of many) parts.push(String(part));
      assert.deepEqual(
        parts,
        Array.from({ length: 1000 }, (_, n) => String(n)),
      );

      const collected = await new Promise((resolve, reject) => {
        const call = grpc.makeClientStreamRequest(SERVICE.collect.path, raw, raw, (error, value?: Buffer) =>
          error === null ? resolve(String(value)) : reject(error),
        );
        for (let n = 0; n < 100; n += 1) call.write(Buffer.alloc(30_000));
        call.end();
      });
      assert.equal(collected, '3000000');

      const chat = grpc.makeBidiStreamRequest(SERVICE.chat.path, raw, raw);
      for (let n = 0; n < 100; n += 1) {
        chat.write(Buffer.from(`message ${n}`));
        const [answer] = await once(chat, 'data');
        assert.equal(String(answer), `message ${n}`);
      }
      chat.end();
      for await (const surplus of chat) assert.fail(String(surplus));
    } finally {
      grpc.close();
    }
  }
  const metrics = await new Promise<string>((resolve, reject) => {
    get({ host: '127.0.0.1', port: client.adminPort, path: '/metrics' }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
  const responses = metrics
    .split('\n')
    .filter((line) => line.startsWith('response_total{') && line.includes('tls="true"'));
  const counted = responses.map(
    (line) =>
      `${/classification="(\w+)"/.exec(line)?.[1]} ${/grpc_status="(\d*)"/.exec(line)?.[1]} ${line.split(' ').at(-1)}`,
  );
  assert.deepEqual(counted.sort(), ['failure 14 1', 'success 0 4']);
});

test('a gRPC call that the proxy fails gets a gRPC status with the reason', async () => {
  await using mesh = await TestMesh.start();
  const client = await mesh.proxy({ name: 'client' });
  mesh.servePort(83, [unmeshed(1)], false);
  const grpc = new Client(`127.0.0.1:${client.outboundPort}`, credentials.createInsecure());
  try {
    await assert.rejects(unary(grpc, 'hello'), { code: status.UNAVAILABLE, details: /refused the connection/ });
  } finally {
    grpc.close();
  }
});

test('HTTP/2 of an application keeps bodies, interim heads and trailers both ways', async () => {
  await using mesh = await TestMesh.start();
  const app = await listen(createHttp2Server({ maxSessionMemory: 100 }));
  app.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.additionalHeaders({ ':status': 103, link: '</style.css>' });
    const hash = createHash('sha256');
    let trailers = '';
    stream.on('trailers', (fields) => {
      trailers = String(fields['x-end']);
    });
    stream.on('data', (chunk: Buffer) => hash.update(chunk));
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'x-path': headers[':path'] ?? '' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': hash.digest('hex'), 'x-back': trailers }));
      stream.end(Buffer.alloc(3_000_000, 7));
    });
  });
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.servePort(84, [meshed('web', (app.address() as { port: number }).port, server)], false);
  const session: ClientHttp2Session = connectHttp2(`http://127.0.0.1:${client.outboundPort}`, {
    maxSessionMemory: 100,
  });
  const sent = randomBytes(5_000_000);
  try {
    const results = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const stream = session.request(
          { ':method': 'POST', ':path': '/a?b', ':authority': 'web' },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
        const seen: Record<string, unknown> = {};
        stream.on('headers', (fields) => {
          seen['interim'] = fields[':status'];
        });
        stream.on('response', (fields) => {
          seen['path'] = fields['x-path'];
        });
        stream.on('trailers', (fields) => {
          seen['sum'] = fields['x-sum'];
          seen['back'] = fields['x-back'];
        });
        stream.end(sent);
        let bytes = 0;
        for await (const chunk of stream) bytes += (chunk as Buffer).length;
        return { ...seen, bytes };
      }),
    );
    const sum = createHash('sha256').update(sent).digest('hex');
    for (const result of results) {
      assert.deepEqual(result, { interim: 103, path: '/a?b', sum, back: 'yes', bytes: 3_000_000 });
    }
  } finally {
    session.destroy();
    app.close();
  }
});
