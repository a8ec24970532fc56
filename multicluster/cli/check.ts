import { setTimeout as sleep } from 'node:timers/promises';
import { Finding, runChecks, type Category, type Check } from '../../cli/checks/check.ts';
import { deploymentReady } from '../../cli/checks/deployment.ts';
import { Report, type ReportFormat } from '../../cli/checks/report.ts';
import { connect, type Cluster } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { parseDurationMs } from '#runtime/duration.ts';
import { CLUSTER_NAME, GATEWAY, NAMESPACE, SERVICE_MIRROR } from '../names.ts';
import { conditionOf, mirroredServices, readLinks } from './links.ts';

export const multiclusterCheck: Command = {
  path: ['multicluster', 'check'],
  summary: 'Check the multicluster extension and the links of this cluster, and say what to do about each finding.',
  flags: {
    ...CLUSTER_FLAGS,
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'short', 'json'],
      help: 'form of the result',
    },
    wait: { type: 'string', value: 'DURATION', default: '1m', help: 'how long to wait for what may still be starting' },
  },
  examples: ['tulle multicluster check', 'tulle mc check -o json --wait 0'],
  run: async ({ flags, terminal }) => {
    let deadlineMs: number;
    try {
      deadlineMs = parseDurationMs(textFlag(flags, 'wait'));
    } catch (error) {
      throw new UsageError(`--wait: ${error instanceof Error ? error.message : String(error)}`);
    }
    const cluster = await connect(flags);
    const report = new Report(terminal, textFlag(flags, 'output') as ReportFormat);
    try {
      const isSuccess = await runChecks([category(cluster)], {
        deadlineMs,
        now: () => performance.now(),
        sleep: (ms) => sleep(ms),
        onResult: (result) => report.add(result),
      });
      report.finish(isSuccess);
      return isSuccess ? 0 : 1;
    } finally {
      cluster.close();
    }
  },
};

function category(cluster: Cluster): Category {
  return {
    name: 'tulle-multicluster',
    checks: [
      {
        description: 'the kind Link exists',
        hint: '`tulle multicluster install | kubectl apply -f -`',
        severity: 'fatal',
        run: async () => {
          if ((await readLinks(cluster)) === undefined)
            throw new Finding('there is no CustomResourceDefinition links.multicluster.linkerd.io');
        },
      },
      deploymentReady(cluster, NAMESPACE, SERVICE_MIRROR, {
        description: 'the service mirror runs',
        severity: 'error',
      }),
      deploymentReady(cluster, NAMESPACE, GATEWAY, { description: 'the gateway runs', severity: 'error' }),
      condition(cluster, 'TrustAnchors', 'linked clusters share a trust anchor', {
        hint: '`tulle multicluster anchor-gen` gives the second cluster the anchor of the first one, before Tulle is installed there',
        severity: 'error',
      }),
      condition(cluster, 'GatewayAlive', 'the gateways of linked clusters are alive', {
        hint: 'look at Deployment tulle-gateway of that cluster, and at its address and ports in the Link',
        severity: 'error',
      }),
      condition(cluster, 'Mirrored', 'all exported Services are mirrored', {
        hint: 'do what the message says; credentials are renewed by linking again',
        severity: 'error',
      }),
      {
        description: 'every mirrored Service belongs to a link',
        hint: 'let the service mirror run, which removes them, or delete them',
        severity: 'warning',
        isRetried: true,
        run: async () => {
          const clusters = new Set(((await readLinks(cluster)) ?? []).map((link) => link.cluster));
          const orphans = (await mirroredServices(cluster)).filter(
            ({ metadata }) => !clusters.has(metadata.labels?.[CLUSTER_NAME] ?? ''),
          );
          if (orphans.length === 0) return;
          throw new Finding(orphans.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join('\n'));
        },
      },
    ],
  };
}

function condition(
  cluster: Cluster,
  type: string,
  description: string,
  { hint, severity }: Pick<Check, 'hint' | 'severity'>,
): Check {
  return {
    description,
    hint,
    severity,
    isRetried: true,
    run: async () => {
      const links = (await readLinks(cluster)) ?? [];
      if (links.length === 0) return 'skip';
      const wrong = links.flatMap((link) => {
        const found = conditionOf(link, type);
        if (found?.status === 'True') return [];
        return [`Link ${link.name}: ${found?.message ?? 'the service mirror has said nothing about it yet'}`];
      });
      if (wrong.length > 0) throw new Finding(wrong.join('\n'));
      return undefined;
    },
  };
}
