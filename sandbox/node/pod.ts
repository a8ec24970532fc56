import type {
  V1Container,
  V1ContainerStatus,
  V1PodCondition,
  V1PodSpec,
  V1PodStatus,
  V1Volume,
} from '@kubernetes/client-node';

import type { KubeObject } from '../apiserver/object.ts';

/** A type of the Kubernetes client as it travels: times are text. */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Field in keyof T]: Wire<T[Field]> }
      : T;

export type PodStatus = Wire<V1PodStatus>;
export type PodCondition = Wire<V1PodCondition>;
export type ContainerStatus = Wire<V1ContainerStatus>;
export type Container = V1Container;
export type Volume = V1Volume;
export type PodSpec = V1PodSpec;
export type Pod = KubeObject & { spec: PodSpec; status?: PodStatus };

/** Pods in the store have passed validation; this says so to the compiler. */
export function asPod(object: KubeObject): Pod {
  return object as Pod;
}

export function namespaceOf(object: KubeObject): string {
  return object.metadata.namespace ?? 'default';
}

/** How a container takes part: run to completion before the next, started before the next, or the pod's purpose. */
export type ContainerRole = 'init' | 'sidecar' | 'main';

export function containersOf(spec: PodSpec): { container: Container; role: ContainerRole }[] {
  const initial = (spec.initContainers ?? []).map((container) => ({
    container,
    role: container.restartPolicy === 'Always' ? ('sidecar' as const) : ('init' as const),
  }));
  return [...initial, ...spec.containers.map((container) => ({ container, role: 'main' as const }))];
}

/** Done for good: the node leaves such a pod alone. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** `name_namespace(uid)`, the form in messages of a kubelet. */
export function podLabel(pod: Pod): string {
  return `${pod.metadata.name}_${namespaceOf(pod)}(${pod.metadata.uid})`;
}

/** Seconds, as the API writes times. */
export function wireTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
