import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { encodeOutboundPolicy } from '#api/encode/outbound.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { eventually, SERVICE_HOST, SERVICE_IP, TestApp, unmeshed } from '../testing/mesh.ts';
import { app, backend, failing, metrics, named, policy, rule, within } from '../testing/routed.ts';

const V2 = 'web-v2.shop.svc.cluster.local:80';
const BACKOFF = { minMs: 100, maxMs: 400, jitterRatio: 0 };

const RETRY = {
  maxRetries: 2,
  maxRequestBytes: 65_536,
  conditions: [{ min: 500, max: 599 }],
  backoff: { ...BACKOFF, minMs: 5 },
};

test('a backend that answers 503 twice and then 200 gives one 200 after three attempts, body and all', async () => {
  const bodies: string[] = [];
  let count = 0;
  using flaky = await TestApp.start(
    createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        bodies.push(text);
        count += 1;
        response.writeHead(count < 3 ? 503 : 200).end(`answer ${count}`);
      });
    }),
  );
  await within([unmeshed(flaky.port)], policy([rule({ retry: RETRY })]), async ({ proxy, client }) => {
    const answer = await client.get('/', {}, 'POST', 'hello');
    assert.deepEqual([answer.status, answer.body], [200, 'answer 3']);
    assert.deepEqual(bodies, ['hello', 'hello', 'hello']);
    const text = await metrics(proxy);
    assert.match(
      text,
      /outbound_http_route_request_statuses_total\{[^}]*route_name="r"[^}]*http_status="200"[^}]*\} 1\n/,
    );
    assert.match(text, /outbound_http_route_retry_requests_total\{[^}]*\} 2\n/);
    assert.match(text, /outbound_http_route_backend_response_statuses_total\{[^}]*http_status="503"[^}]*\} 2\n/);
  });
});

test('a backend that always fails gets at most 1.2 times the load', async () => {
  using broken = await failing();
  await within(
    [unmeshed(broken.port)],
    policy([rule({ retry: { ...RETRY, backoff: { ...BACKOFF, minMs: 1, maxMs: 1 } } })]),
    async ({ client }) => {
      const answers = await client.many(1000);
      assert.equal(answers.filter(({ status }) => status === 503).length, 1000);
      assert.ok(broken.requests > 1000, 'there are retries');
      assert.ok(broken.requests <= 1200, `${broken.requests} attempts for 1000 requests`);
    },
  );
});

test('a ServiceProfile route retries within its budget and has its own metrics', async () => {
  using broken = await failing();
  await within([unmeshed(broken.port)], undefined, async ({ mesh, proxy, client }) => {
    mesh.control.setProfile(`${SERVICE_IP}:80`, {
      fullyQualifiedName: SERVICE_HOST,
      isOpaque: false,
      retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 },
      routes: [
        {
          condition: { kind: 'path', pattern: '/' },
          responseClasses: [],
          labels: { route: 'GET /' },
          isRetryable: true,
        },
      ],
    });
    const answers = await client.many(600);
    assert.equal(answers.length, 600);
    assert.ok(broken.requests > 600 && broken.requests <= 720, `${broken.requests} attempts for 600 requests`);
    const text = await metrics(proxy);
    const labels = `direction="outbound",dst="${SERVICE_HOST}:80",rt_route="GET /"`;
    assert.ok(text.includes(`route_request_total{${labels}} 600\n`));
    assert.ok(text.includes(`route_actual_request_total{${labels}} ${broken.requests}\n`));
    assert.match(text, /route_response_total\{[^}]*status_code="503",classification="failure"[^}]*\} 600\n/);
  });
});

test('a request that takes too long is answered 504 at its time, with the reason', async () => {
  using slow = await app((_request, response) => void setTimeout(() => response.end('late'), 3000));
  await within([unmeshed(slow.port)], policy([rule({ timeouts: { requestMs: 300 } })]), async ({ proxy, client }) => {
    const startedMs = performance.now();
    const answer = await client.get();
    const tookMs = performance.now() - startedMs;
    assert.equal(answer.status, 504);
    assert.match(String(answer.headers['l5d-proxy-error']), /^request-timeout: /);
    assert.ok(tookMs >= 290 && tookMs < 900, `${tookMs} ms`);
    assert.match(await metrics(proxy), /request_statuses_total\{[^}]*error="REQUEST_TIMEOUT"[^}]*\} 1\n/);
  });
});

test('an attempt that takes too long is tried again, also where no condition says what else is', async () => {
  for (const conditions of [RETRY.conditions, []]) {
    using lazy = await app(
      (_request, response, count) => void setTimeout(() => response.end('ok'), count === 1 ? 3000 : 0),
    );
    const retry = { ...RETRY, conditions, timeoutMs: 100 };
    await within([unmeshed(lazy.port)], policy([rule({ retry })]), async ({ client }) => {
      assert.equal((await client.get()).status, 200);
      assert.equal(lazy.requests, 2);
    });
  }
});

test('without a condition no response is tried again', async () => {
  using broken = await app((_request, response) => response.writeHead(503).end());
  const retry = { ...RETRY, conditions: [] };
  await within([unmeshed(broken.port)], policy([rule({ retry })]), async ({ client }) => {
    assert.equal((await client.get()).status, 503);
    assert.equal(broken.requests, 1);
  });
});

function split(weights: readonly [number, number]): OutboundPolicy {
  const backends = [
    { ...backend(), weight: weights[0] },
    { ...backend(V2), weight: weights[1] },
  ];
  return policy([rule({ distribution: { kind: 'random-available', backends } })]);
}

test('a split 90/10 is kept, and a change acts at once without a failed request under load', async () => {
  using one = await named('v1');
  using two = await named('v2');
  await within([unmeshed(one.port)], split([90, 10]), async ({ mesh, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port)]);
    const answers = await client.many(2000);
    assert.ok(answers.every(({ status }) => status === 200));
    const share = answers.filter(({ body }) => body === 'v2').length;
    assert.ok(Math.abs(share - 200) <= 54, `${share} of 2000 went to v2`);
    const load = client.many(1500);
    mesh.control.setOutboundPolicy(80, split([0, 100]));
    assert.ok(
      (await load).every(({ status }) => status === 200),
      'no request failed by the change',
    );
    assert.ok((await client.many(100)).every(({ body }) => body === 'v2'));
  });
});

test('a header match takes every request it describes and no other; filters change heads', async () => {
  using one = await app((request, response) => void response.end(`v1 ${String(request.headers['x-added'] ?? '')}`));
  using two = await named('v2');
  const rules = [
    rule({
      matches: [{ headers: [{ name: 'x-v', value: { kind: 'exact', value: '2' } }], queryParams: [] }],
      distribution: { kind: 'first-available', backends: [backend(V2)] },
    }),
    rule({
      matches: [{ path: { kind: 'prefix', value: '/old' }, headers: [], queryParams: [] }],
      filters: [{ kind: 'redirect', path: { kind: 'prefix', prefix: '/new' }, status: 302 }],
    }),
    rule({
      matches: [{ path: { kind: 'exact', value: '/changed' }, headers: [], queryParams: [] }],
      filters: [
        { kind: 'request-headers', add: [], set: [{ name: 'x-added', value: 'yes' }], remove: ['x-gone'] },
        { kind: 'response-headers', add: [{ name: 'x-back', value: '1' }], set: [], remove: [] },
      ],
    }),
    rule({ matches: [{ path: { kind: 'exact', value: '/ok' }, headers: [], queryParams: [] }] }),
    rule({
      matches: [{ path: { kind: 'exact', value: '/fail' }, headers: [], queryParams: [] }],
      filters: [{ kind: 'failure', status: 418, message: 'tea' }],
    }),
  ];
  await within([unmeshed(one.port)], policy(rules), async ({ mesh, client }) => {
    mesh.control.setEndpoints(V2, [unmeshed(two.port)]);
    assert.ok((await client.many(200, { 'x-v': '2' })).every(({ body }) => body === 'v2'));
    assert.equal((await client.get('/ok')).body, 'v1 ');
    const changed = await client.get('/changed');
    assert.deepEqual([changed.body, changed.headers['x-back']], ['v1 yes', '1']);
    const moved = await client.get('/old/a?q=1');
    assert.deepEqual([moved.status, moved.headers.location], [302, 'http://web/new/a?q=1']);
    const injected = await client.get('/fail');
    assert.deepEqual([injected.status, injected.headers['l5d-proxy-error']], [418, 'injected: tea']);
    const nowhere = await client.get('/nowhere');
    assert.equal(nowhere.status, 404);
    assert.match(String(nowhere.headers['l5d-proxy-error']), /^no-route: /);
  });
});

test('an endpoint that always fails gets only probes, and returns when it has recovered', async () => {
  using good = await named('good');
  using other = await named('good');
  let isBroken = true;
  using broken = await app((_request, response) => void response.writeHead(isBroken ? 500 : 200).end('third'));
  const accrual = { kind: 'consecutive', maxFailures: 3, backoff: BACKOFF };
  const endpoints = [unmeshed(good.port), unmeshed(other.port), unmeshed(broken.port)];
  await within(endpoints, policy([rule()], accrual), async ({ client }) => {
    await client.many(300);
    const startedMs = performance.now();
    const before = broken.requests;
    await client.many(500);
    const probes = Math.ceil((performance.now() - startedMs) / BACKOFF.minMs) + 1;
    assert.ok(broken.requests - before <= probes, `${broken.requests - before} requests, ${probes} probes at most`);
    isBroken = false;
    await eventually(async () => (await client.many(20)).some(({ body }) => body === 'third'), 'the endpoint is back');
    assert.ok((await client.many(200)).every(({ status }) => status === 200));
  });
});

test('when every endpoint is ejected requests fail at once, with the reason', async () => {
  using broken = await failing();
  const accrual = { kind: 'consecutive', maxFailures: 2, backoff: { minMs: 60_000, maxMs: 60_000, jitterRatio: 0 } };
  await within([unmeshed(broken.port)], policy([rule()], accrual), async ({ client }) => {
    await client.get();
    await client.get();
    const answer = await client.get();
    assert.equal(answer.status, 504);
    assert.match(String(answer.headers['l5d-proxy-error']), /^endpoints-ejected: .*fail-fast/);
    assert.equal(broken.requests, 2);
  });
});

test('a policy that cannot be understood is answered 500 with the reason; one from before stays in force', async () => {
  using one = await named('v1');
  const bad = encodeOutboundPolicy(policy([rule()]));
  bad.protocol = undefined;
  await within([unmeshed(one.port)], undefined, async ({ mesh, client }) => {
    mesh.control.setOutboundMessage(80, bad);
    const answer = await client.get();
    assert.equal(answer.status, 500);
    assert.match(String(answer.headers['l5d-proxy-error']), /^policy-invalid: .*protocol\.kind/);
    mesh.control.setOutboundPolicy(80, policy([rule()]));
    await eventually(async () => (await client.get()).status === 200, 'the good policy acts');
    mesh.control.setOutboundMessage(80, bad);
    assert.ok((await client.many(50)).every(({ status }) => status === 200));
  });
});

test('an outage of the control plane changes nothing for routes that are known', async () => {
  using one = await named('v1');
  await within([unmeshed(one.port)], policy([rule({ retry: RETRY })]), async ({ mesh, client }) => {
    assert.equal((await client.get()).status, 200);
    await mesh.control.stop();
    assert.ok((await client.many(100)).every(({ status }) => status === 200));
  });
});
