import { isNamespaceTerminating, messageOf } from './api-errors.ts';
import { inBursts } from './bursts.ts';
import {
  conditionOf,
  deleteExactly,
  keyFor,
  keyOf,
  startQueue,
  timestamp,
  together,
  withCondition,
  writeStatus,
  type Again,
  type ControllerContext,
} from './controller.ts';
import { firstToDelete } from './deletion-order.ts';
import { defined, unlessZero } from './json.ts';
import { matchesLabels, matchesSelector } from './label-selector.ts';
import { claim, controllerOf } from './owners.ts';
import { isActive, isAvailable, isReady, nextAvailableInMs, podFromTemplate } from './pods.ts';
import type { Condition, Pod, ReplicaSet, ReplicaSetStatus } from './resources.ts';

const SOURCE = 'replicaset-controller';
/** Pods made or deleted in one pass; the rest follows in the next. */
const BURST_REPLICAS_MAX = 500;

type Failure = { readonly reason: 'FailedCreate' | 'FailedDelete'; readonly message: string };

/** Keeps the number of pods of each ReplicaSet at `spec.replicas`. Source: kube-controller-manager `replicaset`. */
export function startReplicaSetController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (pod: Pod): void => {
    const owner = controllerOf(pod);
    if (owner?.kind === 'ReplicaSet') queue.add(keyFor(pod.metadata.namespace, owner.name));
    if (owner !== undefined) return;
    for (const set of client.list('replicasets.apps', pod.metadata.namespace)) {
      if (matchesSelector(set.spec.selector, pod.metadata.labels)) queue.add(keyOf(set));
    }
  };
  return together(
    queue,
    client.watch('replicasets.apps', { apply: (set) => queue.add(keyOf(set)), delete: (set) => queue.add(keyOf(set)) }),
    client.watch('pods', {
      apply(pod, old) {
        if (old !== undefined && controllerOf(old)?.uid !== controllerOf(pod)?.uid) wake(old);
        wake(pod);
      },
      delete: wake,
    }),
  );
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client, clock } = context;
  const set = client.get('replicasets.apps', namespace, name);
  if (set === undefined) return undefined;
  const pods = (await claim(client, 'pods', set, set.spec.selector)).filter(isActive);
  let failure: Failure | undefined;
  let cause: unknown;
  if (set.metadata.deletionTimestamp === undefined) {
    ({ failure, cause } = await scale(context, set, pods));
  }
  // Read again: what was just made or deleted is in the store already.
  const current = client.get('replicasets.apps', namespace, name);
  if (current === undefined || current.metadata.uid !== set.metadata.uid) return undefined;
  const left = client
    .list('pods', namespace)
    .filter((pod) => isActive(pod) && controllerOf(pod)?.uid === set.metadata.uid);
  // The generation that was acted on, which may be older than the one stored now.
  const status = replicaSetStatus(set, current.status, left, clock.now(), failure);
  await writeStatus(client, 'replicasets.apps', current, status);
  if (cause !== undefined) throw cause instanceof Error ? cause : new Error(messageOf(cause));
  return nextAvailableInMs(left, set.spec.minReadySeconds ?? 0, clock.now());
}

async function scale(
  { client }: ControllerContext,
  set: ReplicaSet,
  pods: readonly Pod[],
): Promise<{ failure?: Failure; cause?: unknown }> {
  const missing = (set.spec.replicas ?? 1) - pods.length;
  if (missing > 0) {
    const { error } = await inBursts(Math.min(missing, BURST_REPLICAS_MAX), async () => {
      const pod = await client.create('pods', podFromTemplate(set.spec.template, set, generated(set)));
      client.event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`, SOURCE);
    });
    if (error === undefined || isNamespaceTerminating(error)) return {};
    client.event(set, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`, SOURCE);
    return { failure: { reason: 'FailedCreate', message: messageOf(error) }, cause: error };
  }
  const surplus = firstToDelete(pods, Math.min(-missing, BURST_REPLICAS_MAX));
  const results = await Promise.allSettled(
    surplus.map(async (pod) => {
      await deleteExactly(client, 'pods', pod);
      client.event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`, SOURCE);
    }),
  );
  const rejected = results.find((result) => result.status === 'rejected');
  if (rejected === undefined) return {};
  const message = messageOf(rejected.reason);
  client.event(set, 'Warning', 'FailedDelete', `Error deleting: ${message}`, SOURCE);
  return { failure: { reason: 'FailedDelete', message }, cause: rejected.reason };
}

function generated(set: ReplicaSet): { generateName: string } {
  return { generateName: `${set.metadata.name}-` };
}

/** The status of a set with these active pods. Counts that are zero are left out, as the real API does. */
export function replicaSetStatus(
  set: ReplicaSet,
  before: ReplicaSetStatus | undefined,
  pods: readonly Pod[],
  nowMs: number,
  failure?: Failure,
): ReplicaSetStatus {
  const template = set.spec.template.metadata?.labels ?? {};
  const conditions = failureConditions(before?.conditions ?? [], failure, nowMs);
  const count = (is: (pod: Pod) => boolean): number | undefined => unlessZero(pods.filter(is).length);
  return defined({
    observedGeneration: set.metadata.generation,
    replicas: pods.length,
    fullyLabeledReplicas: count((pod) => matchesLabels(template, pod.metadata.labels)),
    readyReplicas: count(isReady),
    availableReplicas: count((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)),
    conditions: conditions.length === 0 ? undefined : conditions,
  });
}

function failureConditions(
  conditions: readonly Condition[],
  failure: Failure | undefined,
  nowMs: number,
): readonly Condition[] {
  if (failure === undefined) return conditions.filter((condition) => condition.type !== 'ReplicaFailure');
  if (conditionOf(conditions, 'ReplicaFailure')?.message === failure.message) return conditions;
  const wanted = { type: 'ReplicaFailure', status: 'True', lastTransitionTime: timestamp(nowMs), ...failure } as const;
  return withCondition(conditions, wanted);
}
