import { EDGE_METRICS } from './edges.ts';
import { ResponseTally, type Golden } from './golden.ts';
import { PRIMARY_KINDS, primaryKind, workloadName, type Pod, type PrimaryKind } from './pods.ts';
import { peerName } from './stat.ts';
import type { MetricsStore, SeriesView } from './store.ts';

/** A workload, as the end of a link. */
export type LinkEnd = { readonly namespace: string; readonly kind: PrimaryKind; readonly name: string };

/** What one workload sent to another within the window, as its own proxies saw it. */
export type Link = {
  readonly source: LinkEnd;
  readonly destination: LinkEnd;
  readonly http: Golden;
  readonly tcpConnections: number; // open now
  readonly bytesPerSecond: number; // both ways
  /** Whether its connections are mutual TLS: all, some or none of them. */
  readonly secured: 'all' | 'some' | 'none';
  readonly clientIds: readonly string[];
  readonly serverIds: readonly string[];
  readonly noTlsReasons: readonly string[];
};

const METRICS = new Set([
  ...EDGE_METRICS,
  'response_total',
  'response_latency_ms_bucket',
  'tcp_read_bytes_total',
  'tcp_write_bytes_total',
]);

type Found = {
  readonly source: LinkEnd;
  readonly destination: LinkEnd;
  readonly tally: ResponseTally;
  readonly clientIds: Set<string>;
  readonly serverIds: Set<string>;
  readonly noTlsReasons: Set<string>;
  bytes: number;
  connections: number;
  isUsed: boolean;
};

/**
 * Who talked to whom, workload by workload, with what came of it.
 *
 * @param namespace   only links that begin or end there; absent: all
 * @param identityOf  workload identity of a pod
 */
export function links(
  { namespace, windowMs }: { readonly namespace?: string; readonly windowMs: number },
  pods: readonly Pod[],
  store: MetricsStore,
  nowMs: number,
  identityOf: (pod: Pod) => string,
): readonly Link[] {
  const found = new Map<string, Found>();
  let coveredMs = 0;
  for (const pod of pods) {
    if (!store.has(pod.key)) continue;
    const kind = primaryKind(pod);
    const source: LinkEnd = { namespace: pod.namespace, kind, name: workloadName(pod, kind) ?? pod.name };
    coveredMs = Math.max(coveredMs, store.coveredMs(pod.key, nowMs, windowMs));
    for (const series of store.view(pod.key, nowMs, windowMs, (metric) => METRICS.has(metric))) {
      if (series.labels['direction'] !== 'outbound') continue;
      const destination = destinationOf(series.labels);
      if (destination === undefined) continue;
      if (namespace !== undefined && source.namespace !== namespace && destination.namespace !== namespace) continue;
      const key = JSON.stringify([source, destination]);
      const link = found.get(key) ?? newLink(source, destination);
      found.set(key, link);
      addSeries(link, series, () => identityOf(pod));
    }
  }
  return [...found.values()].filter(({ isUsed, tally }) => isUsed || tally.responses > 0).map(toLink(coveredMs));
}

function newLink(source: LinkEnd, destination: LinkEnd): Found {
  return {
    source,
    destination,
    tally: new ResponseTally(),
    clientIds: new Set(),
    serverIds: new Set(),
    noTlsReasons: new Set(),
    bytes: 0,
    connections: 0,
    isUsed: false,
  };
}

function toLink(coveredMs: number): (found: Found) => Link {
  return ({ source, destination, tally, connections, bytes, clientIds, serverIds, noTlsReasons }) => ({
    source,
    destination,
    http: tally.golden(coveredMs),
    tcpConnections: connections,
    bytesPerSecond: coveredMs > 0 ? bytes / (coveredMs / 1000) : 0,
    secured: noTlsReasons.size === 0 ? 'all' : serverIds.size === 0 ? 'none' : 'some',
    clientIds: [...clientIds].sort(),
    serverIds: [...serverIds].sort(),
    noTlsReasons: [...noTlsReasons].sort(),
  });
}

function destinationOf(labels: Readonly<Record<string, string>>): LinkEnd | undefined {
  for (const kind of PRIMARY_KINDS) {
    const name = peerName(labels, kind);
    if (name !== undefined && name !== '') return { namespace: labels['dst_namespace'] ?? '', kind, name };
  }
  return undefined;
}

function addSeries(link: Found, { name, labels, increase, last }: SeriesView, clientId: () => string): void {
  switch (name) {
    case 'response_total':
      link.tally.add(labels['classification'] === 'failure', increase);
      break;
    case 'response_latency_ms_bucket':
      link.tally.addBucket(labels['le'], increase);
      break;
    case 'tcp_read_bytes_total':
    case 'tcp_write_bytes_total':
      if (labels['peer'] === 'dst') link.bytes += increase;
      break;
    default: {
      if (labels['peer'] !== 'dst') return;
      const isOpen = name === 'tcp_open_connections';
      if (isOpen) link.connections += last;
      if ((isOpen ? last : increase) <= 0) return;
      link.isUsed = true;
      if (labels['tls'] === 'true') {
        link.clientIds.add(clientId());
        link.serverIds.add(labels['server_id'] ?? '');
      } else link.noTlsReasons.add(labels['no_tls_reason'] ?? 'disabled');
    }
  }
}
