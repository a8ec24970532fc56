import { systemClock, type Clock } from '#runtime/clock.ts';
import type { Informer } from './informer.ts';
import type { ResourceIndex, ResourceKind } from './resource-index.ts';
import { customKind, type CustomObject } from './resources/custom-object.ts';
import type { CustomResourceDefinition } from './resources/custom-resource-definition.ts';

/** A kind that may or may not be defined in a cluster. */
export type OptionalKind = {
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  readonly versions: readonly string[]; // that can be read, the preferred one first
  readonly index: ResourceIndex<CustomObject>;
};

type Running = { readonly version: string; readonly informer: Informer<CustomObject>; readonly startedMs: number };

/** A kind that cannot be listed, for want of rights or because its server is away, must not hold up everything else. */
const WAIT_MS_MAX = 10_000;

/**
 * Follows kinds that come and go while this process runs: each is informed about while its CustomResourceDefinition
 * serves a version that we read; when it goes, its objects are gone too. Driven by an informer of the definitions.
 */
export class ServedKinds implements ResourceIndex<CustomResourceDefinition>, Disposable {
  readonly #kinds: ReadonlyMap<string, OptionalKind>;
  readonly #inform: (kind: ResourceKind<CustomObject>, index: ResourceIndex<CustomObject>) => Informer<CustomObject>;
  readonly #running = new Map<string, Running>();
  readonly #withStatus = new Map<string, readonly string[]>(); // versions by `<plural>.<group>`
  readonly #clock: Clock;

  /** @param inform  makes an informer, which this class starts and disposes of */
  constructor(
    kinds: readonly OptionalKind[],
    inform: (kind: ResourceKind<CustomObject>, index: ResourceIndex<CustomObject>) => Informer<CustomObject>,
    clock = systemClock,
  ) {
    this.#clock = clock;
    this.#kinds = new Map(kinds.map((kind) => [`${kind.plural}.${kind.group}`, kind]));
    this.#inform = inform;
  }

  /** Kinds that are served and not yet listed, unless that takes too long. */
  get waiting(): readonly string[] {
    const sinceMs = this.#clock.now() - WAIT_MS_MAX;
    const isAwaited = ({ informer, startedMs }: Running): boolean => !informer.isSynced && startedMs > sinceMs;
    return [...this.#running].filter(([, running]) => isAwaited(running)).map(([name]) => name);
  }

  /** Whether the status of an object is a subresource in the version that it was read in. */
  hasStatus({ plural, group, apiPath }: CustomObject): boolean {
    const version = apiPath.slice(apiPath.lastIndexOf('/') + 1);
    return this.#withStatus.get(`${plural}.${group}`)?.includes(version) === true;
  }

  get served(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** Whether all objects of a kind are known: it is listed, or not served. @param name  `<plural>.<group>` */
  isListed(name: string): boolean {
    return this.#running.get(name)?.informer.isSynced ?? true;
  }

  apply(definition: CustomResourceDefinition): void {
    const kind = this.#kinds.get(definition.name);
    if (kind === undefined) return;
    this.#withStatus.set(definition.name, definition.statusVersions);
    const isServed = (version: string): boolean => definition.servedVersions.includes(version);
    const version = definition.isEstablished ? kind.versions.find(isServed) : undefined;
    const running = this.#running.get(definition.name);
    if (version === running?.version) return;
    running?.informer[Symbol.dispose]();
    this.#running.delete(definition.name);
    if (version === undefined) {
      kind.index.reset([]);
      return;
    }
    const informer = this.#inform(customKind(kind, version), kind.index);
    this.#running.set(definition.name, { version, informer, startedMs: this.#clock.now() });
    informer.start();
  }

  delete(_namespace: string, name: string): void {
    this.#withStatus.delete(name);
    this.#running.get(name)?.informer[Symbol.dispose]();
    if (this.#running.delete(name)) this.#kinds.get(name)?.index.reset([]);
  }

  reset(live: readonly CustomResourceDefinition[]): void {
    const kept = new Set(live.map(({ name }) => name));
    for (const name of this.#running.keys()) if (!kept.has(name)) this.delete('', name);
    for (const definition of live) this.apply(definition);
  }

  [Symbol.dispose](): void {
    for (const { informer } of this.#running.values()) informer[Symbol.dispose]();
    this.#running.clear();
  }
}
