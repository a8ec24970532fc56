import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, optionalText, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { formatTable, type Column } from '../../cli/table.ts';
import { SERVICE_KIND, WORKLOAD_KINDS } from '../../cli/workloads.ts';
import type { StatAnswer } from '../metrics-api/server.ts';
import type { StatRow } from '../metrics-api/stat.ts';
import { askMetricsApi, namespaceOf, VIZ_FLAGS, windowMsOf } from './client.ts';
import { PEER_FLAGS, peerQuery, readTarget } from './target.ts';

export const vizStat: Command = {
  path: ['viz', 'stat'],
  args: 'TYPE[/NAME]',
  summary: 'Show success rate, requests, latency and connections of workloads.',
  details: [
    'Kinds: deployment, statefulset, daemonset, replicaset, job, cronjob, replicationcontroller, pod, namespace, service',
    '(and their short names).',
    'Workloads show what arrived at them; Services, and --to and --from, what the proxies of the clients saw.',
    'With --to: what the workloads send there. With --from: what those send to the workloads or Services.',
    'A dash means that nothing was seen within the window.',
  ].join('\n'),
  flags: {
    ...CLUSTER_FLAGS,
    ...VIZ_FLAGS,
    ...PEER_FLAGS,
    selector: {
      type: 'string',
      short: 'l',
      value: 'SELECTOR',
      help: 'only workloads with pods (or Services) with these labels, as kubectl -l',
    },
    unmeshed: { type: 'boolean', help: 'also show workloads without a proxy' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'wide', 'json'],
      help: 'form of the result',
    },
  },
  examples: [
    'tulle viz stat deploy -n shop',
    'tulle viz stat deploy/web -n shop -t 5m',
    'tulle viz stat pod -A -o json',
    'tulle viz stat ns',
    'tulle viz stat svc -n shop',
    'tulle viz stat deploy -n shop --to svc/cart',
    'tulle viz stat svc/cart -n shop --from deploy/web',
    'tulle viz stat pod -n shop -l app=web',
  ],
  run: async ({ flags, args, terminal }) => {
    const { kind, name } = readTarget(args, 'tulle viz stat deploy', [...WORKLOAD_KINDS, SERVICE_KIND]);
    if (name !== undefined && flags['all-namespaces'] === true)
      throw new UsageError(`--all-namespaces cannot be used with a name (${name})`);
    const windowMs = windowMsOf(flags);
    const cluster = await connect(flags);
    try {
      const namespace = kind.isNamespaced ? namespaceOf(flags, cluster) : undefined;
      const answer = await askMetricsApi<StatAnswer>(cluster, flags, '/api/stat', {
        kind: kind.name,
        namespace,
        name,
        windowMs: String(windowMs),
        selector: optionalText(flags, 'selector'),
        ...peerQuery(flags, kind, namespace),
      });
      const isAll = flags['unmeshed'] === true || kind.name === 'service' || optionalText(flags, 'from') !== undefined;
      const rows = answer.rows.filter((row) => row.meshedPods > 0 || isAll);
      for (const note of answer.notes) terminal.err(`tulle: ${note}\n`);
      const format = textFlag(flags, 'output');
      if (format === 'json') {
        terminal.out(`${JSON.stringify(rows.map(jsonRow), null, 2)}\n`);
        return 0;
      }
      if (rows.length === 0) {
        terminal.err(emptyReason(kind.name, namespace, name, answer.rows));
        return 0;
      }
      terminal.out(statTable(kind.name, rows, namespace === undefined && kind.isNamespaced, format === 'wide'));
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** An empty view says why it is empty. */
function emptyReason(
  kind: string,
  namespace: string | undefined,
  name: string | undefined,
  all: readonly StatRow[],
): string {
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  const what = name === undefined ? kind : `${kind} "${name}"`;
  if (kind === 'service') return `No traffic found: there is no ${what}${where}.\n`;
  return all.length > 0
    ? `No traffic found: no ${what}${where} has a proxy (--unmeshed shows them all).\n`
    : `No traffic found: there is no running ${what}${where}.\n`;
}

/** The table of `linkerd viz stat`. */
export function statTable(kind: string, rows: readonly StatRow[], hasNamespace: boolean, isWide: boolean): string {
  const right = (title: string): Column => ({ title, align: 'right' });
  const columns: Column[] = [
    ...(hasNamespace ? [{ title: 'NAMESPACE' }] : []),
    { title: 'NAME' },
    ...(kind === 'pod' ? [right('STATUS')] : []),
    right('MESHED'),
    right('SUCCESS'),
    right('RPS'),
    right('LATENCY_P50'),
    right('LATENCY_P95'),
    right('LATENCY_P99'),
    right('TCP_CONN'),
    ...(isWide ? [right('READ_BYTES/SEC'), right('WRITE_BYTES/SEC')] : []),
  ];
  return formatTable(
    columns,
    rows.map((row) => [
      ...(hasNamespace ? [row.namespace] : []),
      row.name,
      ...(kind === 'pod' ? [row.status ?? '-'] : []),
      kind === 'service' ? '-' : `${row.meshedPods}/${row.runningPods}`,
      orDash(row.successRate, (rate) => `${(rate * 100).toFixed(2)}%`),
      orDash(row.requestsPerSecond, (rps) => `${rps.toFixed(1)}rps`),
      orDash(row.latencyMs?.p50, milliseconds),
      orDash(row.latencyMs?.p95, milliseconds),
      orDash(row.latencyMs?.p99, milliseconds),
      orDash(row.tcpConnections, String),
      ...(isWide ? [orDash(row.readBytesPerSecond, bytes), orDash(row.writeBytesPerSecond, bytes)] : []),
    ]),
  );
}

/** Keys of `linkerd viz stat -o json`, and `meshed`, which Linkerd promises. */
function jsonRow(row: StatRow): Record<string, unknown> {
  return {
    namespace: row.namespace,
    kind: row.kind,
    name: row.name,
    meshed: row.kind === 'service' ? null : `${row.meshedPods}/${row.runningPods}`,
    success: row.successRate ?? null,
    rps: row.requestsPerSecond ?? null,
    latency_ms_p50: row.latencyMs === undefined ? null : Math.round(row.latencyMs.p50),
    latency_ms_p95: row.latencyMs === undefined ? null : Math.round(row.latencyMs.p95),
    latency_ms_p99: row.latencyMs === undefined ? null : Math.round(row.latencyMs.p99),
    tcp_open_connections: row.tcpConnections ?? null,
    tcp_read_bytes_rate: row.readBytesPerSecond ?? null,
    tcp_write_bytes_rate: row.writeBytesPerSecond ?? null,
  };
}

function orDash(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '-' : format(value);
}

function milliseconds(value: number): string {
  return `${Math.round(value)}ms`;
}

function bytes(value: number): string {
  return `${value.toFixed(1)}B/s`;
}
