import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { networkMatches } from '#model/authorization.ts';
import type { InboundFilter, InboundRoute, InboundServer } from '#model/inbound.ts';
import type { Proxy } from '../proxy.ts';
import { eventually, exchange, identityOf, meshed, TestApp, TestMesh, unmeshed } from '../testing/mesh.ts';
import { app, backend, Client, failing, named, policy, rule, within } from '../testing/routed.ts';
import { DecisionLog } from './decision-log.ts';

type Line = Readonly<Record<string, unknown>>;

async function decisions(proxy: Proxy, query = ''): Promise<readonly Line[]> {
  const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/decisions${query}`);
  assert.equal(response.status, 200, await response.clone().text());
  assert.match(String(response.headers.get('content-type')), /ndjson/);
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Line);
}

const DENYING: InboundServer = {
  ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
  protocol: { kind: 'detect', timeoutMs: 5000, routes: [] },
  authorizations: [
    {
      ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'friends' },
      networks: networkMatches(['0.0.0.0/0']),
      authentication: { kind: 'identities', names: [identityOf('friend')], suffixes: [] },
    },
  ],
};

/** Clients at 127.0.0.1 are always let in; these come from elsewhere. */
const ELSEWHERE = '127.0.0.9';

test('a failed request is on record with route, attempts and reason, without its query and fields', async () => {
  using broken = await failing();
  const retry = { maxRetries: 1, maxRequestBytes: 65_536, conditions: [{ min: 500, max: 599 }] };
  const slow = rule({
    matches: [{ path: { kind: 'prefix', value: '/slow' }, headers: [], queryParams: [] }],
    timeouts: { requestMs: 100 },
    retry: { ...retry, backoff: { minMs: 60_000, maxMs: 60_000, jitterRatio: 0 } },
  });
  const outbound = policy([slow, rule({ distribution: { kind: 'empty' } })]);
  await within([unmeshed(broken.port)], outbound, async ({ proxy, client }) => {
    assert.equal((await client.get('/slow/a?secret=1', { 'x-secret': 'yes' })).status, 504);
    assert.equal((await client.get('/nothing')).status, 502);
    const all = await decisions(proxy);
    assert.doesNotMatch(JSON.stringify(all), /secret/);
    const [first, second] = all;
    const { time, client: who, latencyMs, attempts, ...rest } = first ?? {};
    assert.deepEqual(rest, {
      direction: 'outbound',
      target: '10.96.0.7:80',
      protocol: 'http',
      method: 'GET',
      authority: 'web',
      path: '/slow/a',
      decidedBy: ['httproute.gateway.networking.k8s.io shop/r', 'service shop/web:80'],
      code: 'request-timeout',
      status: 504,
      reason: 'no complete response within 100 ms',
    });
    const endpoint = `127.0.0.1:${broken.port}`;
    assert.deepEqual(attempts, [{ endpoint, backend: 'service shop/web:80', outcome: 'status 503' }]);
    assert.match(String(who), /^127\.0\.0\.1:\d+$/);
    assert.ok(!Number.isNaN(Date.parse(String(time))) && Number(latencyMs) >= 0);
    assert.deepEqual([second?.['code'], second?.['path'], second?.['attempts']], ['no-backend', '/nothing', []]);
  });
});

test('a request that succeeds leaves no record; endpoints that cannot be reached, and injected failures, do', async () => {
  using one = await named('v1');
  const injected = rule({
    matches: [{ path: { kind: 'exact', value: '/injected' }, headers: [], queryParams: [] }],
    filters: [{ kind: 'failure', status: 418, message: 'tea' }],
  });
  const nobody = 'nobody.shop.svc.cluster.local:80';
  const unreachable = rule({
    matches: [{ path: { kind: 'exact', value: '/unreachable' }, headers: [], queryParams: [] }],
    distribution: { kind: 'first-available', backends: [backend(nobody)] },
  });
  await within([unmeshed(one.port)], policy([rule(), injected, unreachable]), async ({ mesh, proxy, client }) => {
    mesh.control.setEndpoints(nobody, [unmeshed(1)]);
    assert.equal((await client.get('/')).status, 200);
    assert.deepEqual(await decisions(proxy), []);
    assert.equal((await client.get('/injected')).status, 418);
    assert.equal((await client.get('/unreachable')).status, 502);
    const [first, second] = await decisions(proxy);
    assert.deepEqual([first?.['code'], first?.['status'], first?.['reason']], ['injected', 418, 'tea']);
    assert.equal(second?.['code'], 'connect-refused');
    const attempts = second?.['attempts'] as readonly Line[];
    assert.ok(attempts.length >= 1 && attempts.length <= 8);
    assert.deepEqual([attempts[0]?.['endpoint'], attempts[0]?.['backend']], ['127.0.0.1:1', 'service shop/web:80']);
    assert.match(String(attempts[0]?.['outcome']), /^connect-refused: /);
  });
});

test('what a filter of an inbound route answers is on record on both sides; a redirect, which is no failure, is not', async () => {
  await using mesh = await TestMesh.start();
  using one = await app((_request, response) => void response.end('ok'));
  const route = (name: string, filter: InboundFilter): InboundRoute => ({
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'HTTPRoute', name },
    hosts: [],
    authorizations: [],
    rules: [
      {
        matches: [{ path: { kind: 'exact', value: `/${name}` }, headers: [], queryParams: [] }],
        filters: [filter],
      },
    ],
  });
  const fail = route('fail', { kind: 'failure', status: 418, message: 'tea' });
  const move = route('move', { kind: 'redirect', path: { kind: 'full', path: '/new' }, status: 301 });
  mesh.control.setPolicy(one.port, { ...DENYING, protocol: { kind: 'http1', routes: [fail, move] } });
  const server = await mesh.proxy({ name: 'web' });
  mesh.serve([meshed('web', one.port, server)]);
  const proxy = await mesh.proxy({ name: 'client' });
  using client = new Client(proxy);
  await eventually(async () => (await client.get('/move')).status === 301, 'the policy acts');
  assert.equal((await client.get('/fail?secret=1')).status, 418);
  for (const [side, direction] of [
    [server, 'inbound'],
    [proxy, 'outbound'],
  ] as const) {
    const found = await decisions(side, '?code=injected');
    assert.equal(found.length, 1);
    const { path, status, reason, method } = found[0] ?? {};
    assert.deepEqual([found[0]?.['direction'], method, path, status, reason], [direction, 'GET', '/fail', 418, 'tea']);
    assert.ok((await decisions(side)).every((line) => line['path'] !== '/move' || line['status'] !== 301));
  }
});

test('a denied request is on record on both sides: who, and by which object', async () => {
  await using mesh = await TestMesh.start();
  using one = await app((_request, response) => void response.end('ok'));
  const rules = [{ matches: [{ path: { kind: 'exact', value: '/only' }, headers: [], queryParams: [] } as const] }];
  const ref = { type: 'resource', group: 'policy.linkerd.io', kind: 'HTTPRoute', name: 'only' } as const;
  const routes = [{ ref, hosts: [], authorizations: [], rules }];
  mesh.control.setPolicy(one.port, { ...DENYING, protocol: { kind: 'http1', routes } });
  const server = await mesh.proxy({ name: 'web' });
  mesh.serve([meshed('web', one.port, server)]);
  const proxy = await mesh.proxy({ name: 'client' });
  using client = new Client(proxy);
  await eventually(async () => (await client.get('/denied?q=1')).status === 404, 'the policy acts');
  const [inbound] = await decisions(server, '?code=no-route&limit=1');
  const { time: _time, client: who, reason, latencyMs: _latency, ...rest } = inbound ?? {};
  assert.deepEqual(rest, {
    direction: 'inbound',
    identity: identityOf('client'),
    target: `127.0.0.1:${one.port}`,
    protocol: 'http',
    method: 'GET',
    authority: 'web',
    path: '/denied',
    decidedBy: ['server.policy.linkerd.io web'],
    code: 'no-route',
    status: 404,
    attempts: [],
  });
  assert.match(String(who), /^127\.0\.0\.1:\d+$/);
  assert.match(String(reason), /server\.policy\.linkerd\.io web denies the request/);
  const [outbound] = await decisions(proxy, '?limit=1');
  assert.deepEqual([outbound?.['code'], outbound?.['direction'], outbound?.['status']], ['no-route', 'outbound', 404]);
  const metrics = await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
  assert.match(metrics, /proxy_errors_total\{direction="inbound",error="no-route"\} \d/);
});

test('a request from somebody who may not is on record with the objects that decided', async () => {
  await using mesh = await TestMesh.start();
  using one = await named('v1');
  const redirectedTo = { address: '127.0.0.1', port: one.port };
  const server = await mesh.proxy({ name: 'web', redirectedTo, env: { INBOUND_DEFAULT_POLICY: 'deny' } });
  const get = 'GET /a?b HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';
  assert.match(String(await exchange(server.inboundPort, get, { localAddress: ELSEWHERE })), /^HTTP\/1\.1 403 /);
  const [denied] = await decisions(server);
  assert.deepEqual(
    [denied?.['code'], denied?.['decidedBy'], denied?.['path']],
    ['unauthorized', ['default:deny'], '/a'],
  );
  assert.match(String(denied?.['client']), /^127\.0\.0\.9:\d+$/);
});

test('connections that are denied, and what is no request, are on record', async () => {
  await using mesh = await TestMesh.start();
  using one = await TestApp.start(createServer((_request, response) => response.end()));
  const redirectedTo = { address: '127.0.0.1', port: one.port };
  mesh.control.setPolicy(one.port, { ...DENYING, protocol: { kind: 'opaque' } });
  const server = await mesh.proxy({ name: 'web', redirectedTo, env: { INBOUND_PORTS: String(one.port) } });
  await eventually(async () => {
    await exchange(server.inboundPort, 'bytes', { localAddress: ELSEWHERE }).catch(() => undefined);
    return (await decisions(server, '?code=unauthorized')).length > 0;
  }, 'a denied connection is on record');
  const [denied] = await decisions(server, '?code=unauthorized');
  assert.deepEqual([denied?.['protocol'], denied?.['direction'], denied?.['method']], ['tcp', 'inbound', undefined]);
  assert.deepEqual(denied?.['decidedBy'], ['server.policy.linkerd.io web']);
  const proxy = await mesh.proxy({ name: 'client' });
  mesh.serve([unmeshed(one.port)]);
  assert.match(String(await exchange(proxy.outboundPort, 'GET / HTTP/1.1\r\nx: y\r\n\r\n')), /^HTTP\/1\.1 400 /);
  const [malformed] = await decisions(proxy);
  assert.deepEqual([malformed?.['code'], malformed?.['status']], ['client-malformed', 400]);
  assert.match(String(malformed?.['reason']), /no Host field/);
});

test('the record is bounded, and asked for in parts; nothing can be changed there', async () => {
  const counted: string[] = [];
  const log = new DecisionLog(
    { now: () => 0, count: ({ direction }, protocol, code) => counted.push(`${direction} ${protocol} ${code}`) },
    3,
  );
  const origin = { direction: 'inbound', client: '10.0.0.1:1', target: '10.0.0.2:80' } as const;
  for (const code of ['a', 'b', 'c', 'd', 'e']) log.connection(origin, code, 'x'.repeat(10_000));
  const codes = (query: Partial<Parameters<DecisionLog['read']>[0]> = {}): string =>
    log
      .read({ sinceMs: 0, limit: 1000, ...query })
      .map(({ code }) => code)
      .join('');
  assert.equal(codes(), 'cde');
  assert.equal(codes({ limit: 2 }), 'de');
  assert.equal(codes({ code: 'd' }), 'd');
  assert.equal(codes({ sinceMs: Date.now() + 1000 }), '');
  assert.ok(log.read({ sinceMs: 0, limit: 1000 }).every(({ reason }) => reason.length <= 512));
  assert.equal(counted.length, 5);

  await within([], policy([rule()]), async ({ proxy }) => {
    const ask = async (query: string, method = 'GET'): Promise<readonly [number, string]> => {
      const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/decisions${query}`, { method });
      return [response.status, await response.text()];
    };
    assert.deepEqual(await ask('?since=10m&code=unauthorized&limit=1'), [200, '']);
    for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?since=soon', '?code=A%0A', '?codes=a']) {
      assert.equal((await ask(query))[0], 400, query);
    }
    assert.match((await ask('?since=soon'))[1], /"soon" is not a duration/);
    assert.equal((await ask('', 'POST'))[0], 405);
  });
});
