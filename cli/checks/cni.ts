import { CNI, cniNamespace } from '#config/names.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import type { InstalledValues } from '../installed-values.ts';
import { Finding, type Category } from './check.ts';
import { livePods } from './live-pods.ts';
import { podProblem } from './pod-problems.ts';

const MAX_NAMED = 10;

type DaemonSetStatus = { readonly desiredNumberScheduled?: number; readonly numberReady?: number };

/** Whether the nodes redirect the pods that wait for it. */
export function cniChecks(
  cluster: Cluster,
  namespace: string,
  installed: () => Promise<InstalledValues>,
): readonly Category[] {
  const place = cniNamespace({ namespace });
  return [
    {
      name: 'tulle-cni',
      checks: [
        {
          description: 'the agent that redirects pods is ready on all nodes',
          hint: `pods that start there wait for it: \`kubectl -n ${place} get pods -o wide\` and \`kubectl -n ${place} logs ds/${CNI}\``,
          severity: 'error',
          isRetried: true,
          run: async () => {
            const { values } = await installed();
            if (!values.cni.enabled) return 'skip';
            const object = await cluster.find(`/apis/apps/v1/namespaces/${place}/daemonsets/${CNI}`);
            if (object === undefined)
              throw new Finding(
                `daemonset ${place}/${CNI} does not exist, and new pods with a proxy do not start`,
                'create it: `tulle install-cni | kubectl apply -f -`',
              );
            const { desiredNumberScheduled: wanted = 0, numberReady: ready = 0 } = (object['status'] ??
              {}) as DaemonSetStatus;
            if (wanted > 0 && ready >= wanted) return undefined;
            const pods = await livePods(cluster, place);
            const found = pods.flatMap((pod) => {
              const problem = podProblem(pod);
              return problem === undefined ? [] : [`on node ${nodeOf(pod)}: ${problem}`];
            });
            throw new Finding([`ready on ${ready} of ${wanted} nodes`, ...found.slice(0, MAX_NAMED)].join('\n'));
          },
        },
      ],
    },
  ];
}

function nodeOf(pod: ApiObject): string {
  return (pod['spec'] as { nodeName?: string } | undefined)?.nodeName ?? 'unknown';
}
