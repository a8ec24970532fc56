import assert from 'node:assert/strict';
import { createServer, get, type IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { networkMatches } from '#model/authorization.ts';
import type { InboundServer } from '#model/inbound.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import type { Proxy } from '../proxy.ts';
import { eventually, identityOf, meshed, TestApp, TestMesh } from '../testing/mesh.ts';
import { metrics } from '../testing/routed.ts';
import { RateLimiter } from './rate-limiter.ts';

const REF = {
  type: 'resource',
  group: 'policy.linkerd.io',
  kind: 'HTTPLocalRateLimitPolicy',
  name: 'limit',
  namespace: 'shop',
} as const;

function limiter(limit: Omit<RateLimit, 'ref'>, clientsMax?: number) {
  let nowMs = 5_000;
  const it = new RateLimiter({ ref: REF, ...limit }, () => nowMs, clientsMax);
  const take = (identity?: string): string => it.take(identity)?.scope ?? 'ok';
  return { take, sweep: () => it.sweep(), pass: (ms: number) => void (nowMs += ms) };
}

test('a client above its own limit takes nothing from the others', () => {
  const { take, pass } = limiter({ total: 4, identity: 2, overrides: [{ requestsPerSecond: 3, identities: ['vip'] }] });
  assert.deepEqual(
    [take('a'), take('a'), take('a'), take('a'), take('a')],
    ['ok', 'ok', 'identity', 'identity', 'identity'],
  );
  assert.deepEqual([take('vip'), take('vip'), take('vip')], ['ok', 'ok', 'total']);
  pass(10_000);
  assert.deepEqual([take('vip'), take('vip'), take('vip'), take('vip')], ['ok', 'ok', 'ok', 'identity']);
});

test('clients without identity are one client', () => {
  const { take } = limiter({ identity: 1, overrides: [] });
  assert.deepEqual([take(), take(), take('a')], ['ok', 'identity', 'ok']);
});

test('clients beyond the number that is told apart share a bucket, until others are idle', () => {
  const { take, sweep, pass } = limiter({ identity: 1, overrides: [] }, 3);
  assert.deepEqual([take('a'), take('b'), take('c')], ['ok', 'ok', 'ok']);
  assert.deepEqual([take('d'), take('e'), take('f')], ['ok', 'identity', 'identity']);
  assert.deepEqual([take('a'), take('b')], ['identity', 'identity']);
  sweep();
  assert.equal(take('a'), 'identity', 'a bucket in use is kept');
  pass(1_000);
  sweep();
  assert.deepEqual([take('d'), take('e'), take('f'), take('d')], ['ok', 'ok', 'ok', 'identity']);
});

type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders };

function ask(proxy: Proxy, path = '/'): Promise<Answer> {
  return askAt({ port: proxy.outboundPort }, path);
}

/** @param from  where the client is and what it connects to */
function askAt(from: { readonly port: number; readonly localAddress?: string }, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { ...from, host: '127.0.0.1', path, headers: { host: 'web' }, agent: false };
    get(options, (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
    }).on('error', reject);
  });
}

test('requests above the limit of their client are answered 429 with the object, at the path of a probe too; others pass', async () => {
  using application = await TestApp.start(createServer((_request, response) => void response.end('ok')));
  await using mesh = await TestMesh.start();
  const everybody = {
    ref: { type: 'default', name: 'all-unauthenticated' },
    networks: networkMatches(['0.0.0.0/0']),
    authentication: { kind: 'unauthenticated' },
  } as const;
  const routes = [
    {
      ref: { type: 'default', name: 'probe' },
      hosts: [],
      authorizations: [{ ...everybody, ref: { type: 'default', name: 'probe' } }],
      rules: [{ matches: [{ path: { kind: 'exact', value: '/ready' }, headers: [], queryParams: [] }] }],
    },
    { ref: { type: 'default', name: 'default' }, hosts: [], authorizations: [], rules: [{ matches: [] }] },
  ] as const;
  const server = (rateLimit?: RateLimit): InboundServer => ({
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
    protocol: { kind: 'detect', timeoutMs: 10_000, routes, ...(rateLimit && { rateLimit }) },
    authorizations: [everybody],
  });
  const limit = { ref: REF, identity: 1, overrides: [{ requestsPerSecond: 0, identities: [identityOf('trusted')] }] };
  const inbound = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  const trusted = await mesh.proxy({ name: 'trusted' });
  mesh.serve([meshed('web', application.port, inbound)]);
  mesh.control.setPolicy(application.port, server(limit));
  await eventually(async () => (await ask(client)).status === 429, 'the limit acts');

  const startedMs = performance.now();
  const answers: Answer[] = [];
  while (answers.length < 20) answers.push(await ask(client));
  const passed = answers.filter(({ status }) => status === 200).length;
  const mayPass = 1 + Math.ceil((performance.now() - startedMs) / 1000);
  assert.ok(passed <= mayPass, `${passed} of 20 passed, at most ${mayPass} may`);
  const refused = answers.find(({ status }) => status !== 200);
  assert.equal(refused?.status, 429);
  assert.equal(
    refused.headers['l5d-proxy-error'],
    'rate-limited: httplocalratelimitpolicy.policy.linkerd.io shop/limit allows 1 requests per second of this client',
  );
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await ask(trusted)).status, 200);
  }
  const atProbe = await Promise.all(Array.from({ length: 5 }, () => ask(client, '/ready')));
  assert.ok(
    atProbe.some(({ status }) => status === 429),
    'a client of the mesh is no kubelet',
  );
  const labels =
    'srv_kind="server",srv_name="web",tls="true",client_id="[^"]*client[^"]*",ratelimit_group="policy.linkerd.io",' +
    'ratelimit_kind="HTTPLocalRateLimitPolicy",ratelimit_name="limit",ratelimit_scope="identity"';
  assert.match(await metrics(inbound), new RegExp(`inbound_http_local_ratelimit_total\\{.*${labels}\\} [1-9]`));

  mesh.control.setPolicy(application.port, server());
  await eventually(async () => (await ask(client)).status === 200, 'there is no limit');
  for (let count = 0; count < 20; count += 1) assert.equal((await ask(client)).status, 200);
});

test('probes that the authorization for probes lets in are not counted; those of whom something else lets in are', async () => {
  using application = await TestApp.start(createServer((_request, response) => void response.end('ok')));
  await using mesh = await TestMesh.start();
  const inbound = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port: application.port } });
  const from = (name: string, network: string) =>
    ({
      ref: { type: 'default', name },
      networks: networkMatches([network]),
      authentication: { kind: 'unauthenticated' },
    }) as const;
  const probe = { path: { kind: 'exact', value: '/ready' }, method: 'GET', headers: [], queryParams: [] } as const;
  mesh.control.setPolicy(application.port, {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
    protocol: {
      kind: 'http1',
      routes: [
        {
          ref: { type: 'default', name: 'probe' },
          hosts: [],
          authorizations: [from('probe', '127.0.0.7/32')],
          rules: [{ matches: [probe] }],
        },
        { ref: { type: 'default', name: 'default' }, hosts: [], authorizations: [], rules: [{ matches: [] }] },
      ],
      rateLimit: { ref: REF, total: 1, overrides: [] },
    },
    authorizations: [from('all-unauthenticated', '0.0.0.0/0')],
  });
  const burst = async (localAddress: string, path: string): Promise<number> => {
    const there = { port: inbound.inboundPort, localAddress };
    const answers = await Promise.all(Array.from({ length: 10 }, () => askAt(there, path)));
    return answers.filter(({ status }) => status === 429).length;
  };
  await eventually(async () => (await burst('127.0.0.8', '/')) > 0, 'the limit acts');
  assert.equal(await burst('127.0.0.7', '/ready'), 0, 'the kubelet asks as often as it likes');
  assert.ok((await burst('127.0.0.8', '/ready')) > 0, 'another client does not');
  assert.ok((await burst('127.0.0.7', '/')) > 0, 'nor the kubelet elsewhere');
});
