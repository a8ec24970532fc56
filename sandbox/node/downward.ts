import type { V1ObjectFieldSelector, V1ResourceFieldSelector } from '@kubernetes/client-node';

import { namespaceOf, type Container, type Pod } from './pod.ts';
import { inUnitsOf, parseQuantity } from './quantity.ts';

/** Facts that the pod object does not hold yet when its containers start. */
export type PodFacts = {
  readonly nodeName: string;
  readonly hostIP: string;
  readonly podIP: string;
  readonly allocatable: { readonly cpu: number; readonly memoryBytes: number };
};

/**
 * Value of a fieldRef, for variables and downwardAPI files. Undefined for a path that the API does not know.
 *
 * @param path  such as `metadata.labels['app']`, `status.podIP`, or (files only) `metadata.labels`
 */
export function fieldValue(pod: Pod, facts: PodFacts, path: string): string | undefined {
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (subscript !== null) {
    const key = subscript[2] ?? '';
    return (subscript[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations)?.[key] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return namespaceOf(pod);
    case 'metadata.uid':
      return pod.metadata.uid;
    case 'metadata.labels':
      return mapText(pod.metadata.labels);
    case 'metadata.annotations':
      return mapText(pod.metadata.annotations);
    case 'spec.nodeName':
      return facts.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return facts.hostIP;
    case 'status.podIP':
    case 'status.podIPs':
      return facts.podIP;
    default:
      return undefined;
  }
}

export function fieldRefValue(pod: Pod, facts: PodFacts, ref: V1ObjectFieldSelector): string | undefined {
  return fieldValue(pod, facts, ref.fieldPath);
}

/** Value of a resourceFieldRef; a limit that is not set counts as what the node has. Undefined: unknown resource. */
export function resourceValue(container: Container, facts: PodFacts, ref: V1ResourceFieldSelector): string | undefined {
  const match = /^(limits|requests)\.(cpu|memory|ephemeral-storage)$/.exec(ref.resource);
  if (match === null) return undefined;
  const [, kind, resource = ''] = match;
  const limit = container.resources?.limits?.[resource];
  const asked = kind === 'limits' ? limit : (container.resources?.requests?.[resource] ?? limit);
  const quantity = asked === undefined ? undefined : parseQuantity(asked);
  return inUnitsOf(quantity ?? (kind === 'requests' ? 0 : nodeAmount(facts, resource)), ref.divisor);
}

function nodeAmount(facts: PodFacts, resource: string): number {
  if (resource === 'cpu') return facts.allocatable.cpu;
  return resource === 'memory' ? facts.allocatable.memoryBytes : 0;
}

/** `key="value"` lines in order of the keys, as the kubelet formats maps. */
function mapText(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}
