import { ResponseTally, type Golden } from './golden.ts';
import { cronJobOf, workloadName, type Pod } from './pods.ts';
import { selects, type Selector } from './selector.ts';
import type { MetricsStore, SeriesView } from './store.ts';

/** The other side of traffic: all of a kind, or one. */
export type Peer = {
  readonly kind: string;
  readonly name?: string;
  readonly namespace?: string; // absent: all
};

export type StatQuery = {
  readonly kind: string; // deployment, pod, service, namespace ...
  readonly namespace?: string; // absent: all
  readonly name?: string;
  readonly selector?: Selector; // of the pods, or of the Services
  readonly windowMs: number;
  /** What the workloads send there, as their own proxies see it. */
  readonly to?: Peer;
  /** What those send to the workloads, as the proxies of those see it. */
  readonly from?: Peer;
};

/** A Service as the statistics see it. */
export type ServiceEntry = {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly selector: Readonly<Record<string, string>>; // of its pods; empty: none of its own
};

/** Golden metrics of one workload; absent numbers mean that nothing was seen. */
export type StatRow = Golden & {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly status?: string; // pods only
  readonly meshedPods: number;
  readonly runningPods: number;
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
export const ADMIN_PORT = '4191';

type Labels = Readonly<Record<string, string>>;

type Sums = {
  readonly tally: ResponseTally;
  connections: number;
  readBytes: number;
  writeBytes: number;
  coveredMs: number;
  hasProxyData: boolean;
};

type Group = { readonly namespace: string; readonly name: string; readonly pods: Pod[] };

/** Series that count for a row: those of one proxy that pass the test. */
type Source = {
  readonly pod: Pod;
  readonly counts: (labels: Labels) => boolean;
  readonly side: 'inbound' | 'outbound';
};

/**
 * Golden metrics of the workloads or Services of a kind. What arrived at workloads is what their own proxies saw; for
 * Services, `to` and `from` it is what the proxies of the clients saw. Source: linkerd2 `viz/metrics-api/stat_summary.go`.
 *
 * @returns rows by namespace and name; workloads whose pods are all finished are left out
 */
export function stat(
  query: StatQuery,
  pods: readonly Pod[],
  store: MetricsStore,
  nowMs: number,
  services: readonly ServiceEntry[] = [],
): readonly StatRow[] {
  const groups = query.kind === 'service' ? serviceGroups(query, services) : workloadGroups(query, pods);
  return groups
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name))
    .map((group) => row(query, group, sourcesOf(query, group, pods), store, nowMs));
}

function workloadGroups(query: StatQuery, pods: readonly Pod[]): Group[] {
  const groups = new Map<string, Group>();
  for (const pod of pods) {
    const name = workloadName(pod, query.kind);
    if (name === undefined || pod.isFinished) continue;
    if (query.kind !== 'namespace' && query.namespace !== undefined && pod.namespace !== query.namespace) continue;
    if (query.name !== undefined && name !== query.name) continue;
    if (query.selector !== undefined && !selects(query.selector, pod.labels)) continue;
    const namespace = query.kind === 'namespace' ? '' : pod.namespace;
    const key = `${namespace}/${name}`;
    const group = groups.get(key) ?? { namespace, name, pods: [] };
    group.pods.push(pod);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function serviceGroups(query: StatQuery, services: readonly ServiceEntry[]): Group[] {
  return services
    .filter(
      ({ namespace, name, labels }) =>
        (query.namespace === undefined || namespace === query.namespace) &&
        (query.name === undefined || name === query.name) &&
        (query.selector === undefined || selects(query.selector, labels)),
    )
    .map(({ namespace, name }) => ({ namespace, name, pods: [] }));
}

function sourcesOf(query: StatQuery, group: Group, pods: readonly Pod[]): readonly Source[] {
  const { to, from, kind } = query;
  if (to !== undefined)
    return group.pods.map((pod) => ({ pod, side: 'outbound', counts: (labels) => isPeer(labels, to) }));
  if (from === undefined && kind !== 'service')
    return group.pods.map((pod) => ({ pod, side: 'inbound', counts: () => true }));
  const row = { kind, name: group.name, ...(kind === 'namespace' ? {} : { namespace: group.namespace }) };
  return pods
    .filter((pod) => from === undefined || isWithin(pod, from))
    .map((pod) => ({ pod, side: 'outbound', counts: (labels) => isPeer(labels, row) }));
}

export function isWithin(pod: Pod, { kind, name, namespace }: Peer): boolean {
  const workload = workloadName(pod, kind);
  return (
    workload !== undefined &&
    (name === undefined || workload === name) &&
    (kind === 'namespace' || namespace === undefined || pod.namespace === namespace)
  );
}

/** Whether the labels of an outbound series name this destination. */
function isPeer(labels: Labels, { kind, name, namespace }: Peer): boolean {
  const peer = peerName(labels, kind);
  return (
    peer !== undefined &&
    peer !== '' &&
    (name === undefined || peer === name) &&
    (kind === 'namespace' || namespace === undefined || labels['dst_namespace'] === namespace)
  );
}

/** The destination of an outbound series, by kind. Source of the labels: proxy-api `WeightedAddr.metric_labels`. */
export function peerName(labels: Labels, kind: string): string | undefined {
  if (kind === 'job') return labels['dst_k8s_job'];
  if (kind === 'cronjob') return cronJobOf(labels['dst_k8s_job'] ?? '');
  return labels[`dst_${kind}`];
}

function row(query: StatQuery, group: Group, sources: readonly Source[], store: MetricsStore, nowMs: number): StatRow {
  const sums: Sums = {
    tally: new ResponseTally(),
    connections: 0,
    readBytes: 0,
    writeBytes: 0,
    coveredMs: 0,
    hasProxyData: false,
  };
  for (const { pod, counts, side } of sources) {
    let hasSeries = side === 'inbound' && store.has(pod.key);
    for (const series of store.view(pod.key, nowMs, query.windowMs, (name) => STAT_METRICS.has(name))) {
      if (series.labels['direction'] !== side || !counts(series.labels)) continue;
      hasSeries = true;
      addSeries(sums, series, side === 'inbound' ? 'src' : 'dst');
    }
    if (!hasSeries) continue;
    sums.hasProxyData = true;
    sums.coveredMs = Math.max(sums.coveredMs, store.coveredMs(pod.key, nowMs, query.windowMs));
  }
  const { status } = group.pods[0] ?? {};
  return {
    namespace: group.namespace,
    kind: query.kind,
    name: group.name,
    ...(query.kind === 'pod' && status !== undefined ? { status } : {}),
    meshedPods: group.pods.filter(({ isMeshed }) => isMeshed).length,
    runningPods: group.pods.length,
    ...numbers(sums),
  };
}

function numbers({ tally, coveredMs, hasProxyData, connections, readBytes, writeBytes }: Sums): Partial<StatRow> {
  const seconds = coveredMs / 1000;
  return {
    ...tally.golden(coveredMs),
    ...(hasProxyData
      ? {
          tcpConnections: connections,
          readBytesPerSecond: seconds > 0 ? readBytes / seconds : 0,
          writeBytesPerSecond: seconds > 0 ? writeBytes / seconds : 0,
        }
      : {}),
  };
}

/** @param peer  the end of connections that counts: who came in, or where they went */
function addSeries(sums: Sums, { name, labels, increase, last }: SeriesView, peer: 'src' | 'dst'): void {
  if (labels['target_port'] === ADMIN_PORT) return;
  switch (name) {
    case 'response_total':
      sums.tally.add(labels['classification'] === 'failure', increase);
      break;
    case 'response_latency_ms_bucket':
      sums.tally.addBucket(labels['le'], increase);
      break;
    case 'tcp_open_connections':
      if (labels['peer'] === peer) sums.connections += last;
      break;
    case 'tcp_read_bytes_total':
      if (labels['peer'] === peer) sums.readBytes += increase;
      break;
    case 'tcp_write_bytes_total':
      if (labels['peer'] === peer) sums.writeBytes += increase;
      break;
    default:
  }
}
