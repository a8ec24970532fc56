import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, optionalText, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { formatTable, type Column } from '../../cli/table.ts';
import { ALL_KINDS, kindWords, SERVICE_KIND, WORKLOAD_KINDS } from '../../cli/workloads.ts';
import type { StatAnswer } from '../metrics-api/server.ts';
import type { StatRow } from '../metrics-api/stat.ts';
import { askMetricsApi, namespaceOf, OUTPUT_FLAG, VIZ_FLAGS, windowMsOf } from './client.ts';
import { latencyCells, latencyFields, orDash, percent, rate } from './cells.ts';
import { PEER_FLAGS, peerQuery, readTarget, refuseUnknown } from './target.ts';

export const vizStat: Command = {
  path: ['viz', 'stat'],
  args: 'TYPE[/NAME]',
  words: kindWords([...WORKLOAD_KINDS, SERVICE_KIND, ALL_KINDS]).plain,
  summary: 'Show success rate, requests, latency and connections of workloads.',
  details: [
    'Kinds: deployment, statefulset, daemonset, replicaset, job, cronjob, replicationcontroller, pod, namespace, service',
    '(and their short names), and all, which is every kind but namespaces.',
    'Workloads show what arrived at them; Services, and --to and --from, what the proxies of the clients saw.',
    'So probes of the kubelet count for workloads, as in Linkerd; ask for the Service to leave them out.',
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
    output: OUTPUT_FLAG,
  },
  examples: [
    'tulle viz stat deploy -n shop',
    'tulle viz stat deploy/web -n shop -t 5m',
    'tulle viz stat pod -A -o json',
    'tulle viz stat ns',
    'tulle viz stat all -n shop',
    'tulle viz stat svc -n shop',
    'tulle viz stat deploy -n shop --to svc/cart',
    'tulle viz stat svc/cart -n shop --from deploy/web',
    'tulle viz stat pod -n shop -l app=web',
  ],
  run: async ({ flags, args, terminal }) => {
    const { kind, name } = readTarget(args, 'tulle viz stat deploy', [...WORKLOAD_KINDS, SERVICE_KIND, ALL_KINDS]);
    if (name !== undefined && kind === ALL_KINDS) throw new UsageError(`all takes no name: use TYPE/${name}`);
    if (name !== undefined && flags['all-namespaces'] === true)
      throw new UsageError(`--all-namespaces cannot be used with a name (${name})`);
    const windowMs = windowMsOf(flags);
    const cluster = await connect(flags);
    try {
      const namespace = kind.isNamespaced ? namespaceOf(flags, cluster) : undefined;
      const peer = peerQuery(flags, kind, namespace);
      const answer = await askMetricsApi<StatAnswer>(cluster, flags, '/api/stat', {
        kind: kind.name,
        namespace,
        name,
        windowMs: String(windowMs),
        selector: optionalText(flags, 'selector'),
        ...peer,
      });
      if (answer.rows.length === 0) await refuseUnknown(cluster, { kind, name }, namespace, peer);
      else if (answer.rows.every(({ responses = 0 }) => responses === 0))
        await refuseUnknown(cluster, { kind, name: undefined }, namespace, peer);
      const isAny = flags['unmeshed'] === true || optionalText(flags, 'from') !== undefined;
      const rows = answer.rows.filter((row) => isAny || row.kind === SERVICE_KIND.name || row.meshedPods > 0);
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
      const hasNamespace = namespace === undefined && kind.isNamespaced;
      const tables = Map.groupBy(rows, (row) => row.kind);
      terminal.out(
        [...tables]
          .map(([one, part]) =>
            statTable(one, kind === ALL_KINDS ? part.map(prefixed) : part, hasNamespace, format === 'wide'),
          )
          .join('\n'),
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** `web` -> `deploy/web`, where kinds stand together. */
function prefixed(row: StatRow): StatRow {
  const kind = [...WORKLOAD_KINDS, SERVICE_KIND].find(({ name }) => name === row.kind);
  return { ...row, name: `${kind?.short[0] ?? row.kind}/${row.name}` };
}

/** An empty view says why it is empty. */
function emptyReason(
  kind: string,
  namespace: string | undefined,
  name: string | undefined,
  all: readonly StatRow[],
): string {
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  if (kind === ALL_KINDS.name)
    return `No traffic found: there is no workload${where} with a proxy (--unmeshed shows them all).\n`;
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
      orDash(row.successRate, percent),
      orDash(row.requestsPerSecond, rate),
      ...latencyCells(row),
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
    responses: row.responses ?? 0,
    ...latencyFields(row),
    tcp_open_connections: row.tcpConnections ?? null,
    tcp_read_bytes_rate: row.readBytesPerSecond ?? null,
    tcp_write_bytes_rate: row.writeBytesPerSecond ?? null,
  };
}

function bytes(value: number): string {
  return `${value.toFixed(1)}B/s`;
}
