import type { Deleter, Deletion } from './deletion.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { labelSelectorOf, matchesLabels } from './objects/selectors.ts';
import { internalError, notFound, tooManyRequests, type StatusError } from './status-error.ts';
import type { Store } from './store.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';
import { timestamp } from './object-meta.ts';
import type { Registry } from './registry.ts';

const BUDGETS = 'poddisruptionbudgets.policy';
const RETRY_AFTER_SECONDS = 10;

/** Deletes pods within their disruption budgets. Source: the subresource pods/eviction. */
export class Evictions {
  readonly #store: Store;
  readonly #registry: Registry;
  readonly #writer: Writer;
  readonly #deleter: Deleter;
  readonly #nowMs: () => number;

  constructor(store: Store, registry: Registry, writer: Writer, deleter: Deleter, nowMs: () => number) {
    this.#store = store;
    this.#registry = registry;
    this.#writer = writer;
    this.#deleter = deleter;
    this.#nowMs = nowMs;
  }

  /** @throws StatusError 429 while a budget has no disruption left, 500 when several budgets claim the pod */
  async evict(target: ObjectTarget, deletion: Deletion, options: WriteOptions): Promise<void> {
    const pod = this.#store.get('pods', target.namespace, target.name);
    if (pod === undefined) throw notFound(target.type, target.name);
    const budgets = needsBudget(pod) ? this.#budgetsOf(pod) : [];
    const [budget] = budgets;
    if (budgets.length > 1) {
      throw internalError(
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      );
    }
    if (budget !== undefined) await this.#spend(budget, pod, options);
    const { type, name, namespace } = target;
    const whole = { type, name, ...(namespace === undefined ? {} : { namespace }) };
    await this.#deleter.delete(whole, deletion, options);
  }

  #budgetsOf(pod: KubeObject): readonly KubeObject[] {
    return this.#store.list(BUDGETS, pod.metadata.namespace).filter((budget) => {
      const spec = isJsonObject(budget['spec']) ? budget['spec'] : {};
      return matchesLabels(labelSelectorOf(spec['selector']), pod.metadata.labels);
    });
  }

  /** Takes one disruption off the budget; the controller of budgets gives it back when a new pod is ready. */
  async #spend(budget: KubeObject, pod: KubeObject, options: WriteOptions): Promise<void> {
    const type = this.#registry.byKey(BUDGETS);
    if (type === undefined) return;
    const { name, namespace } = budget.metadata;
    const target = { type, name, ...(namespace === undefined ? {} : { namespace }), subresource: 'status' };
    await this.#writer.revise(target, (current) => spent(current, pod, timestamp(this.#nowMs())), options);
  }
}

/** Pods that are over, or not ready anyway, are not counted by a budget. */
function needsBudget(pod: KubeObject): boolean {
  const status = isJsonObject(pod['status']) ? pod['status'] : {};
  const { phase } = status;
  return phase !== 'Succeeded' && phase !== 'Failed' && phase !== 'Pending' && !pod.metadata.deletionTimestamp;
}

function spent(budget: KubeObject, pod: KubeObject, now: string): JsonObject {
  const status = isJsonObject(budget['status']) ? budget['status'] : {};
  const { name } = budget.metadata;
  const left = typeof status['disruptionsAllowed'] === 'number' ? status['disruptionsAllowed'] : 0;
  if (status['observedGeneration'] !== budget.metadata.generation) {
    throw blocked(`The disruption budget ${name} is still being processed by the server.`);
  }
  if (left <= 0) {
    const healthy = Number(status['currentHealthy'] ?? 0);
    const desired = Number(status['desiredHealthy'] ?? 0);
    throw blocked(`The disruption budget ${name} needs ${desired} healthy pods and has ${healthy} currently`);
  }
  const disrupted = isJsonObject(status['disruptedPods']) ? status['disruptedPods'] : {};
  return {
    ...budget,
    status: {
      ...status,
      disruptionsAllowed: left - 1,
      disruptedPods: { ...disrupted, [pod.metadata.name]: now },
    },
  };
}

function blocked(why: string): StatusError {
  const message = `Cannot evict pod as it would violate the pod's disruption budget.`;
  return tooManyRequests(message, RETRY_AFTER_SECONDS, [{ reason: 'DisruptionBudget', message: why }]);
}
