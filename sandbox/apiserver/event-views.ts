import type { JsonObject, KubeObject } from './object.ts';

/** How fields are called in core v1 and in events.k8s.io/v1. All others have one name. */
const RENAMED: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['reportingComponent', 'reportingController'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
];

const toEvents = new Map(RENAMED);
const toCore = new Map(RENAMED.map(([core, events]) => [events, core]));

function rename(object: JsonObject, names: ReadonlyMap<string, string>): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([field, value]) => [names.get(field) ?? field, value]));
}

/** A stored Event (core v1) as events.k8s.io/v1 shows it. */
export function eventsView(event: KubeObject): KubeObject {
  return { ...(rename(event, toEvents) as KubeObject), apiVersion: 'events.k8s.io/v1' };
}

/** An event of events.k8s.io/v1 as it is stored. */
export function coreEvent(event: KubeObject): KubeObject {
  return { ...(rename(event, toCore) as KubeObject), apiVersion: 'v1' };
}
