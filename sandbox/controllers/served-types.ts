import { builtinResources } from '../apiserver/builtin-resources.ts';
import type { LocalClient, WatchHandler } from '../apiserver/local-client.ts';
import type { KubeObject } from '../apiserver/object.ts';
import { isStored, resourceKey } from '../apiserver/registry.ts';
import { conditionOf } from './controller.ts';
import type { CustomResourceDefinition } from './resources.ts';
import { typedClient } from './typed-client.ts';

/** One kind of object that the server stores. */
export type ServedType = {
  readonly resource: string; // as LocalClient takes it
  readonly group: string;
  readonly kind: string;
  readonly isNamespaced: boolean;
};

export type TypedHandler = {
  apply(type: ServedType, object: KubeObject, old?: KubeObject): void;
  delete(type: ServedType, object: KubeObject): void;
};

/** A second view of what `events` holds; looking at both would see everything twice. */
const ALIASES = new Set(['events.events.k8s.io']);

/** There are many Events, they own nothing and nothing owns them. */
const UNWATCHED = 'events';

const BUILTIN: readonly ServedType[] = builtinResources
  .filter((type) => isStored(type) && !ALIASES.has(resourceKey(type)))
  .map((type) => ({
    resource: resourceKey(type),
    group: type.group,
    kind: type.kind,
    isNamespaced: type.isNamespaced,
  }));

/** Everything the server stores, custom resources included as their definitions come and go. */
export class ServedTypes implements Disposable {
  readonly #client: LocalClient;
  readonly #custom = new Map<string, ServedType>(); // by name of the definition
  readonly #handlers = new Map<TypedHandler, Map<string, Disposable>>();
  readonly #definitions: Disposable;

  constructor(client: LocalClient) {
    this.#client = client;
    this.#definitions = typedClient(client).watch('customresourcedefinitions.apiextensions.k8s.io', {
      apply: (definition) => this.#define(definition),
      delete: (definition) => this.#forget(definition.metadata.name),
    });
  }

  all(): readonly ServedType[] {
    return [...BUILTIN, ...this.#custom.values()];
  }

  /** Whether `watchAll` sees objects of this kind, in any version of its group. */
  isWatched(apiVersion: string, kind: string): boolean {
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
    return this.all().some((type) => type.group === group && type.kind === kind && type.resource !== UNWATCHED);
  }

  /** Watches every resource there is and will be, Events left out. */
  watchAll(handler: TypedHandler): Disposable {
    const watches = new Map<string, Disposable>();
    this.#handlers.set(handler, watches);
    for (const type of this.all()) this.#watch(handler, watches, type);
    return {
      [Symbol.dispose]: () => {
        this.#handlers.delete(handler);
        for (const watch of watches.values()) watch[Symbol.dispose]();
      },
    };
  }

  [Symbol.dispose](): void {
    this.#definitions[Symbol.dispose]();
  }

  #watch(handler: TypedHandler, watches: Map<string, Disposable>, type: ServedType): void {
    if (type.resource === UNWATCHED || watches.has(type.resource)) return;
    const typed: WatchHandler = {
      apply: (object, old) => handler.apply(type, object, old),
      delete: (object) => handler.delete(type, object),
    };
    watches.set(type.resource, this.#client.watch(type.resource, typed));
  }

  #define(definition: CustomResourceDefinition): void {
    const { group, names, scope } = definition.spec;
    const isServed = conditionOf(definition.status?.conditions, 'Established')?.status === 'True';
    if (!isServed || this.#custom.has(definition.metadata.name)) return;
    const type = {
      resource: resourceKey({ group, plural: names.plural }),
      group,
      kind: names.kind,
      isNamespaced: scope === 'Namespaced',
    };
    this.#custom.set(definition.metadata.name, type);
    // The server may start to serve the kind only after this callback.
    setImmediate(() => {
      if (this.#custom.get(definition.metadata.name) !== type) return;
      for (const [handler, watches] of this.#handlers) this.#watch(handler, watches, type);
    });
  }

  #forget(definition: string): void {
    const type = this.#custom.get(definition);
    if (type === undefined) return;
    this.#custom.delete(definition);
    for (const watches of this.#handlers.values()) {
      watches.get(type.resource)?.[Symbol.dispose]();
      watches.delete(type.resource);
    }
  }
}
