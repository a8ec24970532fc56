import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { WorkQueue } from '#runtime/work-queue.ts';
import type { LocalClient } from '../apiserver/local-client.ts';
import { isConflict, isNotFound } from './api-errors.ts';
import { sameJson } from './json.ts';
import type { AnyObject, Condition, Kinds, Metadata, Resource } from './resources.ts';
import type { TypedClient } from './typed-client.ts';

/** What every controller works with. */
export type ControllerContext = {
  readonly client: TypedClient;
  readonly local: LocalClient; // the same client, for resources that are only known when they are met
  readonly clock: Clock;
  readonly log: Logger;
};

/** Starts one controller; disposing ends it. Work that is under way finishes. */
export type Controller = (context: ControllerContext) => Disposable;

/** Milliseconds after which to look again, or nothing. */
export type Again = number | undefined;

export function keyOf(object: { readonly metadata: Metadata }): string {
  return keyFor(object.metadata.namespace, object.metadata.name);
}

/** Key of a queue: `namespace/name`, with nothing before the slash for cluster-scoped objects. */
export function keyFor(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

/** A queue whose keys are namespaced names; failures are logged, conflicts only retried. */
export function startQueue(
  { clock, log }: ControllerContext,
  controller: string,
  reconcile: (namespace: string, name: string) => Promise<Again>,
): WorkQueue {
  return new WorkQueue({
    clock,
    reconcile: (key) => {
      const slash = key.indexOf('/');
      return reconcile(key.slice(0, slash), key.slice(slash + 1));
    },
    onError: (key, error, failures) => {
      const level = isConflict(error) ? 'debug' : 'warn';
      log[level]({ controller, key, failures, err: error }, 'reconcile failed, will try again');
    },
  });
}

/** Ends everything a controller started, last things first. */
export function together(...parts: readonly Disposable[]): Disposable {
  return {
    [Symbol.dispose]() {
      for (const part of [...parts].reverse()) part[Symbol.dispose]();
    },
  };
}

/** Writes the status when it differs from what is stored, and returns the object as it is then. */
export async function writeStatus<R extends Resource>(
  client: TypedClient,
  resource: R,
  object: Kinds[R],
  status: Kinds[R] extends { readonly status?: infer S } ? NonNullable<S> : never,
): Promise<Kinds[R]> {
  const current = (object as { status?: unknown }).status;
  return sameJson(current, status) ? object : client.update(resource, { ...object, status }, 'status');
}

/** RFC 3339 in UTC with whole seconds, as `metav1.Time` is written. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Milliseconds since 1970 of a timestamp; NaN when there is none. */
export function timeOf(text: string | null | undefined): number {
  return Date.parse(text ?? '');
}

/** Oldest first, names decide between equals. */
export function byCreation(a: AnyObject, b: AnyObject): number {
  const difference = timeOf(a.metadata.creationTimestamp) - timeOf(b.metadata.creationTimestamp);
  return difference || (a.metadata.name < b.metadata.name ? -1 : 1);
}

export function conditionOf(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** The conditions with one replaced or added; `lastTransitionTime` stays while the status stays. */
export function withCondition(conditions: readonly Condition[], wanted: Condition): readonly Condition[] {
  const current = conditionOf(conditions, wanted.type);
  const next =
    current?.status === wanted.status && current.lastTransitionTime !== undefined
      ? { ...wanted, lastTransitionTime: current.lastTransitionTime }
      : wanted;
  return [...conditions.filter((condition) => condition.type !== wanted.type), next];
}

/** Deletes exactly this object; that it is gone already is fine. */
export async function deleteExactly(
  client: TypedClient,
  resource: Resource,
  object: AnyObject,
  options: { readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' } = {},
): Promise<void> {
  try {
    const { namespace, name, uid } = object.metadata;
    await client.delete(resource, namespace, name, { uid, ...options });
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
