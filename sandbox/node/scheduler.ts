import type { V1NodeSelectorRequirement, V1NodeSelectorTerm } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';

import type { Logger } from '#runtime/log.ts';

import type { LocalClient } from '../apiserver/local-client.ts';
import type { KubeObject } from '../apiserver/object.ts';
import { StatusError } from '../apiserver/status-error.ts';
import { asPod, isTerminal, namespaceOf, wireTime, type Pod, type PodCondition } from './pod.ts';

const SOURCE = 'default-scheduler';
const DEFAULT_SCHEDULER = 'default-scheduler';
const RETRY_MS = 1000;

/** What keeps a pod from the only node; undefined when nothing does. */
export type Obstacle = { readonly reason: 'Unschedulable' | 'SchedulingGated'; readonly message: string };

/**
 * Binds pending pods to the one node: selector, required node affinity, cordon and gates are honoured; resources and
 * preferences do not matter with one node.
 */
export class Scheduler implements Disposable {
  readonly #client: LocalClient;
  readonly #nodeName: string;
  readonly #log: Logger;
  readonly #watches: Disposable[] = [];
  readonly #binding = new Set<string>(); // uids
  readonly #refused = new Map<string, string>(); // message by uid of pods that wait
  #isClosed = false;

  constructor(client: LocalClient, nodeName: string, log: Logger) {
    this.#client = client;
    this.#nodeName = nodeName;
    this.#log = log;
  }

  start(): void {
    const forget = (object: KubeObject): void => void this.#refused.delete(object.metadata.uid);
    this.#watches.push(
      this.#client.watch('pods', { apply: (object) => this.#consider(asPod(object)), delete: forget }),
      this.#client.watch('nodes', { apply: () => this.#reconsider(), delete: () => {} }),
    );
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  #consider(pod: Pod): void {
    const { uid } = pod.metadata;
    if (!isPending(pod) || this.#isClosed || this.#binding.has(uid)) return;
    const node = this.#client.get('nodes', undefined, this.#nodeName);
    if (node === undefined) return; // it is considered again when the node comes
    const obstacle = obstacleOf(pod, node);
    if (obstacle !== undefined && this.#refused.get(uid) === obstacle.message) return;
    this.#binding.add(uid);
    const action = obstacle === undefined ? this.#bind(pod) : this.#refuse(pod, obstacle);
    void action.finally(() => this.#binding.delete(uid));
  }

  #reconsider(): void {
    for (const object of this.#client.list('pods')) this.#consider(asPod(object));
  }

  async #bind(pod: Pod): Promise<void> {
    const { name, uid } = pod.metadata;
    const namespace = namespaceOf(pod);
    try {
      await this.#client.patch('pods', namespace, name, 'merge', { spec: { nodeName: this.#nodeName } }, 'binding');
      this.#refused.delete(uid);
      this.#client.event(
        pod,
        'Normal',
        'Scheduled',
        `Successfully assigned ${namespace}/${name} to ${this.#nodeName}`,
        SOURCE,
      );
    } catch (error) {
      this.#failed(pod, error);
    }
  }

  async #refuse(pod: Pod, obstacle: Obstacle): Promise<void> {
    this.#refused.set(pod.metadata.uid, obstacle.message);
    if (obstacle.reason === 'Unschedulable') {
      this.#client.event(pod, 'Warning', 'FailedScheduling', obstacle.message, SOURCE);
    }
    try {
      const current = this.#client.get('pods', namespaceOf(pod), pod.metadata.name);
      if (current === undefined || current.metadata.uid !== pod.metadata.uid) return;
      const status = asPod(current).status;
      const conditions = withCondition(status?.conditions ?? [], obstacle, Date.now());
      if (isDeepStrictEqual(conditions, status?.conditions)) return;
      await this.#client.update('pods', { ...current, status: { ...status, conditions } }, 'status');
    } catch (error) {
      this.#refused.delete(pod.metadata.uid);
      this.#failed(pod, error);
    }
  }

  /** A pod that is gone needs no more; anything else is tried again. */
  #failed(pod: Pod, error: unknown): void {
    if (error instanceof StatusError && error.code === 404) return;
    if (!(error instanceof StatusError && error.code === 409)) {
      this.#log.warn({ err: error, pod: pod.metadata.name }, 'a pod was not bound');
    }
    setTimeout(() => {
      const current = this.#client.get('pods', namespaceOf(pod), pod.metadata.name);
      if (current !== undefined) this.#consider(asPod(current));
    }, RETRY_MS).unref();
  }
}

function isPending(pod: Pod): boolean {
  const isOurs = (pod.spec.schedulerName ?? DEFAULT_SCHEDULER) === DEFAULT_SCHEDULER;
  const isBound = pod.spec.nodeName !== undefined && pod.spec.nodeName !== '';
  return isOurs && !isBound && pod.metadata.deletionTimestamp === undefined && !isTerminal(pod);
}

/** Why a pod cannot go to the node, in the words of the scheduler. */
export function obstacleOf(pod: Pod, node: KubeObject): Obstacle | undefined {
  if ((pod.spec.schedulingGates ?? []).length > 0) {
    return { reason: 'SchedulingGated', message: 'Scheduling is blocked due to non-empty scheduling gates' };
  }
  const none = '0/1 nodes are available: 1 node(s)';
  const isCordoned = (node['spec'] as { unschedulable?: boolean } | undefined)?.unschedulable === true;
  if (isCordoned && !toleratesCordon(pod)) return { reason: 'Unschedulable', message: `${none} were unschedulable.` };
  const labels = node.metadata.labels ?? {};
  const isSelected = Object.entries(pod.spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (isSelected && (terms === undefined || terms.some((term) => matches(term, labels, node.metadata.name))))
    return undefined;
  return { reason: 'Unschedulable', message: `${none} didn't match Pod's node affinity/selector.` };
}

/** As DaemonSet pods do. */
function toleratesCordon(pod: Pod): boolean {
  return (pod.spec.tolerations ?? []).some(
    ({ key, operator }) => operator === 'Exists' && (key === undefined || key === 'node.kubernetes.io/unschedulable'),
  );
}

/** Source: NodeSelectorTerm; an empty term matches nothing. */
function matches(term: V1NodeSelectorTerm, labels: Readonly<Record<string, string>>, nodeName: string): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  return (
    expressions.every((one) => holds(one, labels[one.key])) &&
    fields.every((one) => holds(one, one.key === 'metadata.name' ? nodeName : undefined))
  );
}

function holds(requirement: V1NodeSelectorRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

function withCondition(conditions: readonly PodCondition[], obstacle: Obstacle, nowMs: number): PodCondition[] {
  const old = conditions.find((one) => one.type === 'PodScheduled');
  const since = old?.status === 'False' ? old.lastTransitionTime : undefined;
  const condition: PodCondition = {
    type: 'PodScheduled',
    status: 'False',
    lastTransitionTime: since ?? wireTime(nowMs),
    reason: obstacle.reason,
    message: obstacle.message,
  };
  return [...conditions.filter((one) => one.type !== 'PodScheduled'), condition];
}
