import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { identityOf, meshed, TestMesh } from '../testing/mesh.ts';
import { RawHttp2 } from '../testing/raw-http2.ts';
import { hostileHttp1, hostileHttp2 } from './hostile-servers.ts';
import { HTTP2_REFUSED, HTTP2_SOUND, HTTP2_SURPLUS, type Http2ResponseVector } from './http2-response-vectors.ts';
import { askHttp1, askHttp2, type Seen } from './response-clients.ts';
import { MARK, REFUSED, SMUGGLED, SOUND, SURPLUS, type ResponseVector } from './response-vectors.ts';

type Vector = ResponseVector | Http2ResponseVector;
/** A client that asks for a path, and then for the mark. */
type Way = { readonly name: string; readonly ask: (method: string, path: string) => Promise<readonly Seen[]> };

/** Whether a client has seen the one verdict that a vector can have, and then nothing but the answer to its next request. */
function assertVerdict(vector: Vector, [first, ...others]: readonly Seen[]): void {
  const { means, method = 'GET', begins = false } = vector;
  const answer = method === 'HEAD' ? '' : MARK;
  for (const { status, body } of others) assert.deepEqual([status, body], [200, answer], 'the request behind');
  assert.ok(others.length <= 1, 'more responses than requests');
  if (means !== undefined) {
    assert.ok(first);
    const { status, body, isWhole, proxyError } = first;
    assert.deepEqual({ status, body, isWhole, proxyError }, { ...means, isWhole: true, proxyError: undefined });
  } else if (first?.status === 502) {
    assert.match(first.proxyError ?? '', /^(?:server-malformed|server-closed): \S/);
    assert.deepEqual([first.body, first.isWhole], ['', true]);
  } else {
    // What was passed on cannot be taken for a whole response.
    assert.ok(begins, `neither refused nor begun: ${JSON.stringify(first)}`);
    assert.ok(first === undefined || !first.isWhole, `a whole response: ${JSON.stringify(first)}`);
    assert.ok(!(first?.body ?? '').includes(SMUGGLED), 'bytes of another response');
  }
}

/** @param version  of the server that sends the vectors */
function suite(
  version: 'http1' | 'http2',
  vectors: {
    readonly sound: readonly Vector[];
    readonly surplus: readonly Vector[];
    readonly refused: readonly Vector[];
  },
): void {
  const stack = new AsyncDisposableStack();
  const ways: Way[] = [];
  let vector: Vector | undefined;

  before(async () => {
    const { port } = stack.use(
      version === 'http1'
        ? await hostileHttp1(() => vector as ResponseVector)
        : await hostileHttp2(() => vector as Http2ResponseVector),
    );
    const mesh = stack.use(await TestMesh.start());
    const server = await mesh.proxy({ name: 'web' });
    const inbound = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port } });
    const client = await mesh.proxy({ name: 'client' });
    mesh.serve([meshed('web', port, server)]);
    if (version === 'http1') {
      const { authority } = mesh.control;
      const peer = authority.leaf(identityOf('client'));
      const asPeer = (): Promise<RawHttp2> =>
        RawHttp2.connectAsPeer(server.inboundPort, identityOf('web'), port, authority, peer);
      ways.push(
        { name: 'a pair', ask: (method, path) => askHttp1(client.outboundPort, method, path) },
        { name: 'the inbound proxy', ask: (method, path) => askHttp1(inbound.inboundPort, method, path) },
        {
          name: 'a peer over HTTP/2',
          ask: (method, path) => askHttp2(asPeer, [['l5d-orig-proto', 'HTTP/1.1']], method, path),
        },
      );
    } else {
      for (const [name, to] of [
        ['a pair', client.outboundPort],
        ['the inbound proxy', inbound.inboundPort],
      ] as const)
        ways.push({ name, ask: (method, path) => askHttp2(() => RawHttp2.connect(to), [], method, path) });
    }
  });
  after(() => stack.disposeAsync());

  const attempt = async (one: Vector): Promise<void> => {
    for (const { name, ask } of ways) {
      vector = one;
      try {
        assertVerdict(one, await ask(one.method ?? 'GET', '/v'));
        const [mark] = await ask('GET', '/mark');
        assert.deepEqual([mark?.status, mark?.body], [200, MARK], 'what another client is answered');
      } catch (error) {
        throw new Error(`${one.name} behind ${name}: ${(error as Error).message}`, { cause: error });
      }
    }
  };
  const { sound, surplus, refused } = vectors;
  for (const one of sound) test(`arrives as it is meant: ${one.name}`, () => attempt(one));
  for (const one of surplus) test(`stands, and nothing behind it arrives: ${one.name}`, () => attempt(one));
  for (const one of refused) test(`is refused: ${one.name}`, () => attempt(one));
}

describe('what a server of HTTP/1 answers', () => {
  suite('http1', { sound: SOUND, surplus: SURPLUS, refused: REFUSED });
});

describe('what a server of HTTP/2 answers', () => {
  suite('http2', { sound: HTTP2_SOUND, surplus: HTTP2_SURPLUS, refused: HTTP2_REFUSED });
});
