import { isDeepStrictEqual } from 'node:util';
import type { KubeClient } from '#k8s/client.ts';
import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Clock } from '#runtime/clock.ts';
import { WorkQueue } from '#runtime/work-queue.ts';

/** Marks what is ours in a status. Not Linkerd's name: two installations side by side must not write over each other. */
export const CONTROLLER_NAME = 'tulle.dev/policy-controller';

/** Objects of one kind whose status this controller writes. */
export type StatusSource = {
  readonly keys: () => Iterable<string>;
  readonly get: (key: string) => CustomObject | undefined;
  /** Tells of the key of each object whose status may have to change. The listener must not throw. */
  readonly onChange: (listener: (key: string) => void) => void;
  /**
   * Fields of the status as they should be, with what others have written in them.
   *
   * @param now  RFC 3339, for conditions that change
   */
  readonly statusOf: (object: CustomObject, now: string) => JsonObject;
};

export type StatusWriterOptions = {
  readonly sources: readonly StatusSource[];
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Whether this process is the one that writes. */
  readonly isWriter: () => boolean;
  /** Whether there is a status to write: definitions of others may have none. */
  readonly hasStatus: (object: CustomObject) => boolean;
  readonly onError: (object: string, error: unknown) => void;
};

/** Writes what became of objects into their status, and only when what it says changes; a conflict is read again. */
export class StatusWriter implements Disposable {
  readonly #options: StatusWriterOptions;
  readonly #queue: WorkQueue;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      reconcile: (key) => this.#reconcile(key),
      onError: options.onError,
      retryMsMin: 200,
    });
    for (const [nth, source] of options.sources.entries()) source.onChange((key) => this.#queue.add(`${nth} ${key}`));
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
  }

  async #reconcile(queued: string): Promise<undefined> {
    if (!this.#options.isWriter()) return;
    const [nth = '', ...key] = queued.split(' ');
    const source = this.#options.sources[Number(nth)];
    const object = source?.get(key.join(' '));
    if (source === undefined || object === undefined || !this.#options.hasStatus(object)) return;
    const now = new Date(this.#options.clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const status = source.statusOf(object, now);
    if (Object.entries(status).every(([field, value]) => isDeepStrictEqual(object.status[field], value))) return;
    const path = `${object.apiPath}/namespaces/${object.namespace}/${object.plural}/${object.name}/status`;
    // The resource version makes the server refuse when somebody else has written since.
    const body = { metadata: { resourceVersion: object.resourceVersion }, status };
    try {
      const contentType = 'application/merge-patch+json';
      await this.#options.client.request({ method: 'PATCH', path, body, contentType });
    } catch (error) {
      // What was written or deleted meanwhile comes by the informer, and this is looked at again.
      if (error instanceof KubeError && (error.isConflict || error.isNotFound)) return;
      throw error;
    }
  }
}

/** What a condition says. Source: Kubernetes API conventions. */
export type Condition = {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
};

/** A condition as it is written: its time is that of its last change of status. @param before  conditions so far */
export function dated(condition: Condition, object: CustomObject, before: readonly unknown[], now: string): JsonObject {
  const old = before.map(asObject).find(({ type }) => type === condition.type);
  const lastTransitionTime = old?.['status'] === condition.status ? old['lastTransitionTime'] : now;
  return { ...condition, observedGeneration: object.generation, lastTransitionTime };
}

/** `status.conditions` with one of ours in the place that it had; conditions of other types are as they were. */
export function withCondition(object: CustomObject, condition: Condition, now: string): readonly unknown[] {
  const before = asList(object.status['conditions']);
  const own = dated(condition, object, before, now);
  const index = before.findIndex((one) => asObject(one)['type'] === condition.type);
  return index === -1 ? [...before, own] : before.with(index, own);
}
