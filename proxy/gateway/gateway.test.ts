import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { networkMatches } from '#model/authorization.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { InboundRoute, InboundServer } from '#model/inbound.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { tlsOptions } from '#pki/testing.ts';
import type { Proxy } from '../proxy.ts';
import { eventually, exchange, identityOf, listen, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import { get, RawHttp2, SETTINGS } from '../testing/raw-http2.ts';
import { RawServer } from '../testing/raw-server.ts';
import { metrics } from '../testing/routed.ts';
import { encodeTransportHeader, TRANSPORT_ALPN } from '../transport/transport-header.ts';

const REMOTE = 'cart.store.svc.cluster.local';
const GET = 'GET /basket HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';

/** A client's proxy that reaches Service `web` by the gateway, and a server's proxy behind the gateway. */
async function setUp(mesh: TestMesh) {
  const env = { INBOUND_GATEWAY_SUFFIXES: 'svc.cluster.local.' };
  const gateway = await mesh.proxy({ name: 'gateway', env });
  const client = await mesh.proxy({ name: 'client' });
  const server = await mesh.proxy({ name: 'cart' });
  return { gateway, client, server };
}

function behind(gateway: Proxy, authority: string, protocolHint?: 'h2'): Endpoint {
  const name = identityOf('gateway');
  const identity = { kind: 'dns', name, serverName: name } as const;
  return {
    address: '127.0.0.1',
    port: gateway.inboundPort,
    weight: 1,
    labels: {},
    identity,
    authorityOverride: authority,
    ...(protocolHint && { protocolHint, opaqueTransportPort: gateway.inboundPort }),
  };
}

for (const hint of [undefined, 'h2'] as const) {
  test(`a request goes through the gateway${hint === undefined ? '' : ' over HTTP/2'} to the Service that it names, under that name and the identity of the gateway`, async () => {
    await using mesh = await TestMesh.start();
    const { gateway, client, server } = await setUp(mesh);
    using app = await TestApp.start(
      createHttpServer(({ headers, url }, response) => {
        response.end([url, headers.host, headers['l5d-client-id'], headers['forwarded']].join(' '));
      }),
    );
    mesh.serve([behind(gateway, `${REMOTE}:8080`, hint)]);
    mesh.control.setEndpoints(`${REMOTE}:8080`, [meshed('cart', app.port, server)]);
    const answer = (await exchange(client.outboundPort, GET)).toString();
    assert.match(answer, /^HTTP\/1.1 200 /);
    assert.ok(answer.includes(`/basket ${REMOTE}:8080 ${identityOf('gateway')} `), answer);
    assert.ok(answer.includes(`by=${identityOf('gateway')};for=${identityOf('client')};`), answer);
  });
}

test('a request that has passed the gateway before is refused as a loop', async () => {
  await using mesh = await TestMesh.start();
  const { gateway, client } = await setUp(mesh);
  mesh.serve([behind(gateway, `${REMOTE}:8080`)]);
  mesh.control.setEndpoints(`${REMOTE}:8080`, [behind(gateway, `${REMOTE}:8080`)]);
  const answer = (await exchange(client.outboundPort, GET)).toString();
  assert.match(answer, /^HTTP\/1.1 508 /);
  assert.match(answer, /l5d-proxy-error: loop: /);
});

test('bytes that are not HTTP go through the gateway as they are', async () => {
  await using mesh = await TestMesh.start();
  const { gateway, client, server } = await setUp(mesh);
  const echo = await listen(createServer((socket) => socket.pipe(socket)));
  try {
    const { port } = echo.address() as { port: number };
    mesh.servePort(6379, [behind(gateway, `${REMOTE}:6379`)], true);
    mesh.control.setEndpoints(`${REMOTE}:6379`, [meshed('cart', port, server)]);
    assert.equal((await exchange(client.outboundPort, '\0\x01 not HTTP')).toString(), '\0\x01 not HTTP');
  } finally {
    echo.close();
  }
});

test('a proxy that is no gateway, and a name that the gateway is not for, are refused', async () => {
  await using mesh = await TestMesh.start();
  const { gateway, client, server } = await setUp(mesh);
  mesh.serve([{ ...behind(server, `${REMOTE}:80`), identity: meshed('cart', 1, server).identity! }]);
  assert.match((await exchange(client.outboundPort, GET)).toString(), /^HTTP\/1.1 502 /);
  mesh.servePort(81, [behind(gateway, 'example.org:80')], false);
  assert.match((await exchange(client.outboundPort, GET)).toString(), /^HTTP\/1.1 502 /);
});

const SERVER = { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'gateway' } as const;
const LIMIT: RateLimit = {
  ref: {
    type: 'resource',
    group: 'policy.linkerd.io',
    kind: 'HTTPLocalRateLimitPolicy',
    name: 'limit',
    namespace: 'multicluster',
  },
  identity: 1,
  overrides: [],
};

/** Lets identities in at paths with a prefix. */
function route(prefix: string, ...names: readonly string[]): InboundRoute {
  return {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'HTTPRoute', name: prefix.slice(1) },
    hosts: [],
    authorizations: [
      {
        ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'some' },
        networks: networkMatches(['0.0.0.0/0']),
        authentication: { kind: 'identities', names: names.map(identityOf), suffixes: [] },
      },
    ],
    rules: [{ matches: [{ path: { kind: 'prefix', value: prefix }, headers: [], queryParams: [] }] }],
  };
}

function policy(routes: readonly InboundRoute[], rateLimit?: RateLimit): InboundServer {
  return {
    ref: SERVER,
    protocol: { kind: 'detect', timeoutMs: 10_000, routes, ...(rateLimit && { rateLimit }) },
    authorizations: [],
  };
}

/** A peer whose connections do not come from the gateway's own pod, as those of its clients never do. */
async function connectAsClient(mesh: TestMesh, gateway: Proxy, session?: 'http1' | 'http2'): Promise<TLSSocket> {
  const { authority } = mesh.control;
  const socket = connectTls({
    port: gateway.inboundPort,
    host: '127.0.0.1',
    localAddress: '127.0.0.9',
    servername: identityOf('gateway'),
    ca: authority.anchorsPem,
    checkServerIdentity: () => undefined,
    ALPNProtocols: [TRANSPORT_ALPN],
    ...tlsOptions(authority.leaf(identityOf('client'))),
  } as ConnectionOptions);
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  socket.write(encodeTransportHeader({ port: 8080, name: REMOTE, ...(session && { session }) }));
  return socket;
}

test("each request is let in by the policy of the gateway's own port, and counts for its rate limit", async () => {
  await using mesh = await TestMesh.start();
  const { gateway, server } = await setUp(mesh);
  using app = await TestApp.start(createHttpServer((_request, response) => response.end('ok')));
  mesh.control.setEndpoints(`${REMOTE}:8080`, [meshed('cart', app.port, server)]);
  const ask = async (path: string, session: 'http1' | 'http2' = 'http1'): Promise<string> => {
    const socket = await connectAsClient(mesh, gateway, session);
    if (session === 'http1') {
      socket.write(`GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`);
      return text(socket);
    }
    using client = new RawHttp2(socket);
    client.send(SETTINGS, get(1, path, [['l5d-orig-proto', 'HTTP/1.1']]));
    await client.until(() => client.hasEnded(1));
    return client.fields(1);
  };
  assert.match(await ask('/'), /^HTTP\/1.1 200 /);
  mesh.control.setPolicy(gateway.inboundPort, policy([route('/basket', 'client'), route('/admin', 'other')]));
  await eventually(async () => (await ask('/')).startsWith('HTTP/1.1 404 '), 'the policy acts');
  const { requests } = app;
  const denied = await ask('/admin');
  assert.match(denied, /^HTTP\/1.1 403 .*\r\nl5d-proxy-error: unauthorized: server.policy.linkerd.io gateway denies/);
  assert.match(await ask('/basket/../admin'), /^HTTP\/1.1 403 /);
  assert.match(await ask('/admin', 'http2'), /:status: 403/);
  assert.equal(app.requests, requests);
  assert.match(await ask('/basket'), /^HTTP\/1.1 200 /);
  assert.match(await ask('/basket', 'http2'), /:status: 200/);

  mesh.control.setPolicy(gateway.inboundPort, policy([route('/basket', 'client')], LIMIT));
  let limited = '';
  const isLimited = async (): Promise<boolean> => (limited = await ask('/basket')).startsWith('HTTP/1.1 429 ');
  await eventually(isLimited, 'the limit acts');
  assert.match(limited, /l5d-proxy-error: rate-limited: .* multicluster\/limit allows 1 requests per second of this/);

  const counted = await metrics(gateway);
  const own = `target_addr="127.0.0.1:${gateway.inboundPort}"`;
  assert.match(counted, new RegExp(`inbound_http_authz_allow_total\\{${own}[^}]*route_name="basket"`));
  assert.match(counted, /inbound_http_local_ratelimit_total\{[^}]*ratelimit_name="limit"[^}]*\} [1-9]/);
  const page = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/decisions?code=unauthorized`)).text();
  assert.match(page, new RegExp(`"target":"${REMOTE}:8080"`));
});

test('bytes that are not HTTP pass the gateway only while its policy lets the connection in', async () => {
  await using mesh = await TestMesh.start();
  const { gateway, server } = await setUp(mesh);
  using echo = await RawServer.start((socket) => void socket.pipe(socket));
  mesh.control.setEndpoints(`${REMOTE}:8080`, [meshed('cart', echo.port, server)]);
  const socket = await connectAsClient(mesh, gateway);
  socket.write('\0before');
  assert.equal(String((await once(socket, 'data'))[0]), '\0before');
  assert.equal(socket.closed, false);
  mesh.control.setPolicy(gateway.inboundPort, policy([route('/none', 'client')]));
  await eventually(() => socket.closed, 'the connection is cut');
  const { accepted } = echo;
  const denied = await connectAsClient(mesh, gateway);
  denied.write('\0after');
  await eventually(() => denied.closed, 'another is refused');
  assert.equal(echo.accepted, accepted);
  assert.match(await metrics(gateway), /inbound_tcp_authz_deny_total\{[^}]*srv_name="gateway"[^}]*\} 1\n/);
});
