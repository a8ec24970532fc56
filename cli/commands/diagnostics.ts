import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, UsageError, type Command } from '../command.ts';
import { adminPort, fetchThrough } from '../pod-http.ts';
import { kindWords, podsOf } from '../workloads.ts';

export const proxyMetrics: Command = {
  path: ['diagnostics', 'proxy-metrics'],
  args: 'TYPE/NAME',
  words: kindWords().named,
  summary: 'Print the metrics of the proxies of a workload.',
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the workload' },
  },
  examples: [
    'tulle diagnostics proxy-metrics -n shop deploy/web',
    'tulle dg proxy-metrics -n shop pod/web-6c9d7f5b8-x2lq7',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target] = args;
    if (target === undefined || args.length > 1)
      throw new UsageError('name one workload as TYPE/NAME, for example deploy/web');
    const cluster = await connect(flags);
    try {
      const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
      const pods = (await podsOf(cluster, namespace, target)).filter((pod) => adminPort(pod) !== undefined);
      if (pods.length === 0)
        throw new CommandError(
          `${target} in namespace ${namespace} has no pod with a proxy: is it meshed (\`tulle check --proxy -n ${namespace}\`)?`,
        );
      for (const [index, pod] of pods.entries()) {
        terminal.out(`#\n# POD ${pod.metadata.name} (${index + 1} of ${pods.length})\n#\n`);
        terminal.out(await fetchThrough(cluster, namespace, pod.metadata.name, adminPort(pod) ?? 0, '/metrics'));
      }
      return 0;
    } finally {
      cluster.close();
    }
  },
};
