import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Flag, Frame } from '../http2/frames.ts';
import { identityOf, meshed, TestMesh } from '../testing/mesh.ts';
import { block, frame, get, RawHttp2, SETTINGS, type Fields } from '../testing/raw-http2.ts';
import { absentPrograms, Backends, type Backend } from './backends.ts';
import * as http1 from './http1-vectors.ts';
import * as http2 from './http2-vectors.ts';
import type { Meaning } from './http1-vectors.ts';

const SILENT_MS = 10_000;

/** Opens a connection on which requests come to the proxy under test. */
type Way = { readonly name: string; readonly open: () => Promise<Socket> };

function openTcp(port: number): () => Promise<Socket> {
  return async () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  };
}

/** Sends bytes and an end, and waits until the connection is closed. @returns what came back */
async function talk(way: Way, bytes: Buffer): Promise<string> {
  const socket = await way.open();
  let answer = '';
  await new Promise<void>((resolve, reject) => {
    socket.setTimeout(SILENT_MS, () => reject(new Error(`silent after ${JSON.stringify(answer)}`)));
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    socket.on('error', () => resolve());
    socket.on('end', () => resolve());
    socket.on('close', () => resolve());
    socket.end(bytes);
  });
  socket.destroy();
  return answer;
}

/**
 * Asks for a path that no vector has. Its answer says that whatever the proxy has sent before has arrived, and that no answer of
 * another request is left over.
 */
async function askMark(way: Way, mark: string): Promise<void> {
  const answer = await talk(way, Buffer.from(`GET ${mark} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`));
  assert.match(answer, /^HTTP\/1\.1 200 /, `the request behind: ${JSON.stringify(answer)}`);
  assert.ok(answer.includes(`answer to ${mark}`), `the request behind has another answer: ${JSON.stringify(answer)}`);
}

/** Whether an application has seen nothing else than what was meant, in this order. */
function assertMeant(backend: Backend, mark: string, means: readonly Meaning[], isSound: boolean): void {
  const seen = backend.seen.splice(0).map(({ method, path, host, body }) => ({ method, path, host, body }));
  const last = seen.pop();
  assert.equal(last?.path, mark);
  assert.deepEqual(seen, isSound ? means : means.slice(0, seen.length), `${backend.name} has seen something else`);
}

const absent = absentPrograms();
const missing = absent.length > 0 && `this machine has no ${absent.join(', ')}: apt-get install ${absent.join(' ')}`;

describe('HTTP/1', () => {
  let backends: Backends;
  const meshes: TestMesh[] = [];
  const ways: { readonly backend: Backend; readonly way: Way }[] = [];

  before(async () => {
    backends = await Backends.start('http1');
    for (const backend of backends.all) {
      const mesh = await TestMesh.start();
      meshes.push(mesh);
      const redirectedTo = { address: '127.0.0.1', port: backend.port };
      const inbound = await mesh.proxy({ name: 'web', redirectedTo });
      const server = await mesh.proxy({ name: 'web' });
      const client = await mesh.proxy({ name: 'client' });
      mesh.serve([meshed('web', backend.port, server)]);
      ways.push({ backend, way: { name: 'a pair', open: openTcp(client.outboundPort) } });
      ways.push({ backend, way: { name: 'the inbound proxy', open: openTcp(inbound.inboundPort) } });
    }
  });
  after(async () => {
    for (const mesh of meshes) await mesh[Symbol.asyncDispose]();
    await backends[Symbol.asyncDispose]();
  });

  test('nginx and haproxy are among the applications', { skip: missing }, () => {
    assert.deepEqual(
      backends.all.map(({ name }) => name),
      ['node', 'node, lenient', 'nginx', 'haproxy'],
    );
  });

  const attempt = async (vector: http1.Http1Vector, isSound: boolean): Promise<void> => {
    for (const { backend, way } of ways) {
      await talk(way, Buffer.from(vector.bytes, 'latin1'));
      const mark = '/mark';
      await askMark(way, mark);
      const context = `${vector.name}: ${backend.name} behind ${way.name}`;
      try {
        assertMeant(backend, mark, vector.means, isSound);
      } catch (error) {
        throw new Error(`${context}: ${(error as Error).message}`, { cause: error });
      }
    }
  };
  for (const vector of http1.SOUND) test(`arrives as it is meant: ${vector.name}`, () => attempt(vector, true));
  for (const vector of http1.REFUSED) test(`does not arrive: ${vector.name}`, () => attempt(vector, false));
});

/** A vector as a client of HTTP/2 sends it. */
function framesOf(vector: http2.Http2Vector, more: Fields): Buffer {
  const { fields, data = [], trailers } = vector;
  const hasMore = vector.data !== undefined || trailers !== undefined;
  const end = (isEnd: boolean): number => (isEnd ? Flag.END_STREAM : 0);
  const frames = [frame(Frame.HEADERS, Flag.END_HEADERS | end(!hasMore), 1, block([...fields, ...more]))];
  for (const [at, text] of data.entries()) {
    const isLast = at === data.length - 1 && trailers === undefined;
    frames.push(frame(Frame.DATA, end(isLast), 1, Buffer.from(text, 'latin1')));
  }
  if (trailers !== undefined) frames.push(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block(trailers)));
  return Buffer.concat([SETTINGS, ...frames]);
}

/** Sends a request and waits until its stream or the connection has ended. */
async function talkHttp2(open: () => Promise<RawHttp2>, bytes: Buffer): Promise<void> {
  using client = await open();
  client.send(bytes);
  await client.until(() => client.hasEnded(1));
}

describe('HTTP/2', () => {
  const stack = new AsyncDisposableStack();
  const ways: {
    readonly backend: Backend;
    readonly name: string;
    readonly open: () => Promise<RawHttp2>;
    readonly askMark: () => Promise<void>;
    readonly more: Fields;
  }[] = [];

  before(async () => {
    for (const version of ['http2', 'http1'] as const) {
      const backends = stack.use(await Backends.start(version));
      for (const backend of backends.all) {
        const mesh = stack.use(await TestMesh.start());
        const server = await mesh.proxy({ name: 'web' });
        const client = await mesh.proxy({ name: 'client' });
        mesh.serve([meshed('web', backend.port, server)]);
        const { authority } = mesh.control;
        const intruder = authority.leaf(identityOf('intruder'));
        const open = (): Promise<RawHttp2> => RawHttp2.connect(client.outboundPort);
        // What comes as HTTP/2 goes on as HTTP/2, unless a peer proxy says that it was HTTP/1.
        if (version === 'http2') {
          const mark = Buffer.concat([SETTINGS, get(1, '/mark')]);
          ways.push({ backend, name: 'a pair', open, askMark: () => talkHttp2(open, mark), more: [] });
        } else {
          const plain = openTcp(client.outboundPort);
          ways.push({
            backend,
            name: 'a peer that carries HTTP/1',
            open: () =>
              RawHttp2.connectAsPeer(server.inboundPort, identityOf('web'), backend.port, authority, intruder),
            askMark: () => askMark({ name: 'a pair', open: plain }, '/mark'),
            more: [['l5d-orig-proto', 'HTTP/1.1']],
          });
        }
      }
    }
  });
  after(() => stack.disposeAsync());

  const attempt = async (vector: http2.Http2Vector, isSound: boolean): Promise<void> => {
    for (const { backend, name, open, askMark: ask, more } of ways) {
      await talkHttp2(open, framesOf(vector, more));
      await ask();
      try {
        const means = vector.means === undefined ? [] : [vector.means];
        assertMeant(backend, '/mark', means, isSound && vector.refusedBy !== backend.name);
      } catch (error) {
        throw new Error(`${vector.name}: ${backend.name} behind ${name}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
  };
  for (const vector of http2.SOUND) test(`arrives as it is meant: ${vector.name}`, () => attempt(vector, true));
  for (const vector of http2.REFUSED) test(`does not arrive: ${vector.name}`, () => attempt(vector, false));
});
