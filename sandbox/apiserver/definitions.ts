import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '#runtime/log.ts';
import type { Deleter } from './deletion.ts';
import { groupOf, namesOf, storageTypeOf, typesOf, type DefinitionNames } from './definition-types.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { timestamp } from './object-meta.ts';
import type { Registry, ResourceType } from './registry.ts';
import { StatusError } from './status-error.ts';
import type { Store, StoreEvent } from './store.ts';
import { storeKey } from './stored-form.ts';
import { serverUser } from './user.ts';
import type { WriteOptions } from './write-options.ts';
import type { Writer } from './writer.ts';

export const DEFINITIONS = 'customresourcedefinitions.apiextensions.k8s.io';
const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';

type Condition = { type: string; status: 'True' | 'False'; reason: string; message: string };

/**
 * Follows CustomResourceDefinitions: accepts their names, serves their resources from then on, and on deletion removes all
 * objects of the kind before the definition itself goes. Serving begins before the condition Established can be seen.
 */
export class Definitions implements Disposable {
  readonly #registry: Registry;
  readonly #store: Store;
  readonly #writer: Writer;
  readonly #deleter: Deleter;
  readonly #nowMs: () => number;
  readonly #log: Logger;
  readonly #subscription: Disposable;
  readonly #cleanups = new Map<string, Disposable>();

  constructor(parts: {
    registry: Registry;
    store: Store;
    writer: Writer;
    deleter: Deleter;
    nowMs: () => number;
    log: Logger;
  }) {
    this.#registry = parts.registry;
    this.#store = parts.store;
    this.#writer = parts.writer;
    this.#deleter = parts.deleter;
    this.#nowMs = parts.nowMs;
    this.#log = parts.log;
    this.#subscription = parts.store.subscribe(DEFINITIONS, (event) => this.#follow(event));
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    for (const cleanup of this.#cleanups.values()) cleanup[Symbol.dispose]();
  }

  #follow({ type, object }: StoreEvent): void {
    const { name } = object.metadata;
    if (type === 'DELETED') {
      this.#cleanups.get(name)?.[Symbol.dispose]();
      this.#cleanups.delete(name);
      for (const served of this.#registry.all()) {
        if (served.custom?.definition === name) this.#store.forget(storeKey(served));
      }
      this.#registry.setCustom(name, []);
      return;
    }
    // Several commits may be on their way to listeners; only what is true now counts.
    const definition = this.#store.get(DEFINITIONS, undefined, name);
    if (definition === undefined || definition.metadata.uid !== object.metadata.uid) return;
    if (definition.metadata.deletionTimestamp === undefined) this.#serve(definition);
    else this.#cleanUp(definition);
  }

  #serve(definition: KubeObject): void {
    const { name } = definition.metadata;
    const obstacle = this.#nameConflict(definition);
    const accepted = obstacle === undefined ? namesOf(definition) : acceptedNames(definition);
    const conditions: Condition[] =
      obstacle === undefined
        ? [
            { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
            {
              type: 'Established',
              status: 'True',
              reason: 'InitialNamesAccepted',
              message: 'the initial names have been accepted',
            },
          ]
        : [
            obstacle,
            { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' },
          ];
    if (obstacle === undefined) this.#registry.setCustom(name, typesOf(definition));
    this.#publish(definition, conditions, accepted);
  }

  #publish(definition: KubeObject, conditions: readonly Condition[], accepted: DefinitionNames | undefined): void {
    const before = isJsonObject(definition['status']) ? definition['status'] : {};
    const status = {
      ...before,
      conditions: merged(before['conditions'], conditions, timestamp(this.#nowMs())),
      acceptedNames: accepted === undefined ? { plural: '', kind: '' } : printedNames(accepted),
      storedVersions: storedVersions(definition, before),
    };
    const finalizers = definition.metadata.finalizers ?? [];
    const isHeld = finalizers.includes(CLEANUP) || definition.metadata.deletionTimestamp !== undefined;
    const metadata = isHeld ? definition.metadata : { ...definition.metadata, finalizers: [...finalizers, CLEANUP] };
    const next = { ...definition, metadata, status };
    if (!isDeepStrictEqual(next, definition)) this.#store.replace(DEFINITIONS, definition, next);
  }

  /** Names that another resource of the group has; the first definition keeps them. */
  #nameConflict(definition: KubeObject): Condition | undefined {
    const { plural, singular, kind, listKind, shortNames } = namesOf(definition);
    const others = this.#registry
      .all()
      .filter((type) => type.group === groupOf(definition) && type.custom?.definition !== definition.metadata.name);
    const taken = new Set(others.flatMap((type) => [type.plural, type.singular, ...type.shortNames]));
    const kinds = new Set(others.flatMap((type) => [type.kind, type.listKind]));
    const checks = [
      ['PluralConflict', plural, taken],
      ['SingularConflict', singular, taken],
      ...shortNames.map((name) => ['ShortNamesConflict', name, taken] as const),
      ['KindConflict', kind, kinds],
      ['ListKindConflict', listKind, kinds],
    ] as const;
    const conflict = checks.find(([, name, used]) => used.has(name));
    if (conflict === undefined) return undefined;
    const [reason, name] = conflict;
    return { type: 'NamesAccepted', status: 'False', reason, message: `"${name}" is already in use` };
  }

  /** Deletes all objects of the kind; the definition goes when the last of them is gone. */
  #cleanUp(definition: KubeObject): void {
    const { name } = definition.metadata;
    if (this.#cleanups.has(name) || !(definition.metadata.finalizers ?? []).includes(CLEANUP)) return;
    const type = storageTypeOf(definition);
    const key = type === undefined ? undefined : storeKey(type);
    const message = 'CustomResource deletion is in progress';
    const condition: Condition = { type: 'Terminating', status: 'True', reason: 'InstanceDeletionInProgress', message };
    this.#publish(definition, [condition], acceptedNames(definition));
    let isReleased = false;
    const finishIfEmpty = (): void => {
      if (key !== undefined && this.#store.list(key).length > 0) return;
      if (isReleased) return;
      isReleased = true; // the definition itself goes a moment later
      this.#release(name);
    };
    const subscription = key === undefined ? undefined : this.#store.subscribe(key, finishIfEmpty);
    this.#cleanups.set(name, { [Symbol.dispose]: () => subscription?.[Symbol.dispose]() });
    if (type !== undefined && key !== undefined) {
      this.#deleteAll(type, key).catch((error: unknown) =>
        this.#log.error({ err: error, definition: name }, 'deleting custom resources failed'),
      );
    }
    finishIfEmpty();
  }

  async #deleteAll(type: ResourceType, key: string): Promise<void> {
    for (const { metadata } of this.#store.list(key)) {
      const { name, namespace } = metadata;
      const target = { type, name, ...(namespace === undefined ? {} : { namespace }) };
      try {
        await this.#deleter.delete(target, { uid: metadata.uid }, systemOptions);
      } catch (error) {
        if (!(error instanceof StatusError) || (error.code !== 404 && error.code !== 409)) throw error;
      }
    }
  }

  #release(name: string): void {
    const type = this.#registry.byKey(DEFINITIONS);
    if (type === undefined) return;
    const revise = (current: KubeObject): JsonObject => {
      const finalizers = (current.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CLEANUP);
      return { ...current, metadata: { ...current.metadata, finalizers } };
    };
    this.#writer
      .revise({ type, name }, revise, systemOptions)
      .catch((error: unknown) => this.#log.error({ err: error, definition: name }, 'releasing a definition failed'));
  }
}

const systemOptions: WriteOptions = {
  user: serverUser,
  isDryRun: false,
  fieldManager: 'kube-apiserver',
  fieldValidation: 'Ignore',
  warn: () => undefined,
};

function acceptedNames(definition: KubeObject): DefinitionNames | undefined {
  const status = isJsonObject(definition['status']) ? definition['status'] : {};
  const names = isJsonObject(status['acceptedNames']) ? status['acceptedNames'] : {};
  return typeof names['kind'] === 'string' && names['kind'] !== '' ? namesOf(definition) : undefined;
}

function printedNames(names: DefinitionNames): JsonObject {
  const { shortNames, categories, ...rest } = names;
  return {
    ...rest,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
}

/** New conditions over the old ones; the time of one changes only with its status. */
function merged(before: unknown, conditions: readonly Condition[], now: string): JsonObject[] {
  const old = Array.isArray(before) ? before.filter(isJsonObject) : [];
  const kept = old.filter((one) => !conditions.some((condition) => condition.type === one['type']));
  const fresh = conditions.map((condition) => {
    const same = old.find((one) => one['type'] === condition.type && one['status'] === condition.status);
    return { ...condition, lastTransitionTime: same?.['lastTransitionTime'] ?? now };
  });
  return [...fresh, ...kept];
}

function storedVersions(definition: KubeObject, status: JsonObject): string[] {
  const spec = isJsonObject(definition['spec']) ? definition['spec'] : {};
  const versions = Array.isArray(spec['versions']) ? spec['versions'].filter(isJsonObject) : [];
  const storage = versions.find((version) => version['storage'] === true)?.['name'];
  const known = Array.isArray(status['storedVersions']) ? status['storedVersions'] : [];
  const names = typeof storage === 'string' ? [...known, storage] : known;
  return [...new Set(names.filter((name) => typeof name === 'string'))];
}
