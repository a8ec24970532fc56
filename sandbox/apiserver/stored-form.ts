import { coreEvent, eventsView } from './event-views.ts';
import type { KubeObject } from './object.ts';
import { applySchemaDefaults, decodeCustom } from './objects/structural-schema.ts';
import { apiVersionOf, resourceKey, type ResourceType } from './registry.ts';

const EVENTS_GROUP = 'events.k8s.io';

/** Name of the store that holds a resource: all versions share one, and so do both kinds of events. */
export function storeKey(type: ResourceType): string {
  return type.group === EVENTS_GROUP ? type.plural : resourceKey(type);
}

/**
 * A stored object in the version that was asked for. Conversion between versions of a custom resource changes only the
 * name; defaults that a schema got after the object was stored show up on reading.
 */
export function fromStored(type: ResourceType, stored: KubeObject): KubeObject {
  if (type.group === EVENTS_GROUP) return eventsView(stored);
  if (type.custom === undefined) return stored;
  const apiVersion = apiVersionOf(type);
  const object = stored.apiVersion === apiVersion ? stored : { ...stored, apiVersion };
  return applySchemaDefaults(type.custom.schema, object) as KubeObject;
}

/** What is kept of an object: of a custom resource only the fields that the version in which it is stored knows. */
export function toStored(type: ResourceType, object: KubeObject): KubeObject {
  if (type.group === EVENTS_GROUP) return coreEvent(object);
  if (type.custom === undefined || type.custom.storageVersion === type.version) return object;
  const { storageVersion, storageSchema } = type.custom;
  const kept = decodeCustom(storageSchema, object).object as KubeObject;
  return { ...kept, apiVersion: apiVersionOf({ group: type.group, version: storageVersion }) };
}
