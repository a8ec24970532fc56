import type { OwnerReference } from '../apiserver/object.ts';
import type { AnyObject, LabelSelector, Resource, Kinds, Metadata } from './resources.ts';
import { matchesSelector } from './label-selector.ts';
import type { TypedClient } from './typed-client.ts';

/** What a controller writes into the objects it makes. */
export function controllerReference(owner: AnyObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function controllerOf(object: { readonly metadata: Metadata }): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

export function isControlledBy(object: { readonly metadata: Metadata }, owner: AnyObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

/**
 * The objects of one resource that `owner` controls. Orphans that its selector matches are adopted, and those whose labels
 * no longer match are released; both are written before this returns. An owner that is being deleted adopts nothing.
 *
 * @throws StatusError  when another writer was faster; try again
 */
export async function claim<R extends Resource>(
  client: TypedClient,
  resource: R,
  owner: AnyObject,
  selector: LabelSelector,
): Promise<Kinds[R][]> {
  const claimed: Kinds[R][] = [];
  for (const object of client.list(resource, owner.metadata.namespace)) {
    const controller = controllerOf(object);
    const isMatch = matchesSelector(selector, object.metadata.labels);
    if (controller?.uid === owner.metadata.uid) {
      if (isMatch || owner.metadata.deletionTimestamp !== undefined) claimed.push(object);
      else await release(client, resource, object, owner);
    } else if (controller === undefined && isMatch && mayAdopt(owner, object)) {
      claimed.push(await adopt(client, resource, object, owner));
    }
  }
  return claimed;
}

function mayAdopt(owner: AnyObject, object: AnyObject): boolean {
  return owner.metadata.deletionTimestamp === undefined && object.metadata.deletionTimestamp === undefined;
}

function adopt<R extends Resource>(
  client: TypedClient,
  resource: R,
  object: Kinds[R],
  owner: AnyObject,
): Promise<Kinds[R]> {
  const ownerReferences = [...(object.metadata.ownerReferences ?? []), controllerReference(owner)];
  return client.update(resource, { ...object, metadata: { ...object.metadata, ownerReferences } });
}

async function release<R extends Resource>(
  client: TypedClient,
  resource: R,
  object: Kinds[R],
  owner: AnyObject,
): Promise<void> {
  const ownerReferences = object.metadata.ownerReferences?.filter((other) => other.uid !== owner.metadata.uid) ?? [];
  await client.update(resource, { ...object, metadata: { ...object.metadata, ownerReferences } });
}
