import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { networkMatches, type Authorization } from '#model/authorization.ts';
import type { InboundProtocol, InboundRoute, InboundServer } from '#model/inbound.ts';
import type { Proxy } from '../proxy.ts';
import { eventually, exchange, listen, TestMesh } from '../testing/mesh.ts';
import { RawServer } from '../testing/raw-server.ts';
import { metrics } from '../testing/routed.ts';

/** Who loses the right to use the port, who keeps it, and who never had it. */
const LOSES = '127.0.0.9';
const KEEPS = '127.0.0.10';
const NEVER = '127.0.0.11';

const READY_TEXT = 'ready';

function clients(addresses: readonly string[]): Authorization {
  return {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'friends' },
    networks: networkMatches(addresses.map((address) => `${address}/32`)),
    authentication: { kind: 'unauthenticated' },
  };
}

/** Routes of their own for /chat and everything, so that requests are looked at. */
function routes(addresses: readonly string[]): readonly InboundRoute[] {
  return [
    ['chat', '/chat'],
    ['all', '/'],
  ].map(([name = '', value = '']) => ({
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'httproute', name },
    hosts: [],
    authorizations: [clients(addresses)],
    rules: [{ matches: [{ path: { kind: 'prefix', value }, headers: [], queryParams: [] }] }],
  }));
}

function server(protocol: InboundProtocol, authorizations: readonly Authorization[] = []): InboundServer {
  const ref = { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' } as const;
  return { ref, protocol, authorizations };
}

/** An inbound proxy in front of a port, whose policy is in force. */
async function guard(mesh: TestMesh, port: number, policy: InboundServer): Promise<Proxy> {
  mesh.control.setPolicy(port, policy);
  const env = { INBOUND_PORTS: String(port) };
  const proxy = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port }, env });
  await eventually(async () => {
    const asked = exchange(proxy.inboundPort, 'GET / HTTP/1.1\r\nhost: web\r\n\r\n', { localAddress: NEVER });
    const answer = await asked.catch(() => undefined);
    return answer === undefined || answer.includes(' 403 ');
  }, 'the policy acts');
  return proxy;
}

/** Waits for what the other side says next. */
async function hear(stream: Duplex): Promise<string> {
  const [bytes] = (await once(stream, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
  return bytes.toString();
}

async function echo(stream: Duplex, word: string): Promise<void> {
  const heard = hear(stream);
  stream.write(word);
  assert.equal(await heard, word);
}

/** Resolves when a stream is over, whatever way. */
function ended(stream: Duplex): Promise<void> {
  return eventually(() => stream.closed, 'the end of the stream');
}

function dial(proxy: Proxy, localAddress: string): Socket {
  const socket = connect({ port: proxy.inboundPort, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  return socket;
}

async function terminated(proxy: Proxy): Promise<number> {
  const line = /^inbound_tcp_authz_terminate_total\{[^}]*srv_kind="server",srv_name="web"[^}]*\} (\d+)$/m;
  return Number(line.exec(await metrics(proxy))?.[1] ?? 0);
}

/** What is on record of the client that lost its right, the last of it. */
async function lastDecision(proxy: Proxy): Promise<Readonly<Record<string, unknown>>> {
  const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/decisions?code=unauthorized`)).text();
  const lines = text.split('\n').filter((line) => line.includes(`"client":"${LOSES}:`));
  return JSON.parse(lines.at(-1) ?? '{}') as Readonly<Record<string, unknown>>;
}

test('an open connection ends when a changed policy no longer lets its client in; others go on', async () => {
  using app = await RawServer.start((socket) => socket.pipe(socket));
  for (const protocol of [{ kind: 'opaque' }, { kind: 'detect', timeoutMs: 5000, routes: [] }] as const) {
    await using mesh = await TestMesh.start();
    const proxy = await guard(mesh, app.port, server(protocol, [clients([LOSES, KEEPS])]));
    const [lost, kept] = [dial(proxy, LOSES), dial(proxy, KEEPS)];
    await echo(lost, '\0one');
    await echo(kept, '\0two');
    // A change that takes nothing from anybody.
    mesh.control.setPolicy(app.port, server(protocol, [clients([KEEPS, LOSES])]));
    await echo(lost, '\0three');
    mesh.control.setPolicy(app.port, server(protocol, [clients([KEEPS])]));
    await ended(lost);
    await echo(kept, '\0four');
    assert.equal(await terminated(proxy), 1);
    const { protocol: spoken, decidedBy, reason } = await lastDecision(proxy);
    assert.deepEqual([spoken, decidedBy], ['tcp', ['server.policy.linkerd.io web']]);
    assert.match(
      String(reason),
      /^server\.policy\.linkerd\.io web denies the open connection: no authorization lets 127\.0\.0\.9 /,
    );
    kept.destroy();
  }
});

/** Opens a tunnel of HTTP/1. */
async function overHttp1(proxy: Proxy, localAddress: string, head: string): Promise<Socket> {
  const socket = dial(proxy, localAddress);
  socket.write(`${head}\r\nhost: db.shop:80\r\n\r\n`);
  let answer = '';
  while (!answer.endsWith(READY_TEXT)) answer += await hear(socket);
  assert.match(answer, /^HTTP\/1\.1 (?:101|200) /);
  return socket;
}

const HTTP1_TUNNELS = [
  ['GET /chat HTTP/1.1\r\nconnection: upgrade\r\nupgrade: words', '/chat', 'chat'],
  ['CONNECT db.shop:80 HTTP/1.1', 'db.shop:80', 'all'],
] as const;

/** Answers an upgrade and CONNECT with a tunnel to itself. */
function tunnelServer(whenAsked: (open: () => void) => void = (open) => open()): Promise<RawServer> {
  return RawServer.start((socket) => {
    socket.once('data', (bytes: Buffer) => {
      const head = bytes.toString();
      const isConnect = head.startsWith('CONNECT ');
      if (!isConnect && !head.includes('upgrade')) {
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
        return;
      }
      const status = isConnect ? '200 OK' : '101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: words';
      whenAsked(() => {
        socket.write(`HTTP/1.1 ${status}\r\n\r\n${READY_TEXT}`);
        socket.pipe(socket);
      });
    });
  });
}

test('a tunnel over HTTP/1 ends when a changed policy no longer lets its request in; others go on', async () => {
  using app = await tunnelServer();
  for (const [head, target, route] of HTTP1_TUNNELS) {
    await using mesh = await TestMesh.start();
    const proxy = await guard(mesh, app.port, server({ kind: 'http1', routes: routes([LOSES, KEEPS]) }));
    const lost = await overHttp1(proxy, LOSES, head);
    const kept = await overHttp1(proxy, KEEPS, head);
    await echo(lost, 'one');
    mesh.control.setPolicy(app.port, server({ kind: 'http1', routes: routes([KEEPS]) }));
    await ended(lost);
    await echo(kept, 'two');
    assert.equal(await terminated(proxy), 1);
    const { path, decidedBy, reason } = await lastDecision(proxy);
    assert.deepEqual(
      [path, decidedBy],
      [target, ['server.policy.linkerd.io web', `httproute.policy.linkerd.io ${route}`]],
    );
    assert.match(String(reason), /denies the tunnel of the request of httproute\.policy\.linkerd\.io/);
    kept.destroy();
  }
});

test('a policy that changes before the application opens the tunnel is in force: the client gets the reason', async () => {
  for (const [head] of HTTP1_TUNNELS) {
    let open: (() => void) | undefined;
    using app = await tunnelServer((first) => (open = first));
    await using mesh = await TestMesh.start();
    const proxy = await guard(mesh, app.port, server({ kind: 'http1', routes: routes([LOSES]) }));
    const socket = dial(proxy, LOSES);
    socket.write(`${head}\r\nhost: db.shop:80\r\n\r\n`);
    await eventually(() => open !== undefined, 'the application is asked');
    mesh.control.setPolicy(app.port, server({ kind: 'http1', routes: routes([KEEPS]) }));
    const get = 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';
    await eventually(
      async () => (await exchange(proxy.inboundPort, get, { localAddress: LOSES })).includes(' 403 '),
      'the change acts',
    );
    const heard = hear(socket);
    open?.();
    assert.match(await heard, /^HTTP\/1\.1 403 Forbidden\r\nl5d-proxy-error: unauthorized: .* denies the tunnel /);
    socket.destroy();
  }
});

test('a tunnel over HTTP/2 ends alone when a changed policy no longer lets its request in', async () => {
  const app = await listen(
    createHttp2Server({ settings: { enableConnectProtocol: true } }).on(
      'stream',
      (stream: ServerHttp2Stream, headers) => {
        stream.on('error', () => {});
        stream.respond();
        if (headers[':method'] === 'CONNECT') stream.pipe(stream);
        else stream.end('plain');
      },
    ),
  );
  const { port } = app.address() as AddressInfo;
  const tunnel = async (session: ClientHttp2Session, head: Readonly<Record<string, string>>): Promise<Duplex> => {
    const stream = session.request({ ':method': 'CONNECT', ...head }, { endStream: false });
    stream.on('error', () => {});
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    assert.equal(headers[':status'], 200);
    return stream;
  };
  const heads = [
    { ':authority': 'db.shop:80' },
    { ':protocol': 'words', ':scheme': 'http', ':authority': 'web', ':path': '/chat' },
  ];
  for (const head of heads) {
    await using mesh = await TestMesh.start();
    const proxy = await guard(mesh, port, server({ kind: 'http2', routes: routes([LOSES, KEEPS]) }));
    const [losing, keeping] = await Promise.all(
      [LOSES, KEEPS].map(async (localAddress) => {
        const session = connectHttp2(`http://127.0.0.1:${proxy.inboundPort}`, { localAddress } as object);
        session.on('error', () => {});
        await once(session, 'remoteSettings');
        return session;
      }),
    );
    assert.ok(losing !== undefined && keeping !== undefined);
    const lost = await tunnel(losing, head);
    const over = await tunnel(losing, head);
    const kept = await tunnel(keeping, head);
    await echo(lost, 'one');
    over.end();
    over.resume();
    await once(over, 'end');
    mesh.control.setPolicy(port, server({ kind: 'http2', routes: routes([KEEPS]) }));
    await ended(lost);
    await echo(kept, 'two');
    // One that had ended is not counted, and the connection goes on: its requests have answers of their own.
    assert.equal(await terminated(proxy), 1);
    const asked = losing.request({ ':path': '/', ':authority': 'web' });
    const [headers] = (await once(asked, 'response')) as [Record<string, unknown>];
    assert.equal(headers[':status'], 403);
    losing.destroy();
    keeping.destroy();
  }
  app.close();
});
