import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Edge } from '../metrics-api/edges.ts';
import type { StatRow } from '../metrics-api/stat.ts';
import { edgesTable } from './edges.ts';
import { statTable } from './stat.ts';

const busy: StatRow = {
  kind: 'deployment',
  namespace: 'shop',
  name: 'web',
  meshedPods: 1,
  runningPods: 2,
  successRate: 0.96875,
  requestsPerSecond: 9.84,
  latencyMs: { p50: 6.6, p95: 376.2, p99: 436 },
  tcpConnections: 2,
  readBytesPerSecond: 10.04,
  writeBytesPerSecond: 2048,
};
const silent: StatRow = { kind: 'deployment', namespace: 'shop', name: 'load', meshedPods: 1, runningPods: 1 };

test('stat shows rates with their units, and a dash for what was not seen', () => {
  assert.equal(
    statTable('deployment', [busy, silent], false, false),
    [
      'NAME   MESHED   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN',
      'web       1/2    96.88%   9.8rps           7ms         376ms         436ms          2',
      'load      1/1         -        -             -             -             -          -',
      '',
    ].join('\n'),
  );
});

test('stat adds the namespace for all namespaces, the status for pods and bytes when wide', () => {
  const [head = '', row = ''] = statTable('pod', [{ ...busy, kind: 'pod', status: 'Running' }], true, true).split('\n');
  assert.match(head, /^NAMESPACE +NAME +STATUS +MESHED .* READ_BYTES\/SEC +WRITE_BYTES\/SEC$/);
  assert.match(row, /^shop +web +Running +1\/2 .* 10\.0B\/s +2048\.0B\/s$/);
});

const suffix = 'serviceaccount.identity.tulle.cluster.local';
const edge: Edge = {
  source: 'web',
  sourceNamespace: 'shop',
  destination: 'catalog',
  destinationNamespace: 'stock',
  clientId: `web.shop.${suffix}`,
  serverId: `catalog.stock.${suffix}`,
  noTlsReason: '',
};
const plain: Edge = { ...edge, clientId: '', serverId: '', noTlsReason: 'not_provided_by_service_discovery' };

test('edges marks what is secured and says in words why something is not', () => {
  assert.equal(
    edgesTable([edge, plain], false),
    [
      'SRC   DST       SRC_NS   DST_NS   SECURED',
      'web   catalog   shop     stock    √',
      'web   catalog   shop     stock    Not Provided By Service Discovery',
      '',
    ].join('\n'),
  );
});

test('edges shows short identities when wide', () => {
  assert.equal(
    edgesTable([edge], true),
    [
      'SRC   DST       SRC_NS   DST_NS   CLIENT_ID   SERVER_ID       SECURED',
      'web   catalog   shop     stock    web.shop    catalog.stock   √',
      '',
    ].join('\n'),
  );
});
