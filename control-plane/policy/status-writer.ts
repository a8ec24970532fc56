import { isDeepStrictEqual } from 'node:util';
import type { KubeClient } from '#k8s/client.ts';
import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Clock } from '#runtime/clock.ts';
import { WorkQueue } from '#runtime/work-queue.ts';
import { judgeRoute, type ParentVerdict, type StatusContext } from './route-status.ts';

/** Marks what is ours in a status. Not Linkerd's name: two installations side by side must not write over each other. */
export const CONTROLLER_NAME = 'tulle.dev/policy-controller';

export type StatusWriterOptions = StatusContext & {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Whether this process is the one that writes. */
  readonly isWriter: () => boolean;
  readonly onError: (object: string, error: unknown) => void;
};

/**
 * Writes conditions of routes on their parents. Touches only entries of this controller, and only when what they say
 * changes; a conflict is read again. Source: Gateway API, RouteStatus.
 */
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
    for (const [nth, store] of options.routes.stores.entries()) {
      store.onChange((next) => {
        if (next !== undefined) this.#queue.add(queueKey(nth, next));
      });
    }
    options.routes.onChange((serviceKey) => this.#enqueue(serviceKey));
    options.services.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      this.#enqueue(keyOf(namespace, name));
    });
  }

  /** Looks at all routes, after this process became the writer. */
  resume(): void {
    for (const [nth, store] of this.#options.routes.stores.entries()) {
      for (const route of store.values()) this.#queue.add(queueKey(nth, route));
    }
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
  }

  #enqueue(serviceKey: string): void {
    for (const route of this.#options.routes.ofService(serviceKey)) {
      const nth = this.#options.routes.stores.findIndex(
        (store) => store.get(route.namespace, route.name)?.uid === route.uid,
      );
      if (nth >= 0) this.#queue.add(queueKey(nth, route));
    }
  }

  async #reconcile(key: string): Promise<undefined> {
    if (!this.#options.isWriter()) return;
    const [nth = '', ...name] = key.split(' ');
    const object = this.#options.routes.stores[Number(nth)]?.getByKey(name.join(' '));
    if (object === undefined) return;
    const now = new Date(this.#options.clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const current = asList(object.status['parents']);
    const wanted = mergeParents(object, judgeRoute(object, this.#options), now);
    if (isDeepStrictEqual(current, wanted)) return;
    const path = `${object.apiPath}/namespaces/${object.namespace}/${object.plural}/${object.name}/status`;
    // The resource version makes the server refuse when somebody else has written since.
    const body = { metadata: { resourceVersion: object.resourceVersion }, status: { parents: wanted } };
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

function queueKey(nth: number, { namespace, name }: CustomObject): string {
  return `${nth} ${keyOf(namespace, name)}`;
}

/** Entries of others as they are, then ours; the time of a condition is that of its last change of status. */
export function mergeParents(
  object: CustomObject,
  verdicts: readonly ParentVerdict[],
  now: string,
): readonly unknown[] {
  const current = asList(object.status['parents']).map(asObject);
  const others = current.filter(({ controllerName }) => controllerName !== CONTROLLER_NAME);
  const before = current.filter(({ controllerName }) => controllerName === CONTROLLER_NAME);
  const refs = asList(object.spec['parentRefs']);
  const ours = verdicts.map(({ parent, conditions }) => {
    const parentRef = asObject(refs[parent.index]);
    const earlier = before.find((entry) => isDeepStrictEqual(entry['parentRef'], parentRef));
    return {
      parentRef,
      controllerName: CONTROLLER_NAME,
      conditions: conditions.map((condition) => {
        const old = conditionOf(earlier, condition.type);
        const lastTransitionTime = old?.['status'] === condition.status ? old['lastTransitionTime'] : now;
        return { ...condition, observedGeneration: object.generation, lastTransitionTime };
      }),
    };
  });
  return keepsOrder(current, [...others, ...ours]);
}

function conditionOf(entry: JsonObject | undefined, type: string): JsonObject | undefined {
  return asList(entry?.['conditions'])
    .map(asObject)
    .find((condition) => condition['type'] === type);
}

/** The same entries in the order that they have already, so that nothing is written only for the order. */
function keepsOrder(current: readonly JsonObject[], wanted: readonly JsonObject[]): readonly JsonObject[] {
  const identity = ({ controllerName, parentRef }: JsonObject): string => JSON.stringify([controllerName, parentRef]);
  const order = new Map(current.map((entry, index) => [identity(entry), index]));
  const position = (entry: JsonObject): number => order.get(identity(entry)) ?? current.length;
  return wanted.toSorted((a, b) => position(a) - position(b));
}
