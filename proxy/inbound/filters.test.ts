import assert from 'node:assert/strict';
import { connect as connectHttp2, createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { networkMatches, type Authorization } from '#model/authorization.ts';
import type { InboundProtocol, InboundRoute } from '#model/inbound.ts';
import type { Proxy } from '../proxy.ts';
import { eventually, exchange, identityOf, listen, TestMesh } from '../testing/mesh.ts';
import { app, Client, metrics } from '../testing/routed.ts';

const EVERYBODY: Authorization = {
  ref: { type: 'default', name: 'all-unauthenticated' },
  networks: networkMatches(['0.0.0.0/0']),
  authentication: { kind: 'unauthenticated' },
};
const NOT_ME: Authorization = {
  ...EVERYBODY,
  ref: { type: 'default', name: 'somebody' },
  authentication: { kind: 'identities', names: [identityOf('somebody')], suffixes: [] },
};

/** Not the pod's own, which always gets in. */
const ELSEWHERE = '127.0.0.9';

/** The proxy of a server whose port has this policy; connections to its inbound port are for that. */
async function within(
  port: number,
  protocol: InboundProtocol,
  authorizations: readonly Authorization[],
  run: (proxy: Proxy) => Promise<void>,
): Promise<void> {
  await using mesh = await TestMesh.start();
  const ref = { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' } as const;
  mesh.control.setPolicy(port, { ref, protocol, authorizations });
  const proxy = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port } });
  await eventually(async () => {
    await exchange(proxy.inboundPort, 'POST /probe HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
    return /srv_name="web"/.test(await metrics(proxy));
  }, 'the policy is known');
  await run(proxy);
}

function route(name: string, path: string, rest: Partial<InboundRoute['rules'][number]>): InboundRoute {
  return {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'HTTPRoute', name, namespace: 'shop' },
    hosts: [],
    authorizations: [],
    rules: [{ matches: [{ path: { kind: 'prefix', value: path }, headers: [], queryParams: [] }], ...rest }],
  };
}

test('filters of inbound routes change heads, redirect and fail what is let in, and nothing else', async () => {
  const seen: string[] = [];
  using web = await app((request, response) => {
    seen.push(request.url ?? '');
    response.end(`${String(request.headers['x-added'])} ${String(request.headers['x-gone'])}`);
  });
  const routes: readonly InboundRoute[] = [
    route('change', '/change', {
      filters: [{ kind: 'request-headers', add: [], set: [{ name: 'x-added', value: 'yes' }], remove: ['x-gone'] }],
    }),
    route('move', '/old', { filters: [{ kind: 'redirect', path: { kind: 'prefix', prefix: '/new' }, status: 301 }] }),
    route('fail', '/fail', { filters: [{ kind: 'failure', status: 418, message: 'tea' }] }),
    route('rest', '/', {}),
  ];
  await within(web.port, { kind: 'detect', timeoutMs: 10_000, routes }, [EVERYBODY], async (proxy) => {
    using client = new Client({ outboundPort: proxy.inboundPort });
    const headers = { 'x-gone': 'here' };
    assert.equal((await client.get('/change', headers)).body, 'yes undefined');
    assert.equal((await client.get('/', headers)).body, 'undefined here');
    seen.length = 0;
    const moved = await client.get('/old/a?q=1', {}, 'POST', 'a body that nobody reads');
    assert.deepEqual([moved.status, moved.headers.location], [301, 'http://web/new/a?q=1']);
    const failed = await client.get('/fail');
    assert.deepEqual([failed.status, failed.headers['l5d-proxy-error']], [418, 'injected: tea']);
    assert.deepEqual(seen, []);
    assert.match(
      await metrics(proxy),
      /response_total\{direction="inbound"[^}]*route_name="move"[^}]*status_code="301"/,
    );
  });
  await within(web.port, { kind: 'http1', routes }, [NOT_ME], async (proxy) => {
    for (const path of ['/old', '/fail', '/change']) {
      const request = `GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`;
      const answer = await exchange(proxy.inboundPort, request, { localAddress: ELSEWHERE });
      assert.match(answer.toString(), /^HTTP\/1\.1 403 /, path);
    }
  });
});

async function grpcApp(): Promise<Http2Server> {
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    (stream as unknown as { respond: (fields: object) => void }).respond({
      'content-type': 'application/grpc',
      'grpc-status': '0',
      'x-added': String(headers['x-added']),
    });
    stream.end();
  });
  return listen(server);
}

test('a port declared gRPC has routes by service and method, with authorizations and filters of their own', async () => {
  const server = await grpcApp();
  after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const head = (name: string, authorizations: readonly Authorization[]) =>
    ({ ref: { type: 'default', name }, hosts: [], authorizations }) as const;
  const protocol: InboundProtocol = {
    kind: 'grpc',
    routes: [
      {
        ...head('any', [EVERYBODY]),
        rules: [
          {
            matches: [{ service: 'shop.Cart', headers: [] }],
            filters: [{ kind: 'request-headers', add: [{ name: 'x-added', value: 'yes' }], set: [], remove: [] }],
          },
        ],
      },
      { ...head('closed', []), rules: [{ matches: [{ service: 'shop.Cart', method: 'Drop', headers: [] }] }] },
      {
        ...head('failing', [EVERYBODY]),
        rules: [
          {
            matches: [{ service: 'shop.Cart', method: 'Fail', headers: [] }],
            filters: [{ kind: 'failure', code: 14, message: '100 % broken' }],
          },
        ],
      },
    ],
  };
  await within(port, protocol, [], async (proxy) => {
    const session = connectHttp2('http://web', {
      createConnection: () => connect({ port: proxy.inboundPort, host: '127.0.0.1', localAddress: ELSEWHERE }),
    });
    after(() => session.destroy());
    const call = async (path: string, method = 'POST'): Promise<Record<string, unknown>> => {
      const fields = { ':method': method, ':path': path, ':authority': 'web', 'content-type': 'application/grpc' };
      const stream = session.request(fields);
      stream.end();
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      await text(stream);
      return headers;
    };
    const added = await call('/shop.Cart/Add');
    assert.deepEqual([added['grpc-status'], added['x-added']], ['0', 'yes']);
    const dropped = await call('/shop.Cart/Drop');
    assert.equal(dropped['grpc-status'], '7');
    assert.match(String(dropped['l5d-proxy-error']), /^unauthorized: server\.policy\.linkerd\.io web denies/);
    const failed = await call('/shop.Cart/Fail');
    assert.deepEqual([failed['grpc-status'], failed['grpc-message']], ['14', '100 %25 broken']);
    for (const [path, method] of [
      ['/shop.Other/Add', 'POST'],
      ['/shop.Cart/Add', 'GET'],
      ['/shop.Cart', 'POST'],
    ] as const) {
      assert.match(String((await call(path, method))['l5d-proxy-error']), /^no-route: /, `${method} ${path}`);
    }
    session.destroy();
    await assert.rejects(exchange(proxy.inboundPort, '\0raw bytes', { localAddress: ELSEWHERE }), /ECONNRESET/);
  });
});
