import type { KubeObject } from './object.ts';

/** One commit. `object` of a deletion is the last state, with the resourceVersion of the deletion. */
export type StoreEvent = {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  readonly old?: KubeObject;
};

export type StoreListener = (event: StoreEvent) => void;

/** All objects of one resource, its recent history and who follows it. */
type Shelf = {
  readonly objects: Map<string, KubeObject>; // by `namespace/name`, cluster-scoped: `/name`
  sorted: readonly KubeObject[] | undefined; // by that key; undefined after a change
  history: StoreEvent[]; // oldest first, at most `historyMax` after trimming
  forgottenRevision: number; // events up to this one are gone from `history`
  readonly listeners: Set<StoreListener>;
};

/** Each commit waits here until the listeners of the one before have returned. */
type Delivery = { readonly event: StoreEvent; readonly listeners: readonly StoreListener[] };

const HISTORY_MAX = 2048; // events per resource

/**
 * What is true in this cluster, in memory. Resources are named plural[.group]; objects are frozen when they enter.
 *
 * One counter numbers all commits (the resourceVersion). Listeners hear of commits synchronously and in order, also of
 * commits that a listener makes.
 */
export class Store {
  readonly #shelves = new Map<string, Shelf>();
  readonly #historyMax: number;
  readonly #onListenerError: (error: unknown) => void;
  readonly #deliveries: Delivery[] = [];
  #isDelivering = false;
  #revision = 1;

  constructor(onListenerError: (error: unknown) => void, historyMax: number = HISTORY_MAX) {
    this.#onListenerError = onListenerError;
    this.#historyMax = historyMax;
  }

  /** Number of the last commit. */
  get revision(): number {
    return this.#revision;
  }

  get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#shelves.get(resource)?.objects.get(keyOf(namespace, name));
  }

  /** Sorted by namespace and name. */
  list(resource: string, namespace?: string): readonly KubeObject[] {
    const shelf = this.#shelves.get(resource);
    if (shelf === undefined) return [];
    shelf.sorted ??= [...shelf.objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    return namespace === undefined
      ? shelf.sorted
      : shelf.sorted.filter((object) => object.metadata.namespace === namespace);
  }

  /** @returns the object as stored, undefined when one of that name exists */
  add(resource: string, object: KubeObject): KubeObject | undefined {
    const shelf = this.#shelf(resource);
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    if (shelf.objects.has(key)) return undefined;
    const stored = stamp(object, this.#next());
    shelf.objects.set(key, stored);
    this.#commit(shelf, { revision: this.#revision, type: 'ADDED', object: stored });
    return stored;
  }

  /** @returns the object as stored, undefined when `current` is no longer what is stored */
  replace(resource: string, current: KubeObject, object: KubeObject): KubeObject | undefined {
    const shelf = this.#shelf(resource);
    const key = keyOf(current.metadata.namespace, current.metadata.name);
    if (shelf.objects.get(key) !== current) return undefined;
    const stored = stamp(object, this.#next());
    shelf.objects.set(key, stored);
    this.#commit(shelf, { revision: this.#revision, type: 'MODIFIED', object: stored, old: current });
    return stored;
  }

  /** @returns the last state, undefined when `current` is no longer what is stored */
  remove(resource: string, current: KubeObject, last: KubeObject = current): KubeObject | undefined {
    const shelf = this.#shelf(resource);
    const key = keyOf(current.metadata.namespace, current.metadata.name);
    if (shelf.objects.get(key) !== current) return undefined;
    const gone = stamp(last, this.#next());
    shelf.objects.delete(key);
    this.#commit(shelf, { revision: this.#revision, type: 'DELETED', object: gone, old: current });
    return gone;
  }

  /** What happened after a revision, oldest first; undefined when part of it is forgotten. */
  since(resource: string, revision: number): readonly StoreEvent[] | undefined {
    const shelf = this.#shelves.get(resource);
    if (shelf === undefined) return [];
    if (revision < shelf.forgottenRevision) return undefined;
    return shelf.history.filter((event) => event.revision > revision);
  }

  /** The oldest revision from which `since` still knows everything. */
  oldestRevision(resource: string): number {
    return this.#shelves.get(resource)?.forgottenRevision ?? 0;
  }

  subscribe(resource: string, listener: StoreListener): Disposable {
    const { listeners } = this.#shelf(resource);
    listeners.add(listener);
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }

  /** Forgets an empty resource and its history; who follows it keeps following. */
  forget(resource: string): void {
    const shelf = this.#shelves.get(resource);
    if (shelf === undefined || shelf.objects.size > 0) return;
    shelf.history = [];
    shelf.forgottenRevision = this.#revision;
  }

  #next(): number {
    this.#revision += 1;
    return this.#revision;
  }

  #shelf(resource: string): Shelf {
    let shelf = this.#shelves.get(resource);
    if (shelf === undefined) {
      shelf = { objects: new Map(), sorted: undefined, history: [], forgottenRevision: 0, listeners: new Set() };
      this.#shelves.set(resource, shelf);
    }
    return shelf;
  }

  #commit(shelf: Shelf, event: StoreEvent): void {
    shelf.sorted = undefined;
    shelf.history.push(event);
    // Trimmed in bulk, so that a commit costs constant time on average.
    if (shelf.history.length >= this.#historyMax * 2) {
      const kept = shelf.history.slice(-this.#historyMax);
      shelf.forgottenRevision = (kept[0]?.revision ?? this.#revision) - 1;
      shelf.history = kept;
    }
    this.#deliveries.push({ event, listeners: [...shelf.listeners] });
    this.#deliver();
  }

  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      for (let delivery = this.#deliveries.shift(); delivery !== undefined; delivery = this.#deliveries.shift()) {
        for (const listener of delivery.listeners) {
          try {
            listener(delivery.event);
          } catch (error) {
            this.#onListenerError(error);
          }
        }
      }
    } finally {
      this.#isDelivering = false;
    }
  }
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

function stamp(object: KubeObject, revision: number): KubeObject {
  const metadata = { ...object.metadata, resourceVersion: String(revision) };
  return freeze({ ...object, metadata });
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}
