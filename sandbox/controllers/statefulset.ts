import { isAlreadyExists, isNamespaceTerminating, messageOf } from './api-errors.ts';
import {
  deleteExactly,
  keyFor,
  keyOf,
  startQueue,
  together,
  writeStatus,
  type Again,
  type ControllerContext,
} from './controller.ts';
import { defined, unlessZero } from './json.ts';
import { matchesSelector } from './label-selector.ts';
import { claim, controllerOf } from './owners.ts';
import { isAvailable, isFinished, isReady, isTerminating, nextAvailableInMs, podFromTemplate } from './pods.ts';
import type { ControllerRevision, Pod, StatefulSet, StatefulSetStatus } from './resources.ts';
import { REVISION_HASH, reviseHistory, templateOf, truncateHistory, type History } from './revisions/revisions.ts';

const SOURCE = 'statefulset-controller';
const POD_NAME = 'statefulset.kubernetes.io/pod-name';
const POD_INDEX = 'apps.kubernetes.io/pod-index';

/** Keeps the numbered pods of StatefulSets, in order. Source: kube-controller-manager `statefulset`. */
export function startStatefulSetController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (pod: Pod): void => {
    const owner = controllerOf(pod);
    if (owner?.kind === 'StatefulSet') queue.add(keyFor(pod.metadata.namespace, owner.name));
    if (owner !== undefined) return;
    for (const set of client.list('statefulsets.apps', pod.metadata.namespace)) {
      if (matchesSelector(set.spec.selector, pod.metadata.labels)) queue.add(keyOf(set));
    }
  };
  return together(
    queue,
    client.watch('statefulsets.apps', {
      apply: (set) => queue.add(keyOf(set)),
      delete: (set) => queue.add(keyOf(set)),
    }),
    client.watch('pods', { apply: wake, delete: wake }),
  );
}

/** Number at the end of a pod's name when the pod can belong to the set, else undefined. */
export function ordinalOf(set: StatefulSet, podName: string): number | undefined {
  const prefix = `${set.metadata.name}-`;
  const digits = podName.startsWith(prefix) ? podName.slice(prefix.length) : '';
  return /^(?:0|[1-9]\d{0,8})$/.test(digits) ? Number(digits) : undefined;
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client, clock } = context;
  const set = client.get('statefulsets.apps', namespace, name);
  if (set === undefined || set.metadata.deletionTimestamp !== undefined) return undefined;
  const pods = (await claim(client, 'pods', set, set.spec.selector)).filter(
    (pod) => ordinalOf(set, pod.metadata.name) !== undefined,
  );
  let history: History;
  try {
    history = await reviseHistory(client, set);
  } catch (error) {
    if (isNamespaceTerminating(error)) return undefined;
    throw error;
  }
  const { update } = history;
  const current = history.all.find(({ metadata }) => metadata.name === set.status?.currentRevision) ?? update;
  const act = nextStep(set, pods, current, update, clock.now());
  let failure: unknown;
  try {
    await carryOut(context, set, act, { current, update });
  } catch (error) {
    failure = error;
  }
  const left = client
    .list('pods', namespace)
    .filter((pod) => controllerOf(pod)?.uid === set.metadata.uid && ordinalOf(set, pod.metadata.name) !== undefined);
  const status = setStatus(set, left, current, update, history.collisionCount, clock.now());
  await writeStatus(client, 'statefulsets.apps', set, status);
  const used = new Set([current.metadata.name, ...left.map((pod) => pod.metadata.labels?.[REVISION_HASH] ?? '')]);
  await truncateHistory(client, set, history, used);
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error(messageOf(failure));
  return nextAvailableInMs(left, set.spec.minReadySeconds ?? 0, clock.now());
}

/** What to do now; what comes next is decided when the pods have followed. */
export type Step = {
  readonly create: readonly number[]; // ordinals
  readonly delete: readonly Pod[];
};

/**
 * Ordered sets do one thing at a time: from the lowest ordinal up each pod must be available before the next is made,
 * surplus pods go from the highest down, and then pods of an old revision are replaced from the highest down to the
 * partition. Parallel sets make and delete all at once, but replace old pods one by one all the same.
 */
export function nextStep(
  set: StatefulSet,
  pods: readonly Pod[],
  current: ControllerRevision,
  update: ControllerRevision,
  nowMs: number,
): Step {
  const { start, end } = ordinals(set);
  const isOrdered = set.spec.podManagementPolicy !== 'Parallel';
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod.metadata.name) ?? -1, pod]));
  const isUp = (pod: Pod): boolean => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs) && !isTerminating(pod);
  const create: number[] = [];
  const remove: Pod[] = [];
  for (let ordinal = start; ordinal < end; ordinal += 1) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) create.push(ordinal);
    else if (isFinished(pod) && !isTerminating(pod)) remove.push(pod);
    else if (!isUp(pod) && isOrdered) return { create, delete: remove };
    else continue;
    if (isOrdered) return { create, delete: remove };
  }
  const condemned = [...byOrdinal].filter(([ordinal]) => ordinal < start || ordinal >= end).sort(([a], [b]) => b - a);
  const firstUnhealthy = [...byOrdinal.values()].find((pod) => !isReady(pod) || isTerminating(pod));
  for (const [, pod] of condemned) {
    if (isTerminating(pod)) {
      if (isOrdered) return { create, delete: remove };
      continue;
    }
    if (isOrdered && !isUp(pod) && pod !== firstUnhealthy) return { create, delete: remove };
    remove.push(pod);
    if (isOrdered) return { create, delete: remove };
  }
  if (create.length > 0 || remove.length > 0 || set.spec.updateStrategy?.type === 'OnDelete') {
    return { create, delete: remove };
  }
  const outdated = outdatedPod(set, byOrdinal, current, update);
  return { create, delete: outdated === undefined ? [] : [outdated] };
}

/** The pod to replace next: the highest that is not of the new revision, once all above it are healthy. */
function outdatedPod(
  set: StatefulSet,
  byOrdinal: ReadonlyMap<number, Pod>,
  current: ControllerRevision,
  update: ControllerRevision,
): Pod | undefined {
  const { start, end } = ordinals(set);
  const from = start + (set.spec.updateStrategy?.rollingUpdate?.partition ?? 0);
  if (current.metadata.name === update.metadata.name && [...byOrdinal.values()].every((pod) => isOf(pod, update))) {
    return undefined;
  }
  for (let ordinal = end - 1; ordinal >= from; ordinal -= 1) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) return undefined;
    if (!isOf(pod, update) && !isTerminating(pod)) return pod;
    if (!isReady(pod) || isTerminating(pod)) return undefined;
  }
  return undefined;
}

function isOf(pod: Pod, revision: ControllerRevision): boolean {
  return pod.metadata.labels?.[REVISION_HASH] === revision.metadata.name;
}

/** Half-open range of the ordinals the set wants. */
function ordinals(set: StatefulSet): { start: number; end: number } {
  const start = set.spec.ordinals?.start ?? 0;
  return { start, end: start + (set.spec.replicas ?? 1) };
}

async function carryOut(
  { client }: ControllerContext,
  set: StatefulSet,
  step: Step,
  revisions: { readonly current: ControllerRevision; readonly update: ControllerRevision },
): Promise<void> {
  if (step.create.length > 0 && (set.spec.volumeClaimTemplates ?? []).length > 0) {
    const why = 'spec.volumeClaimTemplates needs persistent volumes, which this cluster does not have; use emptyDir';
    client.event(
      set,
      'Warning',
      'FailedCreate',
      `create Pods in StatefulSet ${set.metadata.name} failed: ${why}`,
      SOURCE,
    );
    return;
  }
  for (const ordinal of step.create) {
    const revision = wantsCurrent(set, ordinal) ? revisions.current : revisions.update;
    const name = `${set.metadata.name}-${ordinal}`;
    const subject = `create Pod ${name} in StatefulSet ${set.metadata.name}`;
    try {
      await client.create('pods', numberedPod(set, ordinal, revision));
      client.event(set, 'Normal', 'SuccessfulCreate', `${subject} successful`, SOURCE);
    } catch (error) {
      if (isNamespaceTerminating(error) || isAlreadyExists(error)) return;
      client.event(set, 'Warning', 'FailedCreate', `${subject} failed error: ${messageOf(error)}`, SOURCE);
      throw error;
    }
  }
  for (const pod of step.delete) {
    const subject = `delete Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
    await deleteExactly(client, 'pods', pod);
    if (isFinished(pod)) {
      const message = `StatefulSet ${set.metadata.namespace}/${set.metadata.name} is recreating ${pod.status?.phase === 'Failed' ? 'failed' : 'terminated'} Pod ${pod.metadata.name}`;
      client.event(
        set,
        'Warning',
        pod.status?.phase === 'Failed' ? 'RecreatingFailedPod' : 'RecreatingTerminatedPod',
        message,
        SOURCE,
      );
    }
    client.event(set, 'Normal', 'SuccessfulDelete', `${subject} successful`, SOURCE);
  }
}

/** Whether a pod that is missing comes back as it was before the update that is going on. */
function wantsCurrent(set: StatefulSet, ordinal: number): boolean {
  if (set.spec.updateStrategy?.type === 'OnDelete') return false;
  const { start } = ordinals(set);
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  const keeps = partition > 0 ? partition : (set.status?.currentReplicas ?? 0);
  return ordinal < start + keeps;
}

function numberedPod(set: StatefulSet, ordinal: number, revision: ControllerRevision) {
  const template = templateOf(revision);
  const name = `${set.metadata.name}-${ordinal}`;
  const pod = podFromTemplate(template, set, {
    name,
    labels: {
      ...template.metadata?.labels,
      [POD_NAME]: name,
      [POD_INDEX]: String(ordinal),
      [REVISION_HASH]: revision.metadata.name,
    },
  });
  const subdomain = set.spec.serviceName;
  return { ...pod, spec: { ...pod.spec, hostname: name, ...(subdomain ? { subdomain } : {}) } };
}

function setStatus(
  set: StatefulSet,
  pods: readonly Pod[],
  current: ControllerRevision,
  update: ControllerRevision,
  collisionCount: number,
  nowMs: number,
): StatefulSetStatus {
  const living = pods.filter((pod) => !isTerminating(pod));
  const ready = pods.filter(isReady).length;
  const updated = living.filter((pod) => isOf(pod, update)).length;
  const wanted = set.spec.replicas ?? 1;
  const isRolling = set.spec.updateStrategy?.type !== 'OnDelete';
  // With nothing left of the old revision the new one becomes the current.
  const isComplete = isRolling && updated === wanted && ready === wanted && pods.length === wanted;
  const now = isComplete ? update : current;
  return defined({
    observedGeneration: set.metadata.generation,
    replicas: pods.length,
    readyReplicas: unlessZero(ready),
    currentReplicas: unlessZero(living.filter((pod) => isOf(pod, now)).length),
    updatedReplicas: unlessZero(updated),
    availableReplicas: pods.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)).length,
    currentRevision: now.metadata.name,
    updateRevision: update.metadata.name,
    collisionCount,
  });
}
