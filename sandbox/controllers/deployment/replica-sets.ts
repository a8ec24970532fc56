import { isAlreadyExists } from '../api-errors.ts';
import { byCreation } from '../controller.ts';
import { safeHash, sameTemplate } from '../hash.ts';
import { controllerOf, controllerReference } from '../owners.ts';
import type { Deployment, ReplicaSet } from '../resources.ts';
import type { Draft, TypedClient } from '../typed-client.ts';
import {
  boundsOf,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  nextNewReplicas,
  replicasOf,
  wantedReplicas,
} from './rolling-update.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
const REVISION_HISTORY_CHARS_MAX = 2000;
const HASH_LABEL = 'pod-template-hash';
/** Annotations of a Deployment that say nothing about its pods. */
const NOT_COPIED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  'deprecated.deployment.rollback.to',
]);

/** The ReplicaSets of a Deployment: the one that makes the current template, and the rest, oldest first. */
export type Sets = { readonly newSet: ReplicaSet | undefined; readonly oldSets: readonly ReplicaSet[] };

/** Another ReplicaSet took the name; the next attempt uses another hash. */
export class HashCollision extends Error {
  override readonly name = 'HashCollision';
}

export function splitSets(deployment: Deployment, sets: readonly ReplicaSet[]): Sets {
  const sorted = [...sets].sort(byCreation);
  const newSet = sorted.find((set) => sameTemplate(set.spec.template, deployment.spec.template));
  return { newSet, oldSets: sorted.filter((set) => set !== newSet) };
}

export function allSets({ newSet, oldSets }: Sets): readonly ReplicaSet[] {
  return newSet === undefined ? oldSets : [...oldSets, newSet];
}

/** Number in the rollout history; 0 when the set has none yet. */
export function revisionOf(object: Deployment | ReplicaSet): number {
  const revision = Number(object.metadata.annotations?.[REVISION] ?? 0);
  return Number.isSafeInteger(revision) ? revision : 0;
}

export function nextRevision(oldSets: readonly ReplicaSet[]): number {
  return Math.max(0, ...oldSets.map(revisionOf)) + 1;
}

/** What a Deployment hands down to its new ReplicaSet, with the revision the set becomes. */
export function annotationsFor(
  deployment: Deployment,
  current: Readonly<Record<string, string>>,
  revision: number,
): Record<string, string> {
  const copied = Object.entries(deployment.metadata.annotations ?? {}).filter(([key]) => !NOT_COPIED.has(key));
  const annotations = { ...current, ...Object.fromEntries(copied) };
  const before = Number(annotations[REVISION] ?? 0);
  if (before >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (before > 0) {
    // A rollback made an old set the newest again: `rollout history` shows only the new number.
    const history = [...(annotations[REVISION_HISTORY]?.split(',') ?? []), String(before)];
    while (history.join(',').length > REVISION_HISTORY_CHARS_MAX) history.shift();
    annotations[REVISION_HISTORY] = history.join(',');
  }
  return annotations;
}

/** What every ReplicaSet of a Deployment remembers, to share out pods when the Deployment is scaled later. */
export function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const wanted = wantedReplicas(deployment);
  return {
    [DESIRED_REPLICAS]: String(wanted),
    [MAX_REPLICAS]: String(wanted + boundsOf(deployment).maxSurge),
  };
}

/** The ReplicaSet for the current template, with the size its first step allows. */
export function newReplicaSet(deployment: Deployment, oldSets: readonly ReplicaSet[]): Draft<ReplicaSet> {
  const { template, selector, minReadySeconds } = deployment.spec;
  const hash = safeHash(template, deployment.status?.collisionCount ?? 0);
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? '',
      labels,
      annotations: { ...annotationsFor(deployment, {}, nextRevision(oldSets)), ...sizeAnnotations(deployment) },
      ownerReferences: [controllerReference(deployment)],
    },
    spec: {
      replicas: nextNewReplicas(deployment, 0, oldSets),
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/**
 * Creates the ReplicaSet for the current template.
 *
 * @throws HashCollision  when the name belongs to something else
 */
export async function createNewSet(
  client: TypedClient,
  deployment: Deployment,
  oldSets: readonly ReplicaSet[],
): Promise<ReplicaSet> {
  const draft = newReplicaSet(deployment, oldSets);
  try {
    return await client.create('replicasets.apps', draft);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const taken = client.get('replicasets.apps', deployment.metadata.namespace, draft.metadata.name ?? '');
    const isOurs =
      taken !== undefined &&
      controllerOf(taken)?.uid === deployment.metadata.uid &&
      sameTemplate(taken.spec.template, deployment.spec.template);
    if (isOurs) return taken;
    throw new HashCollision(`replicasets.apps "${draft.metadata.name}" exists and is not ours`, { cause: error });
  }
}

/** Old ReplicaSets without pods that are beyond `revisionHistoryLimit`, least recent revision first. */
export function expiredSets(deployment: Deployment, oldSets: readonly ReplicaSet[]): readonly ReplicaSet[] {
  const alive = oldSets.filter((set) => set.metadata.deletionTimestamp === undefined);
  const surplus = alive.length - (deployment.spec.revisionHistoryLimit ?? 10);
  if (surplus <= 0) return [];
  return [...alive]
    .sort((a, b) => revisionOf(a) - revisionOf(b) || byCreation(a, b))
    .slice(0, surplus)
    .filter((set) => replicasOf(set) === 0 && (set.status?.replicas ?? 0) === 0 && isObserved(set));
}

function isObserved(set: ReplicaSet): boolean {
  return (set.status?.observedGeneration ?? 0) >= (set.metadata.generation ?? 0);
}
