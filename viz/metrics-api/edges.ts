import { workloadName, type Pod } from './pods.ts';
import { peerName } from './stat.ts';
import type { MetricsStore } from './store.ts';

export type EdgesQuery = { readonly kind: string; readonly namespace?: string; readonly windowMs: number };

/** One connection between two workloads, as the client's proxy made it. */
export type Edge = {
  readonly source: string;
  readonly sourceNamespace: string;
  readonly destination: string;
  readonly destinationNamespace: string;
  readonly clientId: string; // identity of the source, '' when it spoke plaintext
  readonly serverId: string; // verified identity of the destination, '' without one
  readonly noTlsReason: string; // '' when the connection is mutual TLS
};

export const EDGE_METRICS = new Set(['tcp_open_connections', 'tcp_open_total']);

/**
 * Who talked to whom within the window, and whether it was mutual TLS. Source: linkerd2 `viz/metrics-api/edges.go`.
 *
 * @param identityOf  workload identity of a pod
 * @returns edges with source or destination in the namespace, sorted, each once
 */
export function edges(
  query: EdgesQuery,
  pods: readonly Pod[],
  store: MetricsStore,
  nowMs: number,
  identityOf: (pod: Pod) => string,
): readonly Edge[] {
  const found = new Map<string, Edge>();
  for (const pod of pods) {
    const source = workloadName(pod, query.kind);
    if (source === undefined) continue;
    for (const { name, labels, increase, last } of store.view(pod.key, nowMs, query.windowMs, (metric) =>
      EDGE_METRICS.has(metric),
    )) {
      const destination = peerName(labels, query.kind);
      const isUsed = name === 'tcp_open_connections' ? last > 0 : increase > 0;
      if (
        !isUsed ||
        labels['direction'] !== 'outbound' ||
        labels['peer'] !== 'dst' ||
        destination === undefined ||
        destination === ''
      )
        continue;
      const destinationNamespace = labels['dst_namespace'] ?? '';
      if (
        query.namespace !== undefined &&
        pod.namespace !== query.namespace &&
        destinationNamespace !== query.namespace
      )
        continue;
      const isSecured = labels['tls'] === 'true';
      const edge: Edge = {
        source,
        sourceNamespace: pod.namespace,
        destination,
        destinationNamespace,
        clientId: isSecured ? identityOf(pod) : '',
        serverId: isSecured ? (labels['server_id'] ?? '') : '',
        noTlsReason: isSecured ? '' : (labels['no_tls_reason'] ?? 'disabled'),
      };
      found.set(JSON.stringify(edge), edge);
    }
  }
  return [...found.values()].sort(
    (a, b) =>
      a.sourceNamespace.localeCompare(b.sourceNamespace) ||
      a.source.localeCompare(b.source) ||
      a.destination.localeCompare(b.destination) ||
      a.serverId.localeCompare(b.serverId),
  );
}
