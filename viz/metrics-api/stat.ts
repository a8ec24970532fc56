import { workloadName, type Pod } from './pods.ts';
import { histogramQuantile } from './quantile.ts';
import type { MetricsStore, SeriesView } from './store.ts';

export type StatQuery = {
  readonly kind: string; // deployment, pod, namespace ...
  readonly namespace?: string; // absent: all
  readonly name?: string;
  readonly windowMs: number;
};

/** Golden metrics of one workload; absent numbers mean that nothing was seen. */
export type StatRow = {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly status?: string; // pods only
  readonly meshedPods: number;
  readonly runningPods: number;
  readonly successRate?: number; // 0..1 of the classified responses
  readonly requestsPerSecond?: number;
  readonly latencyMs?: { readonly p50: number; readonly p95: number; readonly p99: number };
  readonly tcpConnections?: number; // open now
  readonly readBytesPerSecond?: number;
  readonly writeBytesPerSecond?: number;
};

export const STAT_METRICS = new Set([
  'response_total',
  'response_latency_ms_bucket',
  'tcp_open_connections',
  'tcp_read_bytes_total',
  'tcp_write_bytes_total',
]);

/** Probes and scrapes of the proxy itself are no traffic of the workload. */
const ADMIN_PORT = '4191';

type Sums = {
  success: number;
  failure: number;
  connections: number;
  readBytes: number;
  writeBytes: number;
  readonly buckets: Map<number, number>;
  coveredMs: number;
  hasProxyData: boolean;
};

/**
 * What arrived at the workloads of a kind: the inbound side of their own proxies. Source: linkerd2 `viz/metrics-api/stat_summary.go`.
 *
 * @returns rows by namespace and name; workloads whose pods are all finished are left out
 */
export function stat(query: StatQuery, pods: readonly Pod[], store: MetricsStore, nowMs: number): readonly StatRow[] {
  const groups = new Map<string, { namespace: string; name: string; pods: Pod[] }>();
  for (const pod of pods) {
    const name = workloadName(pod, query.kind);
    if (name === undefined || pod.isFinished) continue;
    if (query.kind !== 'namespace' && query.namespace !== undefined && pod.namespace !== query.namespace) continue;
    if (query.name !== undefined && name !== query.name) continue;
    const namespace = query.kind === 'namespace' ? '' : pod.namespace;
    const key = `${namespace}/${name}`;
    const group = groups.get(key) ?? { namespace, name, pods: [] };
    group.pods.push(pod);
    groups.set(key, group);
  }
  return [...groups.values()]
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name))
    .map((group) => row(query, group, store, nowMs));
}

function row(
  query: StatQuery,
  group: { readonly namespace: string; readonly name: string; readonly pods: readonly Pod[] },
  store: MetricsStore,
  nowMs: number,
): StatRow {
  const sums: Sums = {
    success: 0,
    failure: 0,
    connections: 0,
    readBytes: 0,
    writeBytes: 0,
    buckets: new Map(),
    coveredMs: 0,
    hasProxyData: false,
  };
  for (const pod of group.pods) {
    sums.hasProxyData ||= store.has(pod.key);
    sums.coveredMs = Math.max(sums.coveredMs, store.coveredMs(pod.key, nowMs, query.windowMs));
    for (const series of store.view(pod.key, nowMs, query.windowMs, (name) => STAT_METRICS.has(name)))
      addSeries(sums, series);
  }
  const { status } = group.pods[0] ?? {};
  const responses = sums.success + sums.failure;
  const seconds = sums.coveredMs / 1000;
  const p50 = histogramQuantile(sums.buckets, 0.5);
  return {
    namespace: group.namespace,
    kind: query.kind,
    name: group.name,
    ...(query.kind === 'pod' && status !== undefined ? { status } : {}),
    meshedPods: group.pods.filter(({ isMeshed }) => isMeshed).length,
    runningPods: group.pods.length,
    ...(responses > 0 && seconds > 0
      ? { successRate: sums.success / responses, requestsPerSecond: responses / seconds }
      : {}),
    ...(p50 === undefined
      ? {}
      : {
          latencyMs: {
            p50,
            p95: histogramQuantile(sums.buckets, 0.95) ?? p50,
            p99: histogramQuantile(sums.buckets, 0.99) ?? p50,
          },
        }),
    ...(sums.hasProxyData
      ? {
          tcpConnections: sums.connections,
          readBytesPerSecond: seconds > 0 ? sums.readBytes / seconds : 0,
          writeBytesPerSecond: seconds > 0 ? sums.writeBytes / seconds : 0,
        }
      : {}),
  };
}

function addSeries(sums: Sums, { name, labels, increase, last }: SeriesView): void {
  if (labels['direction'] !== 'inbound' || labels['target_port'] === ADMIN_PORT) return;
  switch (name) {
    case 'response_total':
      if (labels['classification'] === 'failure') sums.failure += increase;
      else sums.success += increase;
      break;
    case 'response_latency_ms_bucket': {
      const bound = labels['le'] === '+Inf' ? Infinity : Number(labels['le']);
      sums.buckets.set(bound, (sums.buckets.get(bound) ?? 0) + increase);
      break;
    }
    case 'tcp_open_connections':
      if (labels['peer'] === 'src') sums.connections += last;
      break;
    case 'tcp_read_bytes_total':
      if (labels['peer'] === 'src') sums.readBytes += increase;
      break;
    case 'tcp_write_bytes_total':
      if (labels['peer'] === 'src') sums.writeBytes += increase;
      break;
    default:
  }
}
