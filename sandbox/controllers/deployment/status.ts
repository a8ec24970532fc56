import { conditionOf, timeOf, timestamp } from '../controller.ts';
import { defined, unlessZero } from '../json.ts';
import type { Condition, Deployment, DeploymentStatus, ReplicaSet } from '../resources.ts';
import { allSets, type Sets } from './replica-sets.ts';
import { boundsOf, sumReplicas, wantedReplicas } from './rolling-update.ts';

type News = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** Deadline that means "never". Source: `math.MaxInt32` in the real controller. */
const NO_DEADLINE = 2 ** 31 - 1;

export function hasDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== NO_DEADLINE;
}

/** Replaces a condition unless status and reason are the same; times as the real controller keeps them. */
export function setCondition(conditions: readonly Condition[], news: News, nowMs: number): readonly Condition[] {
  const current = conditionOf(conditions, news.type);
  if (current?.status === news.status && current.reason === news.reason) return conditions;
  return replaceCondition(conditions, news, nowMs);
}

function replaceCondition(conditions: readonly Condition[], news: News, nowMs: number): readonly Condition[] {
  const current = conditionOf(conditions, news.type);
  const now = timestamp(nowMs);
  const since = current?.status === news.status ? (current.lastTransitionTime ?? now) : now;
  const next = { ...news, lastUpdateTime: now, lastTransitionTime: since };
  return [...conditions.filter(({ type }) => type !== news.type), next];
}

function without(conditions: readonly Condition[], type: string): readonly Condition[] {
  return conditions.filter((condition) => condition.type !== type);
}

function sumStatus(sets: readonly ReplicaSet[], field: 'replicas' | 'readyReplicas' | 'availableReplicas'): number {
  return sets.reduce((sum, set) => sum + (set.status?.[field] ?? 0), 0);
}

/** Counts and the Available condition; the other conditions are those of before. */
export function countedStatus(deployment: Deployment, sets: Sets, nowMs: number): DeploymentStatus {
  const all = allSets(sets);
  const available = sumStatus(all, 'availableReplicas');
  const before = deployment.status?.conditions ?? [];
  const isEnough = available >= wantedReplicas(deployment) - boundsOf(deployment).maxUnavailable;
  const news: News = isEnough
    ? {
        type: 'Available',
        status: 'True',
        reason: 'MinimumReplicasAvailable',
        message: 'Deployment has minimum availability.',
      }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
  return defined({
    observedGeneration: deployment.metadata.generation,
    replicas: unlessZero(sumStatus(all, 'replicas')),
    updatedReplicas: unlessZero(sets.newSet?.status?.replicas ?? 0),
    readyReplicas: unlessZero(sumStatus(all, 'readyReplicas')),
    availableReplicas: unlessZero(available),
    unavailableReplicas: unlessZero(Math.max(0, sumReplicas(all) - available)),
    collisionCount: deployment.status?.collisionCount,
    conditions: setCondition(before, news, nowMs),
  });
}

/** Every pod is of the current template and available, and no other is left. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = wantedReplicas(deployment);
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function hasMoved(before: DeploymentStatus, now: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(now) < old(before) ||
    (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

/**
 * Milliseconds until a rollout that makes no progress counts as failed, 0 or less when it does; undefined when it has
 * finished, has failed already or has no deadline.
 */
export function stuckInMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const progressing = conditionOf(status.conditions, 'Progressing');
  if (!hasDeadline(deployment) || progressing === undefined || isComplete(deployment, status)) return undefined;
  const { reason } = progressing;
  if (reason === 'NewReplicaSetAvailable' || reason === 'ProgressDeadlineExceeded') return undefined;
  if (reason === 'DeploymentPaused') return undefined;
  const sinceMs = timeOf(progressing.lastUpdateTime);
  return sinceMs + (deployment.spec.progressDeadlineSeconds ?? 0) * 1000 - nowMs;
}

/** The whole status of a rollout, with Progressing and ReplicaFailure. Source: kube-controller-manager `syncRolloutStatus`. */
export function rolloutStatus(deployment: Deployment, sets: Sets, nowMs: number): DeploymentStatus {
  const counted = countedStatus(deployment, sets, nowMs);
  const before = deployment.status ?? {};
  let conditions = counted.conditions ?? [];
  const progressing = conditionOf(conditions, 'Progressing');
  const hasFinished = counted.replicas === counted.updatedReplicas && progressing?.reason === 'NewReplicaSetAvailable';
  if (!hasDeadline(deployment)) {
    conditions = without(conditions, 'Progressing');
  } else if (!hasFinished) {
    const subject =
      sets.newSet === undefined
        ? `Deployment "${deployment.metadata.name}"`
        : `ReplicaSet "${sets.newSet.metadata.name}"`;
    if (isComplete(deployment, counted)) {
      const message = `${subject} has successfully progressed.`;
      const news = { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable', message } as const;
      conditions = setCondition(conditions, news, nowMs);
    } else if (hasMoved(before, counted)) {
      const message = `${subject} is progressing.`;
      const news = { type: 'Progressing', status: 'True', reason: 'ReplicaSetUpdated', message } as const;
      // Every step forward restarts the deadline, so the update time moves even when nothing else does.
      conditions = replaceCondition(conditions, news, nowMs);
    } else if ((stuckInMs(deployment, counted, nowMs) ?? 1) <= 0) {
      const message = `${subject} has timed out progressing.`;
      const news = { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message } as const;
      conditions = setCondition(conditions, news, nowMs);
    }
  }
  return { ...counted, conditions: withReplicaFailure(conditions, sets, nowMs) };
}

function withReplicaFailure(conditions: readonly Condition[], sets: Sets, nowMs: number): readonly Condition[] {
  const failing = [...(sets.newSet === undefined ? [] : [sets.newSet]), ...sets.oldSets];
  const failure = failing
    .map((set) => conditionOf(set.status?.conditions, 'ReplicaFailure'))
    .find((condition) => condition !== undefined);
  if (failure === undefined) return without(conditions, 'ReplicaFailure');
  const { status, reason = '', message = '' } = failure;
  return setCondition(conditions, { type: 'ReplicaFailure', status, reason, message }, nowMs);
}
