import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExposition } from './exposition.ts';
import { overview } from './overview.ts';
import { podOf, type Pod } from './pods.ts';
import { MetricsStore } from './store.ts';

function pod(namespace: string, name: string, owner?: { kind: string; name: string }, isMeshed = true): Pod {
  const labels: Record<string, string> = isMeshed ? { 'linkerd.io/control-plane-ns': 'tulle' } : {};
  const ownerReferences = owner === undefined ? [] : [{ controller: true, ...owner }];
  return podOf({ metadata: { name, namespace, labels, ownerReferences }, status: { phase: 'Running' } }, 'tulle');
}

const web = pod('shop', 'web-0', { kind: 'StatefulSet', name: 'web' });
const cart = pod('shop', 'cart');
const old = pod('legacy', 'old-x', { kind: 'DaemonSet', name: 'old' }, false);

const inbound = (classification: string, count: number): string =>
  `response_total{direction="inbound",classification="${classification}",target_port="80"} ${count}\n`;
const out = (labels: string): string => `direction="outbound",peer="dst",${labels}`;
const CART = 'dst_namespace="shop",dst_pod="cart"';
const OLD = 'dst_namespace="legacy",dst_daemonset="old",dst_pod="old-x"';
const TO_CART = out(`${CART},tls="true",server_id="cart.shop.serviceaccount.identity.tulle.cluster.local"`);
const TO_OLD = out(`${OLD},tls="no_identity",no_tls_reason="not_provided_by_service_discovery"`);
const OUTBOUND = `
tcp_open_total{${TO_CART}} 3
tcp_open_connections{${TO_CART}} 2
response_total{direction="outbound",classification="success",${CART}} 15
response_total{direction="outbound",classification="failure",${CART}} 5
tcp_open_total{${TO_OLD}} 1
tcp_read_bytes_total{${TO_OLD}} 4000
tcp_write_bytes_total{${TO_OLD}} 2000
`;

function scraped(): MetricsStore {
  const store = new MetricsStore({ retentionMs: 600_000, maxSeriesPerPod: 100, maxSeries: 1000 });
  const ingest = (of: Pod, nowMs: number, page: string): void =>
    store.ingest(of.key, nowMs, 280_000, parseExposition(page, () => true, 100).samples);
  ingest(web, 300_000, OUTBOUND);
  ingest(cart, 289_000, inbound('success', 10) + inbound('failure', 1));
  ingest(cart, 299_000, inbound('success', 15) + inbound('failure', 5));
  return store;
}

function look(namespace?: string) {
  const sources = { pods: [web, cart, old], services: [], store: scraped(), identityOf: () => 'web.shop' };
  return overview({ windowMs: 60_000, ...(namespace === undefined ? {} : { namespace }) }, sources, 300_000);
}

test('each pod shows once, as the workload that a person thinks of, and namespaces tell what is meshed', () => {
  const { workloads, namespaces } = look();
  assert.deepEqual(
    workloads.map(({ namespace, kind, name, meshedPods }) => [namespace, kind, name, meshedPods]),
    [
      ['shop', 'statefulset', 'web', 1],
      ['legacy', 'daemonset', 'old', 0],
      ['shop', 'pod', 'cart', 1],
    ],
  );
  assert.deepEqual(namespaces, [
    { name: 'legacy', pods: 1, meshedPods: 0 },
    { name: 'shop', pods: 2, meshedPods: 2 },
  ]);
});

test('links tell traffic, identities and what is not secured', () => {
  const [toCart, toOld] = [...look().links].sort((a, b) => b.tcpConnections - a.tcpConnections);
  assert.deepEqual(toCart?.source, { namespace: 'shop', kind: 'statefulset', name: 'web' });
  assert.deepEqual(toCart.destination, { namespace: 'shop', kind: 'pod', name: 'cart' });
  assert.deepEqual(toCart.http, { responses: 20, successRate: 0.75, requestsPerSecond: 1 });
  assert.deepEqual([toCart.secured, toCart.clientIds, toCart.tcpConnections], ['all', ['web.shop'], 2]);
  assert.deepEqual(toOld?.destination, { namespace: 'legacy', kind: 'daemonset', name: 'old' });
  assert.deepEqual([toOld.secured, toOld.noTlsReasons], ['none', ['not_provided_by_service_discovery']]);
  assert.equal(toOld.bytesPerSecond, 300);
});

test('a namespace shows its own workloads, and links that begin or end there', () => {
  const { workloads, links } = look('legacy');
  assert.deepEqual(
    workloads.map(({ name }) => name),
    ['old'],
  );
  assert.deepEqual(
    links.map(({ source, destination }) => [source.name, destination.name]),
    [['web', 'old']],
  );
});

test('the history puts each response into its step', () => {
  const { history } = look().workloads.find(({ name }) => name === 'cart') ?? {};
  assert.equal(history?.successes.length, 30);
  assert.deepEqual(history.successes.slice(-3), [0, 10, 5]);
  assert.deepEqual(history.failures.slice(-3), [0, 1, 4]);
});
