import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExposition } from './exposition.ts';
import type { Pod } from './pods.ts';
import { routes, type RoutesQuery } from './routes.ts';
import { MetricsStore } from './store.ts';

const pod = (name: string): Pod => ({
  key: `shop/${name}-1`,
  namespace: 'shop',
  name: `${name}-1`,
  serviceAccount: name,
  status: 'Running',
  isFinished: false,
  isMeshed: true,
  owners: { deployment: name },
  labels: { app: name },
});
const [web, cart, bot] = [pod('web'), pod('cart'), pod('bot')];
const services = [
  { namespace: 'shop', name: 'cart', labels: {}, selector: { app: 'cart' } },
  { namespace: 'shop', name: 'web', labels: {}, selector: { app: 'web' } },
  { namespace: 'shop', name: 'outside', labels: {}, selector: {} },
];

const PROFILE = 'direction="outbound",dst="cart.shop.svc.cluster.local:80"';
const PARENT = 'parent_kind="Service",parent_namespace="shop",parent_name="web",parent_port="80"';
const ROUTE = 'outbound_http_route';
/** What web's proxy says of cart (ServiceProfile, retried), and bot's of web (HTTPRoute, split). */
const WEB = `
route_response_total{${PROFILE},rt_route="GET /items",classification="success"} 30
route_actual_response_total{${PROFILE},rt_route="GET /items",classification="success"} 30
route_actual_response_total{${PROFILE},rt_route="GET /items",classification="failure"} 10
route_response_latency_ms_bucket{${PROFILE},rt_route="GET /items",le="10"} 30
route_response_latency_ms_bucket{${PROFILE},rt_route="GET /items",le="+Inf"} 30
route_response_total{${PROFILE},classification="failure"} 6
route_actual_response_total{${PROFILE},classification="failure"} 6
route_response_total{direction="outbound",dst="api.example.com:443",classification="success"} 5
`;
const split = (backend: string, status: string, error: string, count: number): string =>
  `${ROUTE}_backend_response_statuses_total{${PARENT},route_kind="HTTPRoute",route_name="canary",backend_name="${backend}",http_status="${status}",error="${error}"} ${count}\n`;
const BOT = `
${ROUTE}_request_statuses_total{${PARENT},route_kind="HTTPRoute",route_name="canary",http_status="200",error=""} 54
${ROUTE}_request_statuses_total{${PARENT},route_kind="HTTPRoute",route_name="canary",http_status="",error="REQUEST_TIMEOUT"} 6
${ROUTE}_request_duration_seconds_bucket{${PARENT},route_kind="HTTPRoute",route_name="canary",le="0.05"} 60
${ROUTE}_request_duration_seconds_bucket{${PARENT},route_kind="HTTPRoute",route_name="canary",le="+Inf"} 60
${split('web', '200', '', 50)}${split('web-next', '503', '', 6)}${split('web-next', '200', '', 4)}
${ROUTE}_request_statuses_total{${PARENT},route_kind="default",route_name="default",http_status="404",error=""} 3
`;

function ask(query: Omit<RoutesQuery, 'windowMs'>, cartPage = '') {
  const store = new MetricsStore({ retentionMs: 600_000, maxSeriesPerPod: 100, maxSeries: 1000 });
  const nowMs = 40_000;
  for (const [{ key }, page] of [
    [web, WEB],
    [bot, BOT],
    [cart, cartPage],
  ] as const)
    store.ingest(key, nowMs, 10_000, parseExposition(page, () => true, 1000).samples); // 30 s old
  return routes({ windowMs: 60_000, ...query }, [web, cart, bot], store, nowMs, services);
}

test('a Service has the routes of its ServiceProfile, what its clients saw apart from every attempt', () => {
  const { rows } = ask({ kind: 'service', name: 'cart', namespace: 'shop' });
  assert.deepEqual(rows, [
    {
      namespace: 'shop',
      service: 'cart',
      route: 'GET /items',
      kind: 'ServiceProfile',
      effective: { responses: 30, successRate: 1, requestsPerSecond: 1, latencyMs: { p50: 5, p95: 9.5, p99: 9.9 } },
      actual: { responses: 40, successRate: 0.75, requestsPerSecond: 40 / 30 },
      backends: [],
    },
    {
      namespace: 'shop',
      service: 'cart',
      route: '[DEFAULT]',
      kind: 'default',
      effective: { responses: 6, successRate: 0, requestsPerSecond: 0.2 },
      actual: { responses: 6, successRate: 0, requestsPerSecond: 0.2 },
      backends: [],
    },
  ]);
});

test('an HTTPRoute counts a 5xx and no response as failures, and tells its backends apart', () => {
  const { rows } = ask({ kind: 'service', name: 'web', namespace: 'shop' });
  assert.deepEqual(
    rows.map(({ route, kind, effective, actual }) => [route, kind, effective.successRate, actual.responses]),
    [
      ['canary', 'HTTPRoute', 0.9, 60],
      ['[DEFAULT]', 'default', 1, undefined],
    ],
  );
  assert.equal(rows[0]?.effective.latencyMs?.p50, 25);
  assert.deepEqual(
    rows[0]?.backends.map(({ name, responses, successRate }) => [name, responses, successRate]),
    [
      ['web', 50, 1],
      ['web-next', 10, 0.4],
    ],
  );
});

test('a GRPCRoute fails by the status of gRPC that says so', () => {
  const of = (status: string, count: number): string =>
    `outbound_grpc_route_request_statuses_total{${PARENT},route_kind="GRPCRoute",route_name="calls",grpc_status="${status}",error=""} ${count}\n`;
  const { rows } = ask({ kind: 'service', name: 'web' }, of('OK', 6) + of('NOT_FOUND', 2) + of('UNAVAILABLE', 2));
  const calls = rows.find(({ route }) => route === 'calls');
  assert.deepEqual([calls?.kind, calls?.effective.responses, calls?.effective.successRate], ['GRPCRoute', 10, 0.8]);
});

test('a workload has the routes of the Services in front of it, and with to those that it uses', () => {
  const names = (query: Omit<RoutesQuery, 'windowMs'>): readonly string[] =>
    ask(query).rows.map(({ service, route }) => `${service} ${route}`);
  const ofCart = ['cart GET /items', 'cart [DEFAULT]'];
  assert.deepEqual(names({ kind: 'deployment', name: 'cart', namespace: 'shop' }), ofCart);
  assert.deepEqual(names({ kind: 'deployment', name: 'web', namespace: 'shop', to: { kind: 'deployment' } }), ofCart);
  assert.deepEqual(names({ kind: 'service', namespace: 'shop', from: { kind: 'deployment', name: 'web' } }), ofCart);
  assert.deepEqual(names({ kind: 'service', name: 'cart', from: { kind: 'deployment', name: 'bot' } }), []);
  assert.deepEqual(names({ kind: 'namespace', name: 'shop' }).length, 4);
  assert.deepEqual(names({ kind: 'service', namespace: 'elsewhere' }), []);
});

test('an empty answer tells whether a Service or a client is missing', () => {
  const { inFront, clients } = ask({ kind: 'service', name: 'gone' });
  assert.deepEqual([inFront, clients], [0, 3]);
  const alone = ask({ kind: 'service', name: 'cart', from: { kind: 'deployment', name: 'gone' } });
  assert.deepEqual([alone.inFront, alone.clients], [1, 0]);
});
