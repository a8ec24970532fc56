import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { formatTable } from '../../cli/table.ts';
import { kindOf, kindWords } from '../../cli/workloads.ts';
import type { Edge } from '../metrics-api/edges.ts';
import type { EdgesAnswer } from '../metrics-api/server.ts';
import { askMetricsApi, namespaceOf, OUTPUT_FLAG, VIZ_FLAGS, windowMsOf } from './client.ts';
import { refuseUnknown } from './target.ts';

export const vizEdges: Command = {
  path: ['viz', 'edges'],
  args: 'TYPE',
  words: kindWords().plain,
  summary: 'Show which workloads talk to each other, with which identities, and whether it is mutual TLS.',
  flags: {
    ...CLUSTER_FLAGS,
    ...VIZ_FLAGS,
    output: OUTPUT_FLAG,
  },
  examples: [
    'tulle viz edges deploy -n shop',
    'tulle viz edges pod -n shop -o wide',
    'tulle viz edges deploy -A -o json',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target] = args;
    if (target === undefined || args.length > 1)
      throw new UsageError('name a kind, for example `tulle viz edges deploy`');
    if (target.includes('/'))
      throw new UsageError(
        `edges are shown for a kind, not for one object: \`tulle viz edges ${target.split('/', 1)[0]}\``,
      );
    const kind = kindOf(target);
    const windowMs = windowMsOf(flags);
    const cluster = await connect(flags);
    try {
      const namespace = kind.isNamespaced ? namespaceOf(flags, cluster) : undefined;
      const answer = await askMetricsApi<EdgesAnswer>(cluster, flags, '/api/edges', {
        kind: kind.name,
        namespace,
        windowMs: String(windowMs),
      });
      if (answer.edges.length === 0) await refuseUnknown(cluster, { kind, name: undefined }, namespace);
      for (const note of answer.notes) terminal.err(`tulle: ${note}\n`);
      const format = textFlag(flags, 'output');
      if (format === 'json') {
        terminal.out(`${JSON.stringify(answer.edges.map(jsonEdge), null, 2)}\n`);
      } else if (answer.edges.length === 0) {
        terminal.err(
          `No edges found${namespace === undefined ? '' : ` in namespace ${namespace}`}: no meshed ${kind.name} talked to another within the window.\n`,
        );
      } else {
        terminal.out(edgesTable(answer.edges, format === 'wide'));
      }
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** The table of `linkerd viz edges`; wide adds the identities. */
export function edgesTable(edges: readonly Edge[], isWide: boolean): string {
  const titles = ['SRC', 'DST', 'SRC_NS', 'DST_NS', ...(isWide ? ['CLIENT_ID', 'SERVER_ID'] : []), 'SECURED'];
  return formatTable(
    titles.map((title) => ({ title })),
    edges.map((edge) => [
      edge.source,
      edge.destination,
      edge.sourceNamespace,
      edge.destinationNamespace,
      ...(isWide ? [shortIdentity(edge.clientId), shortIdentity(edge.serverId)] : []),
      edge.noTlsReason === '' ? '√' : prettyReason(edge.noTlsReason),
    ]),
  );
}

/** `web.shop.serviceaccount.identity.tulle.cluster.local` -> `web.shop`. */
function shortIdentity(identity: string): string {
  return identity.split('.serviceaccount.identity.', 1)[0] ?? '';
}

/** `not_provided_by_service_discovery` -> `Not Provided By Service Discovery`. */
function prettyReason(reason: string): string {
  return reason
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(' ');
}

function jsonEdge(edge: Edge): Record<string, string> {
  return {
    src: edge.source,
    src_namespace: edge.sourceNamespace,
    dst: edge.destination,
    dst_namespace: edge.destinationNamespace,
    client_id: edge.clientId,
    server_id: edge.serverId,
    no_tls_reason: edge.noTlsReason,
  };
}
