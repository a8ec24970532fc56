import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { test } from 'node:test';
import type { HttpRule } from '#model/route.ts';
import type { Proxy } from '../proxy.ts';
import { meshed, TestMesh, type TestApp } from '../testing/mesh.ts';
import { app, Client, metrics, policy, rule } from '../testing/routed.ts';
import { readOverrides } from './request-overrides.ts';

test('fields for timeouts and retries are read as the annotations of the same meaning', () => {
  const text = (fields: Readonly<Record<string, string>>): string =>
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');
  assert.deepEqual(
    readOverrides(
      text({
        'l5d-timeout': '9s',
        'l5d-request-timeout': '1s',
        'l5d-response-timeout': '0',
        'l5d-retry-http': 'gateway-error, 429',
        'l5d-retry-grpc': 'unavailable',
        'l5d-retry-limit': '3',
        'l5d-retry-timeout': '50ms',
      }),
    ),
    {
      overrides: {
        requestMs: 1000,
        responseMs: 0,
        retry: {
          maxRetries: 3,
          timeoutMs: 50,
          statuses: [
            { min: 502, max: 504 },
            { min: 429, max: 429 },
          ],
          codes: ['unavailable'],
        },
      },
      ignored: [],
    },
  );
  assert.deepEqual(readOverrides(text({ 'l5d-timeout': '2m' }) + text({ 'l5d-timeout': '3m' })).overrides, {
    requestMs: 120_000,
  });
  const wrong = {
    'l5d-request-timeout': '1h30m',
    'l5d-response-timeout': '-1s',
    'l5d-retry-limit': '65536',
    'l5d-retry-timeout': '1e3ms',
    'l5d-retry-http': '5xx,600',
    'l5d-retry-grpc': 'ok',
  };
  assert.deepEqual(readOverrides(text(wrong)), {
    overrides: {},
    ignored: Object.entries(wrong).map(([name, value]) => `${name}: ${value}`),
  });
});

/** A client and a server with their proxies. @param rules  of the client's route */
async function pair(
  application: TestApp,
  rules: readonly HttpRule[],
  run: (client: Client, outbound: Proxy) => Promise<void>,
): Promise<void> {
  await using mesh = await TestMesh.start();
  const inbound = await mesh.proxy({ name: 'web' });
  const outbound = await mesh.proxy({ name: 'client' });
  mesh.control.setOutboundPolicy(80, policy(rules));
  mesh.serve([meshed('web', application.port, inbound)]);
  using client = new Client(outbound);
  await run(client, outbound);
}

const ALLOWED = [rule({ allowsRequestHeaders: true })];
const NOT_ALLOWED = [rule()];

/** Fails twice, then answers. */
function flaky(seen: IncomingHttpHeaders[]): Promise<TestApp> {
  return app((request, response, count) => {
    seen.push(request.headers);
    response.writeHead(count < 3 ? 503 : 200).end(`answer ${count}`);
  });
}

test('a request has the retries that it asks for, where its rule allows that, and the application does not see it', async () => {
  const seen: IncomingHttpHeaders[] = [];
  using application = await flaky(seen);
  await pair(application, ALLOWED, async (client, outbound) => {
    const asked = { 'l5d-retry-http': '5xx', 'l5d-retry-limit': '2', 'l5d-timeout': '20s' };
    const answer = await client.get('/', asked, 'POST', 'body');
    assert.deepEqual([answer.status, answer.body], [200, 'answer 3']);
    assert.equal(seen.length, 3);
    for (const headers of seen) {
      assert.deepEqual(
        Object.keys(headers).filter((name) => /^l5d-(?!client-id)/.test(name)),
        [],
      );
    }
    assert.match(await metrics(outbound), /outbound_http_route_retry_requests_total\{[^}]*\} 2\n/);
  });
});

test('without limit a request that asks for retries has one; the limit 0 takes those of the rule away', async () => {
  for (const { headers, rules, attempts } of [
    { headers: { 'l5d-retry-http': '503' }, rules: ALLOWED, attempts: 2 },
    { headers: { 'l5d-retry-http': '504' }, rules: ALLOWED, attempts: 1 },
    { headers: { 'l5d-retry-http': '5xx', 'l5d-retry-limit': '2' }, rules: NOT_ALLOWED, attempts: 1 },
    {
      headers: { 'l5d-retry-limit': '0' },
      rules: [
        rule({
          allowsRequestHeaders: true,
          retry: { maxRetries: 2, maxRequestBytes: 65_536, conditions: [{ min: 503, max: 503 }] },
        }),
      ],
      attempts: 1,
    },
  ]) {
    const seen: IncomingHttpHeaders[] = [];
    using application = await flaky(seen);
    await pair(application, rules, async (client) => {
      assert.equal((await client.get('/', headers)).status, 503);
      assert.equal(seen.length, attempts, JSON.stringify(headers));
      assert.ok(seen.every((one) => Object.keys(one).every((name) => !name.startsWith('l5d-retry'))));
    });
  }
});

test('a request has the timeouts that it asks for, where its rule allows that', async () => {
  let open: (() => void)[] = [];
  using application = await app((_request, response) => void open.push(() => response.end('late')));
  await pair(application, ALLOWED, async (client) => {
    for (const [field, code] of [
      ['l5d-timeout', 'request-timeout'],
      ['l5d-request-timeout', 'request-timeout'],
      ['l5d-response-timeout', 'response-timeout'],
    ] as const) {
      const answer = await client.get('/', { [field]: '100ms' });
      assert.equal(answer.status, 504, field);
      assert.match(String(answer.headers['l5d-proxy-error']), new RegExp(`^${code}: `));
    }
  });
  open = [];
  await pair(application, NOT_ALLOWED, async (client) => {
    const answer = client.get('/', { 'l5d-timeout': '1ms' });
    while (open.length === 0) await new Promise((resolve) => void setTimeout(resolve, 50));
    open[0]?.();
    assert.equal((await answer).body, 'late');
  });
});

test('they count over HTTP/2 as well', async () => {
  await using mesh = await TestMesh.start();
  let attempts = 0;
  const seen: string[] = [];
  const server = createHttp2Server((request, response) => {
    attempts += 1;
    seen.push(...Object.keys(request.headers));
    response.writeHead(attempts < 2 ? 503 : 200).end();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const inbound = await mesh.proxy({ name: 'web' });
  const outbound = await mesh.proxy({ name: 'client' });
  mesh.control.setOutboundPolicy(80, policy(ALLOWED));
  mesh.serve([meshed('web', port, inbound)]);
  const session = connectHttp2(`http://127.0.0.1:${outbound.outboundPort}`);
  const stream = session.request({ ':path': '/', ':authority': 'web', 'l5d-retry-http': '503' });
  const status = await new Promise((resolve, reject) => {
    stream.on('response', (headers) => resolve(headers[':status']));
    stream.on('error', reject);
  });
  session.destroy();
  server.close();
  assert.equal(status, 200);
  assert.equal(attempts, 2);
  assert.deepEqual(
    seen.filter((name) => name.startsWith('l5d-retry')),
    [],
  );
});
