import { WorkQueue } from '#runtime/work-queue.ts';
import type { KubeObject, OwnerReference } from '../apiserver/object.ts';
import { isConflict, isNotFound } from './api-errors.ts';
import { together, type Again, type ControllerContext } from './controller.ts';
import { sameJson } from './json.ts';
import type { ServedType, ServedTypes } from './served-types.ts';

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

/** Uids of deleted objects that are remembered: their kind may be gone as well when their dependents are looked at. */
const GONE_MAX = 10_000;

type Place = { readonly type: ServedType; readonly namespace: string | undefined; readonly name: string };

/** What an owner reference means now. */
type OwnerState = 'present' | 'absent' | 'waiting'; // waiting: being deleted, after its dependents

/**
 * Deletes what has only owners that are gone, and carries out foreground and orphaning deletion.
 * Source: kube-controller-manager `garbagecollector`. The graph has one entry for every object in the store.
 */
export function startGarbageCollector(context: ControllerContext, served: ServedTypes): Disposable {
  const collector = new Collector(context, served);
  return together(collector, served.watchAll(collector));
}

class Collector implements Disposable {
  readonly #context: ControllerContext;
  readonly #served: ServedTypes;
  readonly #places = new Map<string, Place>(); // by uid
  readonly #dependents = new Map<string, Set<string>>(); // uid of the owner -> uids
  readonly #gone = new Set<string>(); // uids, oldest first
  readonly #queue: WorkQueue; // of uids

  constructor(context: ControllerContext, served: ServedTypes) {
    this.#context = context;
    this.#served = served;
    this.#queue = new WorkQueue({
      clock: context.clock,
      reconcile: (uid) => this.#reconcile(uid),
      onError: (uid, error, failures) => {
        const level = isConflict(error) ? 'debug' : 'warn';
        const place = this.#places.get(uid);
        const about = { controller: 'garbage-collector', uid, resource: place?.type.resource, name: place?.name };
        context.log[level]({ ...about, failures, err: error }, 'collecting failed, will try again');
      },
    });
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
  }

  apply(type: ServedType, object: KubeObject, old?: KubeObject): void {
    const { uid, name, namespace, ownerReferences = [] } = object.metadata;
    if (!this.#places.has(uid)) this.#places.set(uid, { type, namespace, name });
    const oldOwners = old?.metadata.ownerReferences ?? [];
    const hasNewOwners = !sameJson(oldOwners, ownerReferences);
    if (hasNewOwners) {
      for (const owner of oldOwners) this.#unlink(owner.uid, uid);
      for (const owner of ownerReferences) {
        const dependents = this.#dependents.get(owner.uid) ?? new Set();
        this.#dependents.set(owner.uid, dependents.add(uid));
      }
    }
    const isNew = old === undefined;
    const isDeleting = object.metadata.deletionTimestamp !== undefined;
    const hasLife = isNew || old.metadata.deletionTimestamp !== object.metadata.deletionTimestamp;
    const hasFinalizers = !sameJson(old?.metadata.finalizers, object.metadata.finalizers);
    if ((hasNewOwners && ownerReferences.length > 0) || (isDeleting && (hasLife || hasFinalizers)))
      this.#queue.add(uid);
  }

  delete(_type: ServedType, object: KubeObject): void {
    const { uid, ownerReferences = [] } = object.metadata;
    this.#places.delete(uid);
    for (const owner of ownerReferences) this.#unlink(owner.uid, uid);
    if (!this.#dependents.has(uid)) return;
    this.#gone.add(uid);
    const [oldest] = this.#gone;
    if (this.#gone.size > GONE_MAX && oldest !== undefined) this.#gone.delete(oldest);
    for (const dependent of this.#dependents.get(uid) ?? []) this.#queue.add(dependent);
  }

  /** The owner may have waited for just this dependent. */
  #unlink(owner: string, dependent: string): void {
    const dependents = this.#dependents.get(owner);
    dependents?.delete(dependent);
    if (dependents?.size === 0) this.#dependents.delete(owner);
    if (this.#places.has(owner)) this.#queue.add(owner);
  }

  #read(uid: string): { place: Place; object: KubeObject } | undefined {
    const place = this.#places.get(uid);
    if (place === undefined) return undefined;
    const object = this.#context.local.get(place.type.resource, place.namespace, place.name);
    return object?.metadata.uid === uid ? { place, object } : undefined;
  }

  async #reconcile(uid: string): Promise<Again> {
    const found = this.#read(uid);
    if (found === undefined) return undefined;
    const { place, object } = found;
    if (object.metadata.deletionTimestamp !== undefined) {
      const finalizers = object.metadata.finalizers ?? [];
      if (finalizers.includes(ORPHAN)) await this.#orphanDependents(place, object);
      else if (finalizers.includes(FOREGROUND)) await this.#deleteDependents(place, object);
      return undefined;
    }
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0) return undefined;
    const states = owners.map((owner) => ({ owner, state: this.#stateOf(owner, place) }));
    const gone = states.filter(({ state }) => state !== 'present').map(({ owner }) => owner.uid);
    if (gone.length === 0) return undefined;
    if (gone.length < owners.length) {
      await this.#writeOwners(
        place,
        object,
        owners.filter((owner) => !gone.includes(owner.uid)),
      );
      return undefined;
    }
    const isWaitedFor = states.some(({ state }) => state === 'waiting') && this.#dependents.has(uid);
    await this.#delete(place, object, isWaitedFor);
    return undefined;
  }

  #stateOf(reference: OwnerReference, dependent: Place): OwnerState {
    const owner = this.#read(reference.uid);
    if (owner === undefined) {
      if (this.#gone.has(reference.uid)) return 'absent';
      // A kind that is not watched cannot be looked up: better to keep the object than to guess.
      return this.#served.isWatched(reference.apiVersion, reference.kind) ? 'absent' : 'present';
    }
    const isForeign = owner.place.type.isNamespaced && owner.place.namespace !== dependent.namespace;
    if (isForeign && dependent.type.isNamespaced) return 'absent';
    const { deletionTimestamp, finalizers = [] } = owner.object.metadata;
    return deletionTimestamp !== undefined && finalizers.includes(FOREGROUND) ? 'waiting' : 'present';
  }

  /** Foreground: the owner goes when no dependent that blocks it is left. */
  async #deleteDependents(place: Place, owner: KubeObject): Promise<void> {
    const blocking = [...(this.#dependents.get(owner.metadata.uid) ?? [])].filter((uid) => {
      const references = this.#read(uid)?.object.metadata.ownerReferences ?? [];
      return references.some(
        (reference) => reference.uid === owner.metadata.uid && reference.blockOwnerDeletion === true,
      );
    });
    if (blocking.length === 0) await this.#removeFinalizer(place, owner, FOREGROUND);
    for (const uid of blocking) this.#queue.add(uid);
  }

  async #orphanDependents(place: Place, owner: KubeObject): Promise<void> {
    const { uid } = owner.metadata;
    for (const dependent of this.#dependents.get(uid) ?? []) {
      const found = this.#read(dependent);
      if (found === undefined) continue;
      const left = found.object.metadata.ownerReferences?.filter((reference) => reference.uid !== uid) ?? [];
      await this.#writeOwners(found.place, found.object, left);
    }
    await this.#removeFinalizer(place, owner, ORPHAN);
  }

  async #writeOwners(place: Place, object: KubeObject, owners: readonly OwnerReference[]): Promise<void> {
    const { ownerReferences: _, ...metadata } = object.metadata;
    await this.#write(place, {
      ...object,
      metadata: owners.length === 0 ? metadata : { ...metadata, ownerReferences: [...owners] },
    });
  }

  async #removeFinalizer(place: Place, object: KubeObject, finalizer: string): Promise<void> {
    const finalizers = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    await this.#write(place, { ...object, metadata: { ...object.metadata, finalizers } });
  }

  async #write(place: Place, object: KubeObject): Promise<void> {
    try {
      await this.#context.local.update(place.type.resource, object);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #delete({ type, namespace, name }: Place, object: KubeObject, isWaitedFor: boolean): Promise<void> {
    const { uid, finalizers = [] } = object.metadata;
    const isForeground = isWaitedFor || finalizers.includes(FOREGROUND);
    const propagationPolicy =
      finalizers.includes(ORPHAN) && !isWaitedFor ? 'Orphan' : isForeground ? 'Foreground' : 'Background';
    try {
      await this.#context.local.delete(type.resource, namespace, name, { uid, propagationPolicy });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}
