import type { JsonObject, KubeObject } from './object.ts';
import { metadataOf, timestamp } from './object-meta.ts';
import { decodeObject } from './object-rules.ts';
import { serverSideApply } from './objects/server-side-apply.ts';
import { apiVersionOf, type ResourceType } from './registry.ts';
import { badRequest, notFound, StatusError } from './status-error.ts';
import type { Store } from './store.ts';
import { storeKey } from './stored-form.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';

const ATTEMPTS = 10;

export type ApplyOptions = WriteOptions & {
  readonly isForced: boolean; // take fields from their owners
  /** Throws when the user may patch but not create. */
  readonly demandCreate: () => void;
};

/**
 * Server-side apply of a configuration: creates the object when it is not there.
 *
 * @param body  decoded from YAML or JSON
 * @throws StatusError 422 without a field manager, 409 when other managers own fields with other values
 */
export async function applyOnServer(
  store: Store,
  writer: Writer,
  target: ObjectTarget,
  body: unknown,
  options: ApplyOptions,
  nowMs: number,
): Promise<{ object: KubeObject; isNew: boolean }> {
  requireManager(options.fieldManager);
  const { type, namespace, name, subresource } = target;
  const applied = checkedConfiguration(type, name, decodeObject(type, { value: body }, options));
  const merge = (live: KubeObject | undefined): JsonObject =>
    serverSideApply({
      type,
      ...(type.custom === undefined ? {} : { schema: type.custom.schema }),
      manager: options.fieldManager,
      ...(subresource === undefined ? {} : { subresource }),
      now: timestamp(nowMs),
      live,
      applied,
      force: options.isForced,
    });
  const owned: WriteOptions = { ...options, isApply: true };
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (store.get(storeKey(type), namespace, name) !== undefined) {
        return { object: await writer.revise(target, merge, owned), isNew: false };
      }
      if (subresource !== undefined) throw notFound(type, name);
      options.demandCreate();
      return { object: await writer.create(type, namespace, { value: merge(undefined) }, owned), isNew: true };
    } catch (error) {
      // The object came or went between looking and writing.
      const isMoved = error instanceof StatusError && ['AlreadyExists', 'NotFound'].includes(error.reason);
      const isAboutTarget = isMoved && error.details?.name === name && error.details.kind === type.plural;
      if (!isAboutTarget || attempt >= ATTEMPTS || subresource !== undefined) throw error;
    }
  }
}

function requireManager(manager: string): void {
  if (manager !== '') return;
  const message = 'Required value: is required for apply patch';
  throw new StatusError(422, 'Invalid', `PatchOptions.meta.k8s.io "" is invalid: fieldManager: ${message}`, {
    group: 'meta.k8s.io',
    kind: 'PatchOptions',
    causes: [{ reason: 'FieldValueRequired', message, field: 'fieldManager' }],
  });
}

function checkedConfiguration(type: ResourceType, name: string, applied: JsonObject): JsonObject {
  const { apiVersion, kind } = applied;
  if (apiVersion !== apiVersionOf(type) || kind !== type.kind) {
    throw badRequest(
      `the configuration is ${JSON.stringify(apiVersion)} ${JSON.stringify(kind)}, the path wants ${JSON.stringify(apiVersionOf(type))} ${JSON.stringify(type.kind)}`,
    );
  }
  const metadata = metadataOf(applied);
  const sent = metadata['name'];
  if (sent !== undefined && sent !== '' && sent !== name) {
    throw badRequest(`the name of the object (${JSON.stringify(sent)}) does not match the name on the URL (${name})`);
  }
  return { ...applied, metadata: { ...metadata, name } };
}
