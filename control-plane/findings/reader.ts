import type { JsonObject } from '#k8s/json.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '#k8s/resources/custom-resource-definition.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';

/** How objects are got from an API server; paths are absolute. */
export type ObjectReader = {
  /** The object, or undefined when it does not exist. */
  readonly find: (path: string) => Promise<unknown>;
  readonly list: (path: string) => Promise<readonly unknown[]>;
  /** As `list`, for kinds of which there are many: no more than a page needs to be there at once. */
  readonly each: (path: string, tell: (object: JsonObject) => void) => Promise<void>;
};

/** A kind that may or may not be defined in a cluster. */
export type ReadKind = {
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  readonly versions: readonly string[]; // that can be read, the preferred one first
};

/** Parents of routes that are no business of a mesh. */
export const GATEWAYS: ReadKind = {
  group: 'gateway.networking.k8s.io',
  kind: 'Gateway',
  plural: 'gateways',
  versions: ['v1', 'v1beta1'],
};

/** All objects of a kind, in one namespace or in all; none when the cluster does not serve a version that we read. */
export async function listKind(
  reader: Pick<ObjectReader, 'find' | 'list'>,
  { versions, ...kind }: ReadKind,
  namespace?: string,
): Promise<readonly CustomObject[]> {
  const { apiPath, plural, parse } = CUSTOM_RESOURCE_DEFINITIONS;
  const definition = parse(await reader.find(`${apiPath}/${plural}/${kind.plural}.${kind.group}`));
  const version = versions.find((name) => definition?.servedVersions.includes(name));
  if (version === undefined) return [];
  const within = namespace === undefined ? '' : `/namespaces/${namespace}`;
  const objects = await reader.list(`/apis/${kind.group}/${version}${within}/${kind.plural}`);
  const read = customKind(kind, version);
  return objects.flatMap((object) => read.parse(object) ?? []);
}
