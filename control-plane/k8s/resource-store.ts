import type { ResourceIndex } from './resource-index.ts';
import { keyOf, type Metadata } from './resources/metadata.ts';

/** Told of one object that came, changed or went; `next` and `previous` are never both absent. */
export type ChangeListener<R> = (next: R | undefined, previous: R | undefined) => void;

/** All objects of one kind, by name, for indexes that are built on them. As large as the cluster has objects of it. */
export class ResourceStore<R extends Metadata> implements ResourceIndex<R> {
  readonly #objects = new Map<string, R>();
  readonly #listeners: ChangeListener<R>[] = [];

  get(namespace: string, name: string): R | undefined {
    return this.#objects.get(keyOf(namespace, name));
  }

  getByKey(key: string): R | undefined {
    return this.#objects.get(key);
  }

  values(): Iterable<R> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Listeners stay as long as the store. They must not throw. */
  onChange(listener: ChangeListener<R>): void {
    this.#listeners.push(listener);
  }

  apply(resource: R): void {
    const key = keyOf(resource.namespace, resource.name);
    const previous = this.#objects.get(key);
    this.#objects.set(key, resource);
    this.#notify(resource, previous);
  }

  delete(namespace: string, name: string): void {
    const key = keyOf(namespace, name);
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#objects.delete(key);
    this.#notify(undefined, previous);
  }

  reset(live: readonly R[]): void {
    const kept = new Set(live.map((resource) => keyOf(resource.namespace, resource.name)));
    for (const resource of this.#objects.values()) {
      if (!kept.has(keyOf(resource.namespace, resource.name))) this.delete(resource.namespace, resource.name);
    }
    for (const resource of live) this.apply(resource);
  }

  #notify(next: R | undefined, previous: R | undefined): void {
    for (const listener of this.#listeners) listener(next, previous);
  }
}
