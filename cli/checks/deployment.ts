import type { Cluster } from '../cluster.ts';
import { Finding, type Check } from './check.ts';

/** Whether a Deployment has a pod that is ready. */
export function deploymentReady(
  cluster: Cluster,
  namespace: string,
  name: string,
  rest: Pick<Check, 'description' | 'severity'>,
): Check {
  return {
    ...rest,
    hint: `\`kubectl -n ${namespace} describe deploy/${name}\` and \`kubectl -n ${namespace} logs deploy/${name}\``,
    isRetried: true,
    run: async () => {
      const object = await cluster.find(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`);
      if (object === undefined) throw new Finding(`deployment ${name} is missing`);
      const wanted = (object['spec'] as { replicas?: number }).replicas ?? 1;
      const ready = (object['status'] as { readyReplicas?: number } | undefined)?.readyReplicas ?? 0;
      if (ready >= 1) return;
      if (wanted > 0) throw new Finding(`${ready} of ${wanted} pods are ready`);
      throw new Finding(
        `deployment ${name} is scaled to 0, so it has no pods`,
        `\`kubectl -n ${namespace} scale deploy/${name} --replicas=1\``,
      );
    },
  };
}
