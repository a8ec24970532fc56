import { setTimeout as sleep } from 'node:timers/promises';
import { parseDurationMs } from '#runtime/duration.ts';
import { runChecks, type Category } from '../checks/check.ts';
import { clusterChecks } from '../checks/cluster.ts';
import { controlPlaneChecks } from '../checks/control-plane.ts';
import { dataPlaneChecks } from '../checks/data-plane.ts';
import { kubernetesChecks, preInstallChecks } from '../checks/kubernetes.ts';
import { Report, type ReportFormat } from '../checks/report.ts';
import { connect, type Cluster } from '../cluster.ts';
import { CLUSTER_FLAGS, optionalText, textFlag, UsageError, type Command, type FlagValues } from '../command.ts';

export const check: Command = {
  path: ['check'],
  summary: 'Check the cluster, the control plane and the proxies, and say what to do about each finding.',
  flags: {
    ...CLUSTER_FLAGS,
    pre: { type: 'boolean', help: 'check what an installation needs, before it' },
    'linkerd-cni-enabled': { type: 'boolean', help: 'with --pre: for an installation with this flag' },
    proxy: { type: 'boolean', help: 'check the proxies too' },
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'with --proxy: only this namespace' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'short', 'json'],
      help: 'form of the result',
    },
    wait: { type: 'string', value: 'DURATION', default: '5m', help: 'how long to wait for what may still be starting' },
  },
  examples: ['tulle check --pre', 'tulle check', 'tulle check --proxy -n shop', 'tulle check -o json --wait 0'],
  run: async ({ flags, terminal }) => {
    if (flags['pre'] === true && flags['proxy'] === true)
      throw new UsageError('--pre and --proxy exclude each other: --pre is for a cluster without Tulle');
    if (flags['linkerd-cni-enabled'] === true && flags['pre'] !== true)
      throw new UsageError('--linkerd-cni-enabled needs --pre: afterwards the values of the installation say so');
    if (optionalText(flags, 'namespace') !== undefined && flags['proxy'] !== true)
      throw new UsageError('--namespace needs --proxy: without it no namespace of yours is looked at');
    const deadlineMs = waitMs(textFlag(flags, 'wait'));
    const cluster = await connect(flags);
    const report = new Report(terminal, textFlag(flags, 'output') as ReportFormat);
    try {
      const isSuccess = await runChecks(categories(cluster, flags), {
        deadlineMs,
        now: () => performance.now(),
        sleep: (ms) => sleep(ms),
        onResult: (result) => report.add(result),
        onWait: ({ description }, error) =>
          terminal.err(`waiting up to ${textFlag(flags, 'wait')}: ${description} (${error.split('\n', 1)[0]})\n`),
      });
      report.finish(isSuccess);
      return isSuccess ? 0 : 1;
    } finally {
      cluster.close();
    }
  },
};

function waitMs(text: string): number {
  try {
    return parseDurationMs(text);
  } catch (error) {
    throw new UsageError(`--wait: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function categories(cluster: Cluster, flags: FlagValues): readonly Category[] {
  const namespace = textFlag(flags, 'tulle-namespace');
  const always = [...kubernetesChecks(cluster), ...clusterChecks(cluster)];
  if (flags['pre'] === true)
    return [...always, ...preInstallChecks(cluster, namespace, flags['linkerd-cni-enabled'] === true)];
  return [
    ...always,
    ...controlPlaneChecks(cluster, namespace),
    ...(flags['proxy'] === true ? dataPlaneChecks(cluster, namespace, optionalText(flags, 'namespace')) : []),
  ];
}
