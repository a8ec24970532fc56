import type { Values } from '#config/values.ts';
import { NAMESPACES, Namespaces } from '../../injector/namespaces.ts';
import { isUnmeshed, repairObstacle } from '../../injector/repair/candidate.ts';
import { LIVE_PODS, type LivePod } from '../../injector/repair/pods.ts';
import type { Cluster } from '../cluster.ts';

/**
 * Pods that the injector evicts because of a change of values: those without a proxy that shall have one, and that it leaves alone
 * with the values that are in force. With agents on the nodes these are pods of namespaces that enforce Pod Security.
 *
 * @returns NAMESPACE/NAME of each
 */
export async function addedEvictions(cluster: Cluster, inForce: Values, wanted: Values): Promise<readonly string[]> {
  if (inForce.repair.enabled === wanted.repair.enabled && inForce.cni.enabled === wanted.cni.enabled) return [];
  const namespaces = new Namespaces();
  namespaces.reset((await cluster.list('/api/v1/namespaces')).flatMap((object) => NAMESPACES.parse(object) ?? []));
  const pods = (await cluster.list('/api/v1/pods')).flatMap((object) => LIVE_PODS.parse(object) ?? []);
  const isEvicted = (pod: LivePod, { repair, cni }: Values): boolean => {
    const namespace = namespaces.of(pod.namespace);
    return repair.enabled && isUnmeshed(pod, namespace, cni.enabled) && repairObstacle(pod, namespace) === undefined;
  };
  return pods
    .filter((pod) => isEvicted(pod, wanted) && !isEvicted(pod, inForce))
    .map(({ namespace, name }) => `${namespace}/${name}`)
    .sort();
}
