import type { Deployment, NumberOrPercent, ReplicaSet } from '../resources.ts';

/** How far a rollout may be from `replicas`: `maxSurge` pods above, `maxUnavailable` available pods below. */
export type Bounds = { readonly maxSurge: number; readonly maxUnavailable: number };

export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';

/** A share of `total` as a number of pods; numbers stay as they are. */
export function scaled(value: NumberOrPercent, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const share = (Number.parseInt(value, 10) * total) / 100;
  return round === 'up' ? Math.ceil(share) : Math.floor(share);
}

/** Surge rounds up, unavailability down; when both come to zero one pod may be unavailable, or nothing could ever move. */
export function bounds(maxSurge: NumberOrPercent, maxUnavailable: NumberOrPercent, replicas: number): Bounds {
  const surge = scaled(maxSurge, replicas, 'up');
  const unavailable = scaled(maxUnavailable, replicas, 'down');
  if (surge === 0 && unavailable === 0) return { maxSurge: 0, maxUnavailable: 1 };
  return { maxSurge: surge, maxUnavailable: Math.min(unavailable, replicas) };
}

export function wantedReplicas(deployment: Deployment): number {
  return deployment.spec.replicas ?? 1;
}

export function isRolling(deployment: Deployment): boolean {
  return deployment.spec.strategy?.type !== 'Recreate';
}

/** The bounds of a Deployment; `Recreate` allows neither surge nor unavailability, and nothing is missing from zero pods. */
export function boundsOf(deployment: Deployment): Bounds {
  const replicas = wantedReplicas(deployment);
  if (!isRolling(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const { maxSurge = '25%', maxUnavailable = '25%' } = deployment.spec.strategy?.rollingUpdate ?? {};
  const both = bounds(maxSurge, maxUnavailable, replicas);
  return replicas === 0 ? { ...both, maxUnavailable: 0 } : both;
}

export function replicasOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

export function sumReplicas(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, set) => sum + replicasOf(set), 0);
}

/** Available pods that the set keeps: its status may still count some that it has been told to give up. */
function keptAvailable(set: ReplicaSet): number {
  return Math.min(set.status?.availableReplicas ?? 0, replicasOf(set));
}

/** Size of the new ReplicaSet in the next step, `others` being all sets but it. */
export function nextNewReplicas(deployment: Deployment, current: number, others: readonly ReplicaSet[]): number {
  const wanted = wantedReplicas(deployment);
  if (current >= wanted || !isRolling(deployment)) return wanted;
  const room = wanted + boundsOf(deployment).maxSurge - sumReplicas(others) - current;
  return current + Math.max(0, Math.min(room, wanted - current));
}

/** A ReplicaSet and the size it is to have. */
export type Resize = { readonly set: ReplicaSet; readonly replicas: number };

/**
 * Which old ReplicaSets may shrink now, and to what size: first pods that are not available anyway, then available ones
 * as far as `maxUnavailable` allows. Sources: kube-controller-manager `reconcileOldReplicaSets`.
 *
 * @param oldSets  oldest first
 */
export function shrinkOld(
  deployment: Deployment,
  newSet: ReplicaSet,
  oldSets: readonly ReplicaSet[],
): readonly Resize[] {
  const minAvailable = wantedReplicas(deployment) - boundsOf(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newSet) - keptAvailable(newSet);
  let removable = sumReplicas(oldSets) + replicasOf(newSet) - minAvailable - newUnavailable;
  if (removable <= 0) return [];

  const sizes = oldSets.map((set) => {
    const dead = Math.max(0, Math.min(removable, replicasOf(set) - keptAvailable(set)));
    removable -= dead;
    return { set, replicas: replicasOf(set) - dead };
  });
  const available = [newSet, ...oldSets].reduce((sum, set) => sum + keptAvailable(set), 0);
  let spare = Math.min(Math.max(0, available - minAvailable), removable);
  return sizes
    .map(({ set, replicas }) => {
      const given = Math.min(replicas, spare);
      spare -= given;
      return { set, replicas: replicas - given };
    })
    .filter(({ set, replicas }) => replicas !== replicasOf(set));
}

/**
 * Spreads a change of `spec.replicas` in the middle of a rollout over the ReplicaSets that have pods, by their size; the
 * rest that rounding leaves goes to the largest (the newest among equals when growing, the oldest when shrinking).
 *
 * @param active  ReplicaSets with replicas > 0
 */
export function proportional(deployment: Deployment, active: readonly ReplicaSet[]): readonly Resize[] {
  const wanted = wantedReplicas(deployment);
  const allowed = wanted > 0 ? wanted + boundsOf(deployment).maxSurge : 0;
  const toAdd = allowed - sumReplicas(active);
  const newestFirst = toAdd > 0 ? -1 : 1;
  const sorted = [...active].sort(
    (a, b) => replicasOf(b) - replicasOf(a) || newestFirst * (createdMs(a) - createdMs(b)),
  );
  let added = 0;
  const sizes = sorted.map((set) => {
    const share = shareOf(set, deployment, allowed);
    const left = toAdd - added;
    const change = toAdd > 0 ? Math.max(0, Math.min(share, left)) : Math.min(0, Math.max(share, left));
    added += change;
    return { set, replicas: replicasOf(set) + change };
  });
  return sizes.map((size, index) =>
    index === 0 ? { ...size, replicas: Math.max(0, size.replicas + toAdd - added) } : size,
  );
}

function createdMs(set: ReplicaSet): number {
  return Date.parse(set.metadata.creationTimestamp);
}

/** By how much a set would change to keep its share of all pods. */
function shareOf(set: ReplicaSet, deployment: Deployment, allowed: number): number {
  const size = replicasOf(set);
  if (wantedReplicas(deployment) === 0) return -size;
  const before = Number(set.metadata.annotations?.[MAX_REPLICAS] ?? deployment.status?.replicas ?? 0);
  if (!(before > 0)) return 0;
  return Math.round((size * allowed) / before) - size;
}
