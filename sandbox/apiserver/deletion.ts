import type { Admission } from './admission.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { timestamp } from './object-meta.ts';
import { resourceKey, type ResourceType } from './registry.ts';
import { badRequest, conflict, forbidden, notFound, StatusError } from './status-error.ts';
import type { Store } from './store.ts';
import { fromStored, storeKey, toStored } from './stored-form.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget } from './writer.ts';

const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';
const IMMORTAL_NAMESPACES = ['default', 'kube-system', 'kube-public'];
const DEFAULT_POD_GRACE_SECONDS = 30;
const CONFLICT_ATTEMPTS = 10;

type Policy = 'Background' | 'Foreground' | 'Orphan';

/** Source: meta.k8s.io/v1 `DeleteOptions`. */
export type Deletion = {
  readonly gracePeriodSeconds?: number;
  readonly policy?: Policy;
  readonly uid?: string;
  readonly resourceVersion?: string;
};

/** What became of the object: gone, or marked and waiting for finalizers or for the node. */
export type DeletionResult = { readonly object: KubeObject; readonly isGone: boolean };

/** @throws StatusError 400 or 422 on options that make no sense */
export function parseDeletion(body: unknown, query: URLSearchParams): Deletion {
  const sent = body === undefined || body === null ? {} : body;
  if (!isJsonObject(sent)) throw badRequest('the body of a DELETE must be a DeleteOptions object');
  const preconditions = isJsonObject(sent['preconditions']) ? sent['preconditions'] : {};
  const { uid, resourceVersion } = preconditions;
  const grace = sent['gracePeriodSeconds'] ?? numberParameter(query, 'gracePeriodSeconds');
  const policy = sent['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  const orphanDependents = sent['orphanDependents'] ?? query.get('orphanDependents') ?? undefined;
  if (grace !== undefined && grace !== null && (!Number.isSafeInteger(grace) || Number(grace) < 0)) {
    throw invalidOptions('gracePeriodSeconds', `Invalid value: ${JSON.stringify(grace)}: must be an integer >= 0`);
  }
  return {
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
    ...policyOf(policy, orphanDependents),
    ...(typeof uid === 'string' ? { uid } : {}),
    ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
  };
}

function policyOf(policy: unknown, orphanDependents: unknown): { policy?: Policy } {
  if (policy === 'Background' || policy === 'Foreground' || policy === 'Orphan') return { policy };
  if (policy !== undefined && policy !== null) {
    const detail = `Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan"`;
    throw invalidOptions('propagationPolicy', detail);
  }
  if (orphanDependents === true || orphanDependents === 'true') return { policy: 'Orphan' };
  return orphanDependents === false || orphanDependents === 'false' ? { policy: 'Background' } : {};
}

function numberParameter(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  return value === null || value === '' ? undefined : Number(value);
}

function invalidOptions(field: string, detail: string): StatusError {
  return new StatusError(422, 'Invalid', `DeleteOptions.meta.k8s.io "" is invalid: ${field}: ${detail}`, {
    group: 'meta.k8s.io',
    kind: 'DeleteOptions',
    causes: [{ reason: 'FieldValueInvalid', message: detail, field }],
  });
}

/** Deletes objects: preconditions, admission, grace of pods, finalizers of the propagation policy. */
export class Deleter {
  readonly #store: Store;
  readonly #admission: Admission;
  readonly #nowMs: () => number;

  constructor(store: Store, admission: Admission, nowMs: () => number) {
    this.#store = store;
    this.#admission = admission;
    this.#nowMs = nowMs;
  }

  async delete(target: ObjectTarget, deletion: Deletion, options: WriteOptions): Promise<DeletionResult> {
    const { type, namespace, name } = target;
    const key = storeKey(type);
    for (let attempt = 1; attempt <= CONFLICT_ATTEMPTS; attempt += 1) {
      const stored = this.#store.get(key, namespace, name);
      if (stored === undefined) throw notFound(type, name);
      const current = fromStored(type, stored);
      checkPreconditions(type, current, deletion);
      refuseImmortal(type, name);
      const where = { operation: 'DELETE', type, ...(namespace === undefined ? {} : { namespace }), name } as const;
      await this.#admission.reviewDeletion({ ...where, current, options });
      const plan = planDeletion(type, current, deletion, this.#nowMs(), options);
      if (plan.object === current && !plan.isGone) return plan;
      if (options.isDryRun) return plan;
      const committed = plan.isGone
        ? this.#store.remove(key, stored)
        : this.#store.replace(key, stored, toStored(type, plan.object));
      if (committed !== undefined) return { object: fromStored(type, committed), isGone: plan.isGone };
    }
    throw conflict(type, name, 'the object keeps changing; please try again');
  }
}

function checkPreconditions(type: ResourceType, current: KubeObject, deletion: Deletion): void {
  const { uid, resourceVersion, name } = current.metadata;
  if (deletion.uid !== undefined && deletion.uid !== uid) {
    const why = `the UID in the precondition (${deletion.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`;
    throw conflict(type, name, why);
  }
  if (deletion.resourceVersion !== undefined && deletion.resourceVersion !== resourceVersion) {
    const why = `the ResourceVersion in the precondition (${deletion.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`;
    throw conflict(type, name, why);
  }
}

function refuseImmortal(type: ResourceType, name: string): void {
  if (resourceKey(type) !== 'namespaces' || !IMMORTAL_NAMESPACES.includes(name)) return;
  throw forbidden(type, name, 'this namespace may not be deleted');
}

/** Decides what a deletion does to the object as it is now. The same object back means: nothing new, it is on its way. */
function planDeletion(
  type: ResourceType,
  current: KubeObject,
  deletion: Deletion,
  nowMs: number,
  options: WriteOptions,
): DeletionResult {
  const finalizers = finalizersFor(type, current, deletion, options);
  const graceSeconds = graceOf(type, current, deletion);
  const marked = mark(type, current, finalizers, graceSeconds, nowMs);
  const isHeld = finalizers.length > 0 || graceSeconds > 0 || namespaceFinalizers(type, current).length > 0;
  return isHeld ? { object: marked, isGone: false } : { object: current, isGone: true };
}

function mark(
  type: ResourceType,
  current: KubeObject,
  finalizers: readonly string[],
  graceSeconds: number,
  nowMs: number,
): KubeObject {
  const { metadata } = current;
  const isMarked = metadata.deletionTimestamp !== undefined;
  const isShorter = isMarked && graceSeconds < (metadata.deletionGracePeriodSeconds ?? 0);
  const hadFinalizers = metadata.finalizers ?? [];
  const isSame = hadFinalizers.length === finalizers.length && hadFinalizers.every((name) => finalizers.includes(name));
  if (isMarked && !isShorter && isSame) return current;
  const isTimeNew = !isMarked || isShorter;
  return {
    ...current,
    metadata: {
      ...metadata,
      ...(isTimeNew
        ? { deletionTimestamp: timestamp(nowMs + graceSeconds * 1000), deletionGracePeriodSeconds: graceSeconds }
        : {}),
      ...(finalizers.length === 0 && hadFinalizers.length === 0 ? {} : { finalizers: [...finalizers] }),
      ...(type.hasGeneration && !isMarked ? { generation: (metadata.generation ?? 0) + 1 } : {}),
    },
    ...(resourceKey(type) === 'namespaces' ? { status: { ...statusOf(current), phase: 'Terminating' } } : {}),
  };
}

function finalizersFor(
  type: ResourceType,
  current: KubeObject,
  deletion: Deletion,
  options: WriteOptions,
): readonly string[] {
  const had = current.metadata.finalizers ?? [];
  const others = had.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  switch (deletion.policy ?? defaultPolicy(type, had, options)) {
    case 'Orphan':
      return [...others, ORPHAN];
    case 'Foreground':
      return [...others, FOREGROUND];
    case 'Background':
      return others;
    case undefined:
      return had;
  }
}

/** Jobs keep their pods unless told otherwise, for compatibility with the first version of their API. */
function defaultPolicy(type: ResourceType, had: readonly string[], options: WriteOptions): Policy | undefined {
  if (resourceKey(type) !== 'jobs.batch' || had.includes(ORPHAN) || had.includes(FOREGROUND)) return undefined;
  options.warn(
    'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning',
  );
  return 'Orphan';
}

/** Only pods that a node may be running have a grace period. */
function graceOf(type: ResourceType, current: KubeObject, deletion: Deletion): number {
  if (resourceKey(type) !== 'pods') return 0;
  const spec = isJsonObject(current['spec']) ? current['spec'] : {};
  const { phase } = statusOf(current);
  if ((spec['nodeName'] ?? '') === '' || phase === 'Succeeded' || phase === 'Failed') return 0;
  const own = spec['terminationGracePeriodSeconds'];
  const asked = deletion.gracePeriodSeconds ?? (typeof own === 'number' ? own : DEFAULT_POD_GRACE_SECONDS);
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = current.metadata;
  // Once it has begun, termination can be hurried but not delayed.
  return deletionTimestamp === undefined ? asked : Math.min(asked, deletionGracePeriodSeconds);
}

function statusOf(object: KubeObject): JsonObject {
  return isJsonObject(object['status']) ? object['status'] : {};
}

function namespaceFinalizers(type: ResourceType, object: KubeObject): readonly unknown[] {
  if (resourceKey(type) !== 'namespaces' || !isJsonObject(object['spec'])) return [];
  const { finalizers } = object['spec'];
  return Array.isArray(finalizers) ? finalizers : [];
}

/** What a DELETE answers when the object is gone at once. */
export function deletedStatus(type: ResourceType, object: KubeObject): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: object.metadata.name,
      ...(type.group === '' ? {} : { group: type.group }),
      kind: type.plural,
      uid: object.metadata.uid,
    },
  };
}
