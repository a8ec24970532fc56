import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { Endpoint } from '#model/endpoint.ts';
import type { Proxy } from '../proxy.ts';
import { exchange, identityOf, listen, meshed, TestApp, TestMesh } from '../testing/mesh.ts';

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
