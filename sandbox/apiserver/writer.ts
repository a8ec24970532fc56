import type { Admission } from './admission.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import {
  generateName,
  isNewGeneration,
  isSameObject,
  metadataOf,
  newMetadata,
  refuseNewFinalizers,
  updatedMetadata,
} from './object-meta.ts';
import {
  decodeObject,
  decodePatched,
  validationCauses,
  withDefaults,
  withManagers,
  type Body,
} from './object-rules.ts';
import { applyPatch, type Patch } from './patches.ts';
import { apiVersionOf, type ResourceType } from './registry.ts';
import {
  alreadyExists,
  badRequest,
  forbidden,
  invalid,
  methodNotAllowed,
  notFound,
  staleVersion,
} from './status-error.ts';
import type { Store } from './store.ts';
import { fromStored, storeKey, toStored } from './stored-form.ts';
import { completeObject, resetDraft } from './strategies.ts';
import type { WriteOptions } from './write-options.ts';

const GENERATED_NAME_ATTEMPTS = 8;
const CONFLICT_ATTEMPTS = 100; // every round somebody wins, so this is how many may write one object at once
const DEFINITIONS = 'customresourcedefinitions.apiextensions.k8s.io';

/** Which object a write is about. */
export type ObjectTarget = {
  readonly type: ResourceType;
  readonly namespace?: string;
  readonly name: string;
  readonly subresource?: string;
};

/** Makes the new state from the current one; called again when the object changed meanwhile. */
export type Revision = (current: KubeObject) => JsonObject;

/** Creates and changes objects: decoding, defaults, admission, validation, bookkeeping, store. */
export class Writer {
  readonly #store: Store;
  readonly #admission: Admission;
  readonly #nowMs: () => number;

  constructor(store: Store, admission: Admission, nowMs: () => number) {
    this.#store = store;
    this.#admission = admission;
    this.#nowMs = nowMs;
  }

  async create(
    type: ResourceType,
    namespace: string | undefined,
    body: Body,
    options: WriteOptions,
  ): Promise<KubeObject> {
    this.#requireActiveNamespace(type, namespace, body);
    this.#requireActiveDefinition(type);
    const decoded = checkedKind(type, decodeObject(type, body, options));
    const sent = checkedMetadata(decoded, namespace);
    if (typeof sent['resourceVersion'] === 'string' && sent['resourceVersion'] !== '') {
      throw badRequest('resourceVersion should not be set on objects to be created');
    }
    const name = text(sent['name']);
    const draft = withDefaults(type, resetDraft(type, { ...decoded, metadata: sent }));
    const where = { type, ...(namespace === undefined ? {} : { namespace }), name, options };
    const admitted = await this.#admission.mutate({ operation: 'CREATE', ...where, object: draft });
    const prefix = text(metadataOf(admitted)['generateName']);
    for (let attempt = 1; ; attempt += 1) {
      const object = this.#completed(type, admitted, namespace);
      this.#validate(type, object, undefined, undefined);
      await this.#admission.validate({ operation: 'CREATE', ...where, name: object.metadata.name, object });
      const managed = withManagers(type, object, undefined, options, undefined, this.#nowMs());
      const stored = this.#add(type, managed, options);
      if (stored !== undefined) return stored;
      if (name !== '' || prefix === '' || attempt >= GENERATED_NAME_ATTEMPTS) {
        throw alreadyExists(type, object.metadata.name);
      }
    }
  }

  /** Replaces an object (or one subresource of it) by what the client sent. */
  update(target: ObjectTarget, body: Body, options: WriteOptions): Promise<KubeObject> {
    const draft = checkedKind(target.type, decodeObject(target.type, body, options));
    if (target.type.custom !== undefined && text(metadataOf(draft)['resourceVersion']) === '') {
      const message = 'Invalid value: 0x0: must be specified for an update';
      const causes = [{ reason: 'FieldValueInvalid', message, field: 'metadata.resourceVersion' }];
      throw invalid(target.type, target.name, causes);
    }
    return this.revise(target, () => draft, options);
  }

  /** Applies a patch other than a server-side apply. */
  patch(target: ObjectTarget, patch: Patch, options: WriteOptions): Promise<KubeObject> {
    const { type } = target;
    const revise = (current: KubeObject): JsonObject =>
      checkedKind(type, decodePatched(type, applyPatch(type, current, patch), options));
    return this.revise(target, revise, options);
  }

  /**
   * Changes an object. An effect of nothing keeps the resourceVersion; the removal of the last finalizer of an object
   * that is being deleted removes it.
   *
   * @throws StatusError 404, 409 when `revise` insists on a version that is not current, and whatever refuses the result
   */
  async revise(target: ObjectTarget, revise: Revision, options: WriteOptions): Promise<KubeObject> {
    const { type, namespace, name, subresource } = target;
    const key = storeKey(type);
    for (let attempt = 1; attempt <= CONFLICT_ATTEMPTS; attempt += 1) {
      const stored = this.#store.get(key, namespace, name);
      if (stored === undefined) throw notFound(type, name);
      const current = fromStored(type, stored);
      const next = await this.#next(target, current, revise(current), options);
      if (isSameObject(next, current) && !isFinished(next)) return current;
      if (options.isDryRun) return next;
      const committed = isFinished(next)
        ? this.#store.remove(key, stored, toStored(type, next))
        : this.#store.replace(key, stored, toStored(type, next));
      if (committed !== undefined) return fromStored(type, committed);
      if (subresource === undefined && this.#store.get(key, namespace, name) === undefined) throw notFound(type, name);
    }
    throw staleVersion(type, name);
  }

  async #next(
    target: ObjectTarget,
    current: KubeObject,
    draft: JsonObject,
    options: WriteOptions,
  ): Promise<KubeObject> {
    const { type, namespace, name, subresource } = target;
    const sent = checkedMetadata(checkedName(draft, name), namespace);
    const merged = { ...typed(type, draft), metadata: updatedMetadata(type, sent, current.metadata) };
    const defaulted = withDefaults(type, restricted(type, merged, current, subresource));
    const request = {
      operation: 'UPDATE',
      type,
      ...(subresource === undefined ? {} : { subresource }),
      ...(namespace === undefined ? {} : { namespace }),
      name,
      current,
      options,
    } as const;
    const admitted = (await this.#admission.mutate({ ...request, object: defaulted })) as KubeObject;
    const next = restricted(type, withGeneration(type, admitted, current), current, subresource);
    refuseNewFinalizers(type, next, current);
    this.#validate(type, next, current, subresource);
    await this.#admission.validate({ ...request, object: next });
    return withManagers(type, next, current, options, subresource, this.#nowMs());
  }

  /** The object with name, uid and all that depends on them. */
  #completed(type: ResourceType, admitted: JsonObject, namespace: string | undefined): KubeObject {
    const sent = metadataOf(admitted);
    const prefix = text(sent['generateName']);
    let name = text(sent['name']);
    if (name === '' && prefix !== '') name = generateName(prefix);
    if (name === '') {
      const message = 'Required value: name or generateName is required';
      throw invalid(type, '', [{ reason: 'FieldValueRequired', message, field: 'metadata.name' }]);
    }
    const metadata = newMetadata(type, { ...sent, name }, namespace, this.#nowMs());
    return completeObject(type, { ...typed(type, admitted), metadata });
  }

  #add(type: ResourceType, object: KubeObject, options: WriteOptions): KubeObject | undefined {
    const { namespace, name } = object.metadata;
    this.#requireActiveNamespace(type, namespace, { value: object });
    const key = storeKey(type);
    if (options.isDryRun) return this.#store.get(key, namespace, name) === undefined ? unversioned(object) : undefined;
    const stored = this.#store.add(key, toStored(type, object));
    return stored === undefined ? undefined : fromStored(type, stored);
  }

  #validate(
    type: ResourceType,
    object: KubeObject,
    current: KubeObject | undefined,
    subresource: string | undefined,
  ): void {
    const causes = validationCauses(type, object, current, subresource);
    if (causes.length > 0) throw invalid(type, object.metadata.name, causes);
  }

  #requireActiveDefinition(type: ResourceType): void {
    if (type.custom === undefined) return;
    const definition = this.#store.get(DEFINITIONS, undefined, type.custom.definition);
    if (definition?.metadata.deletionTimestamp === undefined) return;
    throw methodNotAllowed('create not allowed while custom resource definition is terminating');
  }

  #requireActiveNamespace(type: ResourceType, namespace: string | undefined, body: Body): void {
    if (namespace === undefined) return;
    const found = this.#store.get('namespaces', undefined, namespace);
    const namespaces = { group: '', plural: 'namespaces', kind: 'Namespace' };
    if (found === undefined) throw notFound(namespaces, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    const name = isJsonObject(body.value) ? text(metadataOf(body.value)['name']) : '';
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const message = `namespace ${namespace} is being terminated`;
    throw forbidden(type, name, why, [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }]);
  }
}

/** As a dry run shows it: it has no version because it was never stored. */
function unversioned(object: KubeObject): KubeObject {
  const { resourceVersion: _resourceVersion, ...metadata } = object.metadata;
  return { ...object, metadata: metadata as KubeObject['metadata'] };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function typed(type: ResourceType, draft: JsonObject): JsonObject & { apiVersion: string; kind: string } {
  return { ...draft, apiVersion: apiVersionOf(type), kind: type.kind };
}

/** @throws StatusError 400 when the body is of another kind than the path */
function checkedKind(type: ResourceType, draft: JsonObject): JsonObject {
  const apiVersion = apiVersionOf(type);
  const sentVersion = text(draft['apiVersion']);
  const sentKind = text(draft['kind']);
  if (sentVersion !== '' && sentVersion !== apiVersion) {
    throw badRequest(
      `the API version in the data (${sentVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
  if (sentKind !== '' && sentKind !== type.kind) {
    throw badRequest(`${sentKind} in version "${type.version}" cannot be handled as a ${type.kind}: wrong kind`);
  }
  return typed(type, draft);
}

/** @throws StatusError 400 when the body is of another namespace than the path */
function checkedMetadata(draft: JsonObject, namespace: string | undefined): JsonObject {
  const { namespace: sentNamespace, ...metadata } = metadataOf(draft);
  const sent = text(sentNamespace);
  if (namespace === undefined) return metadata; // cluster-scoped: a namespace in the body means nothing
  if (sent !== '' && sent !== namespace) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request (${sent} != ${namespace})`,
    );
  }
  return { ...metadata, namespace };
}

function checkedName(draft: JsonObject, name: string): JsonObject {
  const sent = text(metadataOf(draft)['name']);
  if (sent === '' || sent === name) return draft;
  throw badRequest(`the name of the object (${sent}) does not match the name on the URL (${name})`);
}

/** Leaves of `next` what the path may change: the subresource, or everything but status. */
function restricted(
  type: ResourceType,
  next: KubeObject,
  current: KubeObject,
  subresource: string | undefined,
): KubeObject {
  const { managedFields } = next.metadata;
  const metadata = managedFields === undefined ? current.metadata : { ...current.metadata, managedFields };
  switch (subresource) {
    case 'status': {
      const { status: _status, ...rest } = current;
      return { ...rest, metadata, ...(next['status'] === undefined ? {} : { status: next['status'] }) };
    }
    case 'finalize':
      return { ...current, metadata, spec: next['spec'] };
    case undefined: {
      if (!type.hasStatus) return next;
      const { status: _status, ...rest } = next;
      return current['status'] === undefined ? rest : { ...rest, status: current['status'] };
    }
    default:
      return next; // the caller made `next` out of `current` and changed only what it means
  }
}

function withGeneration(type: ResourceType, next: KubeObject, current: KubeObject): KubeObject {
  if (!type.hasGeneration || !isNewGeneration(type, next, current)) return next;
  return { ...next, metadata: { ...next.metadata, generation: (current.metadata.generation ?? 0) + 1 } };
}

/** Nothing holds the object any longer: it goes with this write. */
function isFinished(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (deletionGracePeriodSeconds ?? 0) > 0) return false;
  if ((finalizers ?? []).length > 0) return false;
  if (object.kind !== 'Namespace' || object.apiVersion !== 'v1') return true;
  const spec = isJsonObject(object['spec']) ? object['spec'] : {};
  return !Array.isArray(spec['finalizers']) || spec['finalizers'].length === 0;
}
