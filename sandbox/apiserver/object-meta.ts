import { randomInt, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { JsonObject, KubeObject, ObjectMeta } from './object.ts';
import type { ResourceType } from './registry.ts';
import { badRequest, conflict, invalid, staleVersion } from './status-error.ts';
import { isJsonObject } from './object.ts';

const NAME_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const PREFIX_LENGTH_MAX = 58; // of a generated name, so that all of it fits a DNS label

/** Now, as API objects write it. */
export function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

export function randomSuffix(): string {
  return Array.from({ length: SUFFIX_LENGTH }, () => NAME_ALPHABET[randomInt(NAME_ALPHABET.length)]).join('');
}

export function generateName(prefix: string): string {
  return prefix.slice(0, PREFIX_LENGTH_MAX) + randomSuffix();
}

/** The metadata of a body, which a client may have left out. */
export function metadataOf(body: JsonObject): JsonObject {
  const { metadata } = body;
  if (metadata === undefined || metadata === null) return {};
  if (!isJsonObject(metadata)) throw badRequest('metadata must be an object');
  return metadata;
}

/** What the server fills in on creation; everything it owns that the client sent is dropped. The name must be there. */
export function newMetadata(
  type: ResourceType,
  sent: JsonObject,
  namespace: string | undefined,
  nowMs: number,
): ObjectMeta {
  const {
    deletionTimestamp: _deletionTimestamp,
    deletionGracePeriodSeconds: _deletionGracePeriodSeconds,
    resourceVersion: _resourceVersion,
    selfLink: _selfLink,
    generation: _generation,
    namespace: _namespace,
    ...kept
  } = sent;
  return {
    ...(kept as Partial<ObjectMeta> & { name: string }),
    ...(namespace === undefined ? {} : { namespace }),
    uid: randomUUID(),
    resourceVersion: '',
    creationTimestamp: timestamp(nowMs),
    ...(type.hasGeneration ? { generation: 1 } : {}),
  };
}

/**
 * Metadata of an update: the client's labels and annotations and the like, the server's everything else.
 *
 * @throws StatusError 409 when the client means another version or another object of the same name
 */
export function updatedMetadata(type: ResourceType, sent: JsonObject, current: ObjectMeta): ObjectMeta {
  const { resourceVersion, uid } = sent;
  if (typeof resourceVersion === 'string' && resourceVersion !== '' && resourceVersion !== current.resourceVersion) {
    throw staleVersion(type, current.name);
  }
  if (typeof uid === 'string' && uid !== '' && uid !== current.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.uid}`;
    throw conflict(type, current.name, why);
  }
  const {
    name: _name,
    namespace: _namespace,
    deletionTimestamp: _deletionTimestamp,
    deletionGracePeriodSeconds: _deletionGracePeriodSeconds,
    selfLink: _selfLink,
    generation: _generation,
    ...kept
  } = sent;
  return { ...(kept as Partial<ObjectMeta>), ...ownedByServer(current) };
}

function ownedByServer(current: ObjectMeta): ObjectMeta {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = current;
  const { generation, deletionTimestamp, deletionGracePeriodSeconds } = current;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid,
    resourceVersion,
    creationTimestamp,
    ...(generation === undefined ? {} : { generation }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
  };
}

/** @throws StatusError 422 when finalizers appear on an object that is being deleted */
export function refuseNewFinalizers(type: ResourceType, next: KubeObject, current: KubeObject): void {
  if (current.metadata.deletionTimestamp === undefined) return;
  const had = new Set(current.metadata.finalizers ?? []);
  const added = (next.metadata.finalizers ?? []).filter((finalizer) => !had.has(finalizer));
  if (added.length === 0) return;
  const list = added.map((finalizer) => JSON.stringify(finalizer)).join(', ');
  const message = `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
  const causes = [{ reason: 'FieldValueForbidden', message, field: 'metadata.finalizers' }];
  throw invalid(type, current.metadata.name, causes);
}

/** Did anything change that counts as a new generation: all but metadata and, where it is a subresource, status. */
export function isNewGeneration(type: ResourceType, next: KubeObject, current: KubeObject): boolean {
  return !isDeepStrictEqual(desired(type, next), desired(type, current));
}

function desired(type: ResourceType, object: KubeObject): JsonObject {
  const { metadata: _metadata, ...rest } = object;
  if (!type.hasStatus) return rest;
  const { status: _status, ...spec } = rest;
  return spec;
}

/** Would storing `next` change anything but the times in managedFields? */
export function isSameObject(next: KubeObject, current: KubeObject): boolean {
  return isDeepStrictEqual(withoutManagerTimes(next), withoutManagerTimes(current));
}

function withoutManagerTimes(object: KubeObject): JsonObject {
  const { managedFields, ...metadata } = object.metadata;
  const managers = (managedFields ?? []).map((entry) => (isJsonObject(entry) ? { ...entry, time: '' } : entry));
  return { ...object, metadata: { ...metadata, managedFields: managers } };
}
