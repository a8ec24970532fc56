import type { NewObject } from '../apiserver/object.ts';
import { controllerReference } from './owners.ts';
import type { AnyObject, Condition, Pod, PodTemplate } from './resources.ts';
import type { Draft } from './typed-client.ts';

export function podCondition(pod: Pod, type: string): Condition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

export function isReady(pod: Pod): boolean {
  return podCondition(pod, 'Ready')?.status === 'True';
}

/** The pod has ended and will not run again. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function isTerminating(object: AnyObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

/** Counts towards the number of replicas a controller wants. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !isTerminating(pod);
}

/**
 * How long until a pod has been ready for `minReadySeconds`.
 *
 * @returns 0 when it is available now, undefined when it is not ready at all
 */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const condition = podCondition(pod, 'Ready');
  if (condition?.status !== 'True') return undefined;
  if (minReadySeconds === 0) return 0;
  const sinceMs = Date.parse(condition.lastTransitionTime ?? '');
  // A ready pod without a readable time would otherwise never count.
  if (Number.isNaN(sinceMs)) return 0;
  return Math.max(0, sinceMs + minReadySeconds * 1000 - nowMs);
}

export function isAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  return availableInMs(pod, minReadySeconds, nowMs) === 0;
}

/** The shortest wait until one more of the ready pods becomes available; undefined when none is on the way. */
export function nextAvailableInMs(pods: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  const waits = pods
    .map((pod) => availableInMs(pod, minReadySeconds, nowMs))
    .filter((wait): wait is number => wait !== undefined && wait > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}

/** A pod made from a template for the object that controls it; the caller adds its name. */
export function podFromTemplate(template: PodTemplate, owner: AnyObject, metadata: NewObject['metadata']): Draft<Pod> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      labels: { ...template.metadata?.labels },
      annotations: { ...template.metadata?.annotations },
      ...(template.metadata?.finalizers === undefined ? {} : { finalizers: [...template.metadata.finalizers] }),
      ...metadata,
      ownerReferences: [controllerReference(owner)],
    },
    spec: template.spec,
  };
}
