import type { Pod } from '#k8s/resources/pod.ts';
import type { Subject } from '../diagnosis/diagnosis.ts';

/**
 * The workload whose template a pod is made of, or the pod itself. Pods of a Deployment belong to a ReplicaSet, whose name ends in
 * the hash of the template.
 */
export function ownerOf({ owner, labels, namespace, name }: Pod): Subject {
  if (owner === undefined) return { group: '', kind: 'Pod', namespace, name };
  const suffix = `-${labels['pod-template-hash']}`;
  const isDeployment = owner.kind === 'ReplicaSet' && owner.name.endsWith(suffix);
  return isDeployment
    ? { group: 'apps', kind: 'Deployment', namespace, name: owner.name.slice(0, -suffix.length) }
    : { group: 'apps', kind: owner.kind, namespace, name: owner.name };
}
