import { isJsonObject, type JsonObject } from '../object.ts';

/** A pod, or the template of one. */
export type PodShape = { readonly annotations: Readonly<Record<string, string>>; readonly spec: JsonObject };

/** Names of containers of every sort, in the order in which Kubernetes looks at them. */
export function containersWhere(spec: JsonObject, isWanted: (container: JsonObject) => boolean): readonly unknown[] {
  const all = ['initContainers', 'containers', 'ephemeralContainers'].flatMap((field) => objects(spec[field]));
  return all.filter(isWanted).map(({ name }) => name);
}

/** The security context of a pod's spec or of a container; empty when there is none. */
export function securityOf({ securityContext }: JsonObject): JsonObject {
  return isJsonObject(securityContext) ? securityContext : {};
}

/** The capabilities that a container adds or drops. */
export function capabilities(container: JsonObject, field: 'add' | 'drop'): readonly unknown[] {
  const { capabilities: all } = securityOf(container);
  const list = isJsonObject(all) ? all[field] : undefined;
  return Array.isArray(list) ? (list as readonly unknown[]) : [];
}

/** The objects in a list; none when it is no list. */
export function objects(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
