import assert from 'node:assert/strict';
import { test } from 'node:test';
import { edges } from './edges.ts';
import { parseExposition } from './exposition.ts';
import { podOf, type Pod, type PodResource } from './pods.ts';
import { parseSelector } from './selector.ts';
import { stat } from './stat.ts';
import { MetricsStore } from './store.ts';

const resource = (name: string, changes: Partial<PodResource['metadata']> & { phase?: string } = {}): PodResource => ({
  metadata: {
    name,
    namespace: 'shop',
    labels: { 'linkerd.io/control-plane-ns': 'tulle', 'pod-template-hash': 'abc' },
    ownerReferences: [{ kind: 'ReplicaSet', name: `${name.split('-')[0]}-abc`, controller: true }],
    ...changes,
  },
  spec: {
    serviceAccountName: 'web',
    initContainers: [{ name: 'linkerd-proxy', ports: [{ name: 'linkerd-admin', containerPort: 4191 }] }],
  },
  status: { phase: changes.phase ?? 'Running', podIP: '10.42.0.9' },
});

function scraped(pod: Pod, page: string): MetricsStore {
  const store = new MetricsStore({ retentionMs: 600_000, maxSeriesPerPod: 100, maxSeries: 1000 });
  store.ingest(pod.key, 0, -20_000, []);
  store.ingest(pod.key, 10_000, -20_000, parseExposition(page, () => true, 1000).samples);
  return store;
}

const INBOUND = `
response_total{direction="inbound",classification="success",target_port="8080"} 285
response_total{direction="inbound",classification="failure",target_port="8080"} 15
response_total{direction="inbound",classification="success",target_port="4191"} 1000
response_total{direction="outbound",classification="success",target_port="8080"} 5000
response_latency_ms_bucket{direction="inbound",target_port="8080",le="1"} 150
response_latency_ms_bucket{direction="inbound",target_port="8080",le="10"} 300
response_latency_ms_bucket{direction="inbound",target_port="8080",le="+Inf"} 300
tcp_open_connections{direction="inbound",peer="src",target_port="8080"} 4
tcp_open_connections{direction="inbound",peer="dst",target_port="8080"} 9
tcp_read_bytes_total{direction="inbound",peer="src",target_port="8080"} 3000
`;

test('a workload shows what arrived at it, without probes of the proxy', () => {
  const pod = podOf(resource('web-abc-1'), 'tulle');
  const [row] = stat({ kind: 'deployment', namespace: 'shop', windowMs: 60_000 }, [pod], scraped(pod, INBOUND), 10_000);
  assert.equal(row?.name, 'web');
  assert.deepEqual([row?.meshedPods, row?.runningPods], [1, 1]);
  assert.equal(row?.successRate, 0.95);
  assert.equal(row?.requestsPerSecond, 10); // 300 responses in the 30 s that the process exists
  assert.equal(row?.latencyMs?.p50, 1);
  assert.equal(row?.tcpConnections, 4);
  assert.equal(row?.readBytesPerSecond, 100);
});

test('without traffic the numbers are absent and the workload is still listed', () => {
  const meshed = podOf(resource('web-abc-1'), 'tulle');
  const plain = podOf(resource('web-abc-2', { labels: { 'pod-template-hash': 'abc' } }), 'tulle');
  const done = podOf(resource('web-abc-3', { phase: 'Succeeded' }), 'tulle');
  const store = new MetricsStore({ retentionMs: 60_000, maxSeriesPerPod: 10, maxSeries: 10 });
  const rows = stat({ kind: 'deployment', windowMs: 60_000 }, [meshed, plain, done], store, 0);
  assert.equal(rows.length, 1);
  assert.deepEqual(rows[0], { namespace: 'shop', kind: 'deployment', name: 'web', meshedPods: 1, runningPods: 2 });
});

test('pods and namespaces are grouped by their own names', () => {
  const pod = podOf(resource('web-abc-1'), 'tulle');
  const store = scraped(pod, INBOUND);
  const [byPod] = stat({ kind: 'pod', namespace: 'shop', windowMs: 60_000 }, [pod], store, 10_000);
  assert.deepEqual([byPod?.name, byPod?.status], ['web-abc-1', 'Running']);
  const [byNamespace] = stat({ kind: 'namespace', windowMs: 60_000 }, [pod], store, 10_000);
  assert.deepEqual([byNamespace?.name, byNamespace?.namespace, byNamespace?.successRate], ['shop', '', 0.95]);
  assert.deepEqual(stat({ kind: 'deployment', namespace: 'other', windowMs: 60_000 }, [pod], store, 10_000), []);
});

test('an edge shows both identities when it is secured and the reason when it is not', () => {
  const pod = podOf(resource('web-abc-1'), 'tulle');
  const store = scraped(
    pod,
    `
tcp_open_connections{direction="outbound",peer="dst",tls="true",server_id="cart.shop.serviceaccount.identity.tulle.cluster.local",dst_deployment="cart",dst_namespace="shop"} 1
tcp_open_total{direction="outbound",peer="dst",tls="true",server_id="cart.shop.serviceaccount.identity.tulle.cluster.local",dst_deployment="cart",dst_namespace="shop"} 5
tcp_open_connections{direction="outbound",peer="dst",tls="no_identity",no_tls_reason="not_provided_by_service_discovery",dst_deployment="legacy",dst_namespace="old"} 2
tcp_open_connections{direction="outbound",peer="dst",tls="true",server_id="idle",dst_deployment="idle",dst_namespace="shop"} 0
tcp_open_connections{direction="inbound",peer="dst",tls="true",dst_deployment="loop",dst_namespace="shop"} 3
tcp_open_connections{direction="outbound",peer="dst",tls="no_identity",no_tls_reason="x"} 3
`,
  );
  const found = edges(
    { kind: 'deployment', namespace: 'shop', windowMs: 60_000 },
    [pod],
    store,
    10_000,
    ({ serviceAccount, namespace }) => `${serviceAccount}.${namespace}`,
  );
  assert.deepEqual(found, [
    {
      source: 'web',
      sourceNamespace: 'shop',
      destination: 'cart',
      destinationNamespace: 'shop',
      clientId: 'web.shop',
      serverId: 'cart.shop.serviceaccount.identity.tulle.cluster.local',
      noTlsReason: '',
    },
    {
      source: 'web',
      sourceNamespace: 'shop',
      destination: 'legacy',
      destinationNamespace: 'old',
      clientId: '',
      serverId: '',
      noTlsReason: 'not_provided_by_service_discovery',
    },
  ]);
});

/** `web` sent 30 requests to Service `cart` (deployment `cart`) and 10 to Service `old` (a Job of a CronJob). */
const OUTBOUND = `
response_total{direction="outbound",classification="success",dst_service="cart",dst_namespace="shop",dst_deployment="cart",target_port="8080"} 27
response_total{direction="outbound",classification="failure",dst_service="cart",dst_namespace="shop",dst_deployment="cart",target_port="8080"} 3
response_total{direction="outbound",classification="success",dst_service="old",dst_namespace="store",dst_k8s_job="old-28001234",target_port="8080"} 10
response_total{direction="outbound",classification="success",target_port="8080"} 99
tcp_open_connections{direction="outbound",peer="dst",dst_service="cart",dst_namespace="shop",dst_deployment="cart"} 2
tcp_open_connections{direction="outbound",peer="src",dst_service="cart",dst_namespace="shop",dst_deployment="cart"} 7
`;

test('to, from and Services count what the clients saw, exactly', () => {
  const web = podOf(resource('web-abc-1'), 'tulle');
  const cart = podOf(resource('cart-abc-1'), 'tulle');
  const store = scraped(web, INBOUND + OUTBOUND);
  store.ingest(cart.key, 10_000, -20_000, parseExposition(INBOUND, () => true, 1000).samples);
  const services = [
    { namespace: 'shop', name: 'cart', labels: { tier: 'back' }, selector: {} },
    { namespace: 'shop', name: 'unused', labels: {}, selector: {} },
    { namespace: 'store', name: 'old', labels: {}, selector: {} },
  ];
  const ask = (query: Omit<Parameters<typeof stat>[0], 'windowMs'>): readonly (readonly unknown[])[] =>
    stat({ windowMs: 60_000, ...query }, [web, cart], store, 10_000, services).map((row) => [
      row.name,
      row.successRate,
      row.requestsPerSecond,
      row.tcpConnections,
    ]);
  assert.deepEqual(ask({ kind: 'service' }), [
    ['cart', 0.9, 1, 2], // 30 responses in the 30 s that the client exists
    ['unused', undefined, undefined, undefined],
    ['old', 1, 10 / 30, 0],
  ]);
  assert.deepEqual(ask({ kind: 'service', selector: parseSelector('tier=back') }), [['cart', 0.9, 1, 2]]);
  const toCart = { kind: 'service', name: 'cart', namespace: 'shop' };
  assert.deepEqual(ask({ kind: 'deployment', to: toCart }), [
    ['cart', undefined, undefined, undefined],
    ['web', 0.9, 1, 2],
  ]);
  assert.deepEqual(ask({ kind: 'pod', name: 'web-abc-1', to: { kind: 'cronjob', name: 'old' } }), [
    ['web-abc-1', 1, 10 / 30, 0],
  ]);
  assert.deepEqual(ask({ kind: 'deployment', name: 'web', to: { kind: 'namespace', name: 'store' } }), [
    ['web', 1, 10 / 30, 0],
  ]);
  assert.deepEqual(ask({ kind: 'deployment', name: 'cart', from: { kind: 'deployment', name: 'web' } }), [
    ['cart', 0.9, 1, 2],
  ]);
  assert.deepEqual(ask({ kind: 'deployment', name: 'cart', from: { kind: 'deployment', name: 'cart' } }), [
    ['cart', undefined, undefined, undefined],
  ]);
});

test('pods of replication controllers and CronJobs are found by their owners, and chosen by labels', () => {
  const owned = (name: string, kind: string, owner: string): Pod =>
    podOf(
      resource(name, { labels: { app: owner }, ownerReferences: [{ kind, name: owner, controller: true }] }),
      'tulle',
    );
  const pods = [
    owned('old-x', 'ReplicationController', 'old'),
    owned('nightly-28001234-x', 'Job', 'nightly-28001234'),
    owned('once-x', 'Job', 'once'),
  ];
  const store = new MetricsStore({ retentionMs: 60_000, maxSeriesPerPod: 10, maxSeries: 10 });
  const names = (kind: string, selector?: string): readonly string[] =>
    stat(
      { kind, windowMs: 60_000, ...(selector === undefined ? {} : { selector: parseSelector(selector) }) },
      pods,
      store,
      0,
    ).map(({ name }) => name);
  assert.deepEqual(names('replicationcontroller'), ['old']);
  assert.deepEqual(names('cronjob'), ['nightly']);
  assert.deepEqual(names('job'), ['nightly-28001234', 'once']);
  assert.deepEqual(names('pod', 'app in (once,old)'), ['old-x', 'once-x']);
});
