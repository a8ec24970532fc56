import { connect, type Cluster } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, textFlag, type Command } from '../../cli/command.ts';
import { fetchThrough } from '../../cli/pod-http.ts';
import { formatTable } from '../../cli/table.ts';
import { NAMESPACE, SERVICE_MIRROR, SERVICE_MIRROR_ADMIN_PORT } from '../names.ts';
import { conditionOf, mirroredServices, readLinks } from './links.ts';

export const multiclusterGateways: Command = {
  path: ['multicluster', 'gateways'],
  summary: 'List the gateways of the linked clusters: whether they are alive, and how many Services come from there.',
  flags: {
    ...CLUSTER_FLAGS,
    'cluster-name': { type: 'string', value: 'NAME', isName: true, help: 'only this cluster' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'json'],
      help: 'form of the result',
    },
  },
  examples: ['tulle multicluster gateways', 'tulle mc gateways -o json'],
  run: async ({ flags, terminal }) => {
    const cluster = await connect(flags);
    try {
      const links = await readLinks(cluster);
      if (links === undefined)
        throw new CommandError(
          'the multicluster extension is not installed',
          '`tulle multicluster install | kubectl apply -f -`',
        );
      const only = optionalText(flags, 'cluster-name');
      const latencies = await latenciesOf(cluster);
      const rows = await Promise.all(
        links
          .filter((link) => only === undefined || link.cluster === only)
          .map(async (link) => {
            const alive = conditionOf(link, 'GatewayAlive');
            const isAlive = alive?.status === 'True';
            return {
              clusterName: link.cluster,
              alive: isAlive,
              numServices: (await mirroredServices(cluster, link.cluster)).length,
              latencyMs: isAlive ? (latencies.get(link.cluster) ?? null) : null,
              reason: alive?.message ?? 'the service mirror has not looked at this Link yet',
            };
          }),
      );
      if (textFlag(flags, 'output') === 'json') {
        terminal.out(`${JSON.stringify(rows, null, 2)}\n`);
        return 0;
      }
      if (rows.length === 0) terminal.err('no cluster is linked: see `tulle multicluster link-gen --help`\n');
      terminal.out(
        formatTable(
          [
            { title: 'CLUSTER' },
            { title: 'ALIVE' },
            { title: 'NUM_SVC', align: 'right' },
            { title: 'LATENCY', align: 'right' },
          ],
          rows.map(({ clusterName, alive, numServices, latencyMs }) => [
            clusterName,
            alive ? 'True' : 'False',
            String(numServices),
            latencyMs === null ? '-' : `${latencyMs}ms`,
          ]),
        ),
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** Latency of the last probe by cluster, from the controller's metrics; empty when it does not answer. */
async function latenciesOf(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
  const selector = encodeURIComponent(`linkerd.io/extension-component=${SERVICE_MIRROR}`);
  try {
    const pods = await cluster.list(`/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=${selector}`);
    const [pod] = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (pod === undefined) return new Map();
    const text = await fetchThrough(cluster, NAMESPACE, pod.metadata.name, SERVICE_MIRROR_ADMIN_PORT, '/metrics');
    const found = text.matchAll(/^gateway_latency\{target_cluster_name="([^"]*)"\} (\d+)$/gm);
    return new Map([...found].map(([, name = '', ms]) => [name, Number(ms)]));
  } catch {
    return new Map(); // the table says so with a dash
  }
}
