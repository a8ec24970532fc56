import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Distribution } from '#model/backend.ts';
import type { OpaqueFilter } from '#model/filter.ts';
import type { OutboundProtocol } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { OpaqueRoute } from '#model/route.ts';
import { createTestAuthority, tlsOptions, type TestAuthority } from '#pki/testing.ts';
import type { Proxy } from '../proxy.ts';
import { eventually, exchange, listen, meshed, SERVICE_HOST, TestMesh, unmeshed } from '../testing/mesh.ts';
import { RawServer } from '../testing/raw-server.ts';
import { app, backend, Client, metrics, policy, rule, SERVICE } from '../testing/routed.ts';

const TCP_ROUTE: ResourceRef = {
  type: 'resource',
  group: 'gateway.networking.k8s.io',
  kind: 'TCPRoute',
  name: 't',
  namespace: 'shop',
};
const TLS_ROUTE: ResourceRef = { ...TCP_ROUTE, kind: 'TLSRoute' };
const CANARY = 'canary.shop.svc.cluster.local:80';
const FORBIDDEN: readonly OpaqueFilter[] = [{ kind: 'forbidden' }];

function toBackend(authority?: string): Distribution<OpaqueFilter> {
  return { kind: 'first-available', backends: [backend(authority)] };
}

function toEndpoint(port: number): Distribution<OpaqueFilter> {
  const endpoint = unmeshed(port);
  return {
    kind: 'first-available',
    backends: [{ backend: { ref: SERVICE, target: { kind: 'forward', endpoint } }, filters: [] }],
  };
}

function opaque(change: Partial<OpaqueRoute> = {}): OpaqueRoute {
  return { ref: TCP_ROUTE, filters: [], distribution: toBackend(), ...change };
}

/** One outbound proxy. The Service is there, with nothing behind it. */
async function within(protocol: OutboundProtocol, run: (proxy: Proxy, mesh: TestMesh) => Promise<void>): Promise<void> {
  await using mesh = await TestMesh.start();
  mesh.control.setOutboundPolicy(80, { ref: SERVICE, protocol });
  mesh.serve([]);
  await run(await mesh.proxy({ name: 'client' }), mesh);
}

test('the routes of an opaque port say where its connections go, by weight, and nobody looks into them', async () => {
  using one = await RawServer.start((socket) => void socket.end('one'));
  using two = await RawServer.start(
    (socket) => void socket.on('data', (bytes: Buffer) => socket.end(`two ${bytes.toString()}`)),
  );
  const distribution: Distribution<OpaqueFilter> = {
    kind: 'random-available',
    backends: [
      { ...backend(), weight: 3 },
      { ...backend(CANARY), weight: 1 },
    ],
  };
  await within({ kind: 'opaque', opaque: opaque({ distribution }) }, async (proxy, mesh) => {
    mesh.control.setEndpoints(`${SERVICE_HOST}:80`, [unmeshed(one.port)]);
    mesh.control.setEndpoints(CANARY, [unmeshed(two.port)]);
    const request = 'GET / HTTP/1.1\r\n\r\n'; // without Host: HTTP would be answered 400
    const answers: string[] = [];
    for (let count = 0; count < 200; count += 1) {
      answers.push((await exchange(proxy.outboundPort, request)).toString());
    }
    const share = answers.filter((answer) => answer === `two ${request}`).length;
    assert.equal(answers.filter((answer) => answer === 'one').length, 200 - share);
    // 50 are expected; five standard deviations are 31.
    assert.ok(share > 19 && share < 81, `${share} of 200`);
    const text = await metrics(proxy);
    const labels =
      'parent_name="web",[^}]*route_kind="TCPRoute",route_namespace="shop",route_name="t",target_ip="10.96.0.7",target_port="80"';
    assert.match(text, new RegExp(`outbound_tcp_route_open_total\\{[^}]*${labels}\\} 200\n`));
    await eventually(
      async () =>
        new RegExp(`outbound_tcp_route_close_total\\{[^}]*${labels},error=""\\} 200\n`).test(await metrics(proxy)),
      'all are counted as closed',
    );
  });
});

test('a server behind an opaque route may speak first', async () => {
  using server = await RawServer.start((socket) => void socket.write('220 ready\r\n'));
  await within({ kind: 'opaque', opaque: opaque({ distribution: toEndpoint(server.port) }) }, async (proxy) => {
    const socket = connect({ port: proxy.outboundPort, host: '127.0.0.1' });
    assert.equal(String((await once(socket, 'data'))[0]), '220 ready\r\n');
    socket.destroy();
  });
});

test('what is forbidden is refused with a reset and counted, and nothing is opened', async () => {
  using server = await RawServer.start((socket) => void socket.end('never'));
  const distribution = toEndpoint(server.port);
  const perBackend: Distribution<OpaqueFilter> = {
    kind: 'first-available',
    backends: [
      { backend: { ref: SERVICE, target: { kind: 'forward', endpoint: unmeshed(server.port) } }, filters: FORBIDDEN },
    ],
  };
  for (const route of [opaque({ distribution, filters: FORBIDDEN }), opaque({ distribution: perBackend })]) {
    await within({ kind: 'opaque', opaque: route }, async (proxy) => {
      await assert.rejects(exchange(proxy.outboundPort, '\0hello'), /ECONNRESET/);
      const text = await metrics(proxy);
      assert.match(text, /proxy_errors_total\{direction="outbound",error="forbidden"\} 1\n/);
      assert.match(text, /outbound_tcp_route_close_total\{[^}]*route_name="t"[^}]*error="FORBIDDEN"\} 1\n/);
    });
  }
  const invalid = opaque({ distribution, filters: [{ kind: 'invalid', message: 'made so' }] });
  await within({ kind: 'opaque', opaque: invalid }, async (proxy) => {
    await assert.rejects(exchange(proxy.outboundPort, '\0hello'), /ECONNRESET/);
    assert.match(await metrics(proxy), /proxy_errors_total\{direction="outbound",error="policy-invalid"\} 1\n/);
  });
  assert.equal(server.accepted, 0);
});

test('egress that is denied: HTTP is answered 403 by its route, other bytes are reset; allowed egress passes', async () => {
  using web = await app((_request, response) => void response.end('web'));
  const forward = { kind: 'first-available' } as const;
  const backends = [
    { backend: { ref: SERVICE, target: { kind: 'forward', endpoint: unmeshed(web.port) } }, filters: [] },
  ] as const;
  for (const isAllowed of [true, false]) {
    const { protocol } = policy([
      rule({
        distribution: { ...forward, backends },
        filters: isAllowed ? [] : [{ kind: 'failure', status: 403, message: 'no egress' }],
      }),
    ]);
    assert.ok(protocol.kind === 'detect');
    const route = opaque({ distribution: { ...forward, backends }, filters: isAllowed ? [] : FORBIDDEN });
    await within({ ...protocol, opaque: route }, async (proxy) => {
      using client = new Client(proxy);
      assert.equal((await client.get()).status, isAllowed ? 200 : 403);
      const bytes = exchange(proxy.outboundPort, '\0hello');
      if (isAllowed) assert.match((await bytes).toString(), /^HTTP\/1.1 400/);
      else await assert.rejects(bytes, /ECONNRESET/);
    });
  }
});

/** Says its name to everybody, inside of TLS of its own. */
async function tlsServer(authority: TestAuthority, name: string): Promise<TlsServer> {
  return listen(createTlsServer(tlsOptions(authority.leaf(name)), (socket) => void socket.end(`this is ${name}`)));
}

/** @returns what a server says whose certificate leads to the authority and names it */
async function ask(
  proxy: Proxy,
  authority: TestAuthority,
  serverName: string,
  certified = serverName,
): Promise<string> {
  const socket = connectTls({
    port: proxy.outboundPort,
    host: '127.0.0.1',
    ca: authority.anchorsPem,
    ...(serverName === '' ? {} : { servername: serverName }),
    checkServerIdentity: (_host, certificate) =>
      certificate.subjectaltname === `DNS:${certified}` ? undefined : new Error(`it is ${certificate.subjectaltname}`),
  });
  let text = '';
  socket.on('data', (bytes: Buffer) => (text += bytes.toString()));
  await once(socket, 'end');
  return text;
}

test('TLS goes by the server name that the client shows, exact before suffix, end to end', async () => {
  const authority = createTestAuthority();
  const api = await tlsServer(authority, 'api.example.com');
  const any = await tlsServer(authority, 'any.example.com');
  const port = (server: TlsServer): number => (server.address() as { port: number }).port;
  const protocol: OutboundProtocol = {
    kind: 'tls',
    routes: [
      {
        ...opaque({ ref: TLS_ROUTE, distribution: toEndpoint(port(any)) }),
        serverNames: [{ kind: 'suffix', reverseLabels: ['com', 'example'] }],
      },
      {
        ...opaque({ ref: { ...TLS_ROUTE, name: 'exact' }, distribution: toEndpoint(port(api)) }),
        serverNames: [{ kind: 'exact', host: 'api.example.com' }],
      },
      {
        ...opaque({ ref: { ...TLS_ROUTE, name: 'deny' }, distribution: toEndpoint(port(any)), filters: FORBIDDEN }),
        serverNames: [{ kind: 'exact', host: 'denied.example.com' }],
      },
    ],
  };
  await within(protocol, async (proxy) => {
    assert.equal(await ask(proxy, authority, 'api.example.com'), 'this is api.example.com');
    assert.equal(await ask(proxy, authority, 'any.example.com'), 'this is any.example.com');
    assert.equal(await ask(proxy, authority, 'else.example.com', 'any.example.com'), 'this is any.example.com');
    await assert.rejects(ask(proxy, authority, 'denied.example.com'));
    await assert.rejects(ask(proxy, authority, 'api.example.org'));
    await assert.rejects(ask(proxy, authority, ''));
    await assert.rejects(exchange(proxy.outboundPort, 'GET / HTTP/1.1\r\nhost: web\r\n\r\n'), /ECONNRESET/);
    const text = await metrics(proxy);
    assert.match(text, /outbound_tls_route_open_total\{[^}]*route_kind="TLSRoute"[^}]*route_name="exact"[^}]*\} 1\n/);
    assert.match(text, /outbound_tls_route_open_total\{[^}]*route_name="t"[^}]*\} 2\n/);
    assert.match(text, /outbound_tls_route_close_total\{[^}]*route_name="deny"[^}]*error="FORBIDDEN"\} 1\n/);
    assert.match(text, /proxy_errors_total\{direction="outbound",error="no-route"\} 3\n/);
  });
  api.close();
  any.close();
});

test('a ClientHello in pieces, to a meshed server: its TLS is carried inside of that of the mesh', async () => {
  const authority = createTestAuthority();
  const server = await tlsServer(authority, 'api.example.com');
  const { port } = server.address() as { port: number };
  await using mesh = await TestMesh.start();
  const inbound = await mesh.proxy({ name: 'web' });
  const route = { ...opaque({ ref: TLS_ROUTE }), serverNames: [] };
  mesh.control.setOutboundPolicy(80, { ref: SERVICE, protocol: { kind: 'tls', routes: [route] } });
  mesh.serve([meshed('web', port, inbound)]);
  const proxy = await mesh.proxy({ name: 'client' });
  const pieces = await listen(
    createTcpServer((client) => {
      const upstream = connect({ port: proxy.outboundPort, host: '127.0.0.1', noDelay: true });
      let isFirst = true;
      client.on('data', (bytes: Buffer) => {
        if (!isFirst) return void upstream.write(bytes);
        isFirst = false;
        client.pause();
        upstream.write(bytes.subarray(0, 7));
        setTimeout(() => {
          upstream.write(bytes.subarray(7));
          client.resume();
        }, 50);
      });
      upstream.on('data', (bytes: Buffer) => void client.write(bytes));
      upstream.on('end', () => client.end());
      client.on('error', () => upstream.destroy());
      client.on('close', () => upstream.destroy());
    }),
  );
  const outboundPort = (pieces.address() as { port: number }).port;
  assert.equal(await ask({ outboundPort } as Proxy, authority, 'api.example.com'), 'this is api.example.com');
  assert.match(await metrics(inbound), /tcp_open_total\{direction="inbound"[^}]*peer="src",tls="true"[^}]*\} 1\n/);
  pieces.close();
  server.close();
});

test('requests of a connection that is open go where the policy says that its port is opaque now', async () => {
  using web = await app((_request, response) => void response.end('web'));
  await within(policy([rule()]).protocol, async (proxy, mesh) => {
    mesh.control.setEndpoints(`${SERVICE_HOST}:80`, [unmeshed(web.port)]);
    using client = new Client(proxy);
    assert.equal((await client.get()).status, 200);
    mesh.control.setOutboundPolicy(80, { ref: SERVICE, protocol: { kind: 'opaque', opaque: opaque() } });
    await eventually(
      async () => /outbound_http_route_[^}]*route_name="t"/.test((await client.get(), await metrics(proxy))),
      'it acts',
    );
    assert.equal((await client.get()).status, 200);
    const closed = opaque({ filters: FORBIDDEN });
    mesh.control.setOutboundPolicy(80, { ref: SERVICE, protocol: { kind: 'opaque', opaque: closed } });
    await eventually(async () => (await client.get()).status === 403, 'it is forbidden');
  });
});

test('an endpoint that has refused connections takes as many as it likes once it takes one', async () => {
  const failureAccrual = {
    kind: 'consecutive',
    maxFailures: 1,
    backoff: { minMs: 20, maxMs: 20, jitterRatio: 0 },
  } as const;
  const { protocol } = policy([rule()], failureAccrual);
  const first = await RawServer.start(() => {});
  const { port } = first;
  first[Symbol.dispose]();
  await within(protocol, async (proxy, mesh) => {
    mesh.control.setEndpoints(`${SERVICE_HOST}:80`, [unmeshed(port)]);
    await assert.rejects(exchange(proxy.outboundPort, '\0hello'), /ECONNRESET/);
    const server = createTcpServer((socket) => void socket.on('error', () => {}).write('welcome'));
    await new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve));
    const held: Socket[] = [];
    try {
      for (let count = 0; count < 3; count += 1) {
        await eventually(() => {
          const socket = connect({ port: proxy.outboundPort, host: '127.0.0.1' });
          held.push(socket);
          socket.write('\0hello');
          return new Promise((resolve) => {
            socket.on('data', (bytes: Buffer) => resolve(bytes.toString() === 'welcome'));
            socket.on('error', () => resolve(false));
          });
        }, `connection ${count}`);
      }
    } finally {
      for (const socket of held) socket.destroy();
      server.close();
    }
  });
});
