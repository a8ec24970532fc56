import { isTerminating } from '#k8s/resources/metadata.ts';
import type { ApiObject, Cluster } from '../cluster.ts';

/**
 * Pods that are not being deleted: right after a rollout those that go are still there, and what is wrong with them is over.
 *
 * @param namespace  absent: of all
 */
export async function livePods(cluster: Cluster, namespace?: string): Promise<readonly ApiObject[]> {
  const scope = namespace === undefined ? '' : `/namespaces/${namespace}`;
  const pods = await cluster.list(`/api/v1${scope}/pods`);
  return pods.filter((pod) => !isTerminating(pod));
}
