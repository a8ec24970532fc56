// What the control plane says about addresses outside of the cluster, done by a proxy.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { Backend } from '#model/backend.ts';
import type { OutboundProtocol } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { createTestAuthority, tlsOptions } from '#pki/testing.ts';
import { egressRoutes } from '../../control-plane/policy/built-in-routes.ts';
import type { Proxy } from '../proxy.ts';
import { exchange, listen, TestMesh, unmeshed } from '../testing/mesh.ts';
import { app, Client } from '../testing/routed.ts';

const NETWORK = {
  type: 'resource',
  group: 'policy.linkerd.io',
  kind: 'EgressNetwork',
  name: 'all',
  namespace: 'shop',
  port: 80,
} as const satisfies ResourceRef;
const ALLOWED: ResourceRef = { ...NETWORK, group: 'gateway.networking.k8s.io', kind: 'TLSRoute', name: 'allowed' };
const DENIAL = 'EgressNetwork shop/all denies 203.0.113.7:80';

type Decision = {
  readonly protocol: string;
  readonly code: string;
  readonly reason: string;
  readonly decidedBy: string[];
};

async function decisions(proxy: Proxy): Promise<readonly Decision[]> {
  const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/decisions`)).text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Decision);
}

/** The address itself, which is here a local server. */
function forward(port: number): Backend {
  return { ref: NETWORK, target: { kind: 'forward', endpoint: unmeshed(port) } };
}

async function within(protocol: OutboundProtocol, run: (proxy: Proxy) => Promise<void>): Promise<void> {
  await using mesh = await TestMesh.start();
  mesh.control.setOutboundPolicy(80, { ref: NETWORK, protocol });
  mesh.serve([]);
  await run(await mesh.proxy({ name: 'client' }));
}

test('an EgressNetwork that denies answers 403 with its name, resets other bytes, and both are on record', async () => {
  using web = await app((_request, response) => void response.end('never'));
  const { http, opaque } = egressRoutes(forward(web.port), {}, DENIAL);
  await within({ kind: 'detect', timeoutMs: 10_000, opaque, routes: [http] }, async (proxy) => {
    using client = new Client(proxy);
    const { status, headers } = await client.get();
    assert.deepEqual([status, headers['l5d-proxy-error']], [403, `injected: ${DENIAL}`]);
    await assert.rejects(exchange(proxy.outboundPort, '\0hello'), /ECONNRESET/);
    // Nor is a server that speaks first waited for.
    const silent = connect({ port: proxy.outboundPort, host: '127.0.0.1' });
    await assert.rejects(once(silent, 'data'), /ECONNRESET/);
    const reason = 'egressnetwork.policy.linkerd.io shop/all:80 (default:tcp-egress-deny) forbids it';
    const decidedBy = ['egressnetwork.policy.linkerd.io shop/all:80', 'default:tcp-egress-deny'];
    const found = await decisions(proxy);
    assert.deepEqual(
      found.map((one) => [one.protocol, one.code, one.reason, one.decidedBy]),
      [
        ['http', 'injected', DENIAL, ['default:http-egress-deny']],
        ['tcp', 'forbidden', reason, decidedBy],
        ['tcp', 'forbidden', reason, decidedBy],
      ],
    );
  });
});

test('calls of gRPC are denied by their own status', async () => {
  using web = await app((_request, response) => void response.end('never'));
  const { last } = egressRoutes(forward(web.port), {}, DENIAL);
  await within({ kind: 'grpc', routes: last.grpc }, async (proxy) => {
    const head = 'POST /pkg.Svc/Do HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n';
    const answer = (await exchange(proxy.outboundPort, head)).toString();
    assert.match(answer, /^HTTP\/1.1 200 [^]*grpc-status: 7\r\ngrpc-message: EgressNetwork shop\/all denies/);
  });
});

test('an EgressNetwork that allows lets everything through as it is', async () => {
  using web = await app((_request, response) => void response.end('web'));
  const { http, opaque } = egressRoutes(forward(web.port), {}, undefined);
  await within({ kind: 'detect', timeoutMs: 10_000, opaque, routes: [http] }, async (proxy) => {
    using client = new Client(proxy);
    assert.deepEqual([(await client.get()).status, (await client.get()).body], [200, 'web']);
    assert.match((await exchange(proxy.outboundPort, '\0hello')).toString(), /^HTTP\/1.1 400/);
    assert.deepEqual(await decisions(proxy), []);
  });
});

test('a TLSRoute lets one name through a network that denies; other names, and no name, are reset and on record', async () => {
  const authority = createTestAuthority();
  const server = await listen(
    createTlsServer(tlsOptions(authority.leaf('api.example.com')), (socket) => void socket.end('api')),
  );
  const { port } = server.address() as { port: number };
  const { last, opaque } = egressRoutes(forward(port), {}, DENIAL);
  const route = {
    ...opaque,
    ref: ALLOWED,
    filters: [],
    serverNames: [{ kind: 'exact', host: 'api.example.com' } as const],
  };
  await within({ kind: 'tls', routes: [route, ...last.tls] }, async (proxy) => {
    const ask = async (servername?: string): Promise<string> => {
      const socket = connectTls({
        port: proxy.outboundPort,
        host: '127.0.0.1',
        ca: authority.anchorsPem,
        ...(servername !== undefined && { servername }),
        checkServerIdentity: () => undefined,
      });
      const [data] = (await once(socket, 'data')) as [Buffer];
      return data.toString();
    };
    assert.equal(await ask('api.example.com'), 'api');
    await assert.rejects(ask('other.example.com'), /ECONNRESET|disconnected/);
    await assert.rejects(ask(), /ECONNRESET|disconnected/);
    const found = (await decisions(proxy)).map((one) => [one.code, one.reason]);
    assert.deepEqual(found, [
      ['forbidden', 'egressnetwork.policy.linkerd.io shop/all:80 (default:tls-egress-deny) forbids it'],
      [
        'no-route',
        'the routes of egressnetwork.policy.linkerd.io shop/all:80 go by the server name of TLS (SNI), and the client has shown none',
      ],
    ]);
  });
  server.close();
});
