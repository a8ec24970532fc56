import { CUSTOM_RESOURCE_DEFINITIONS } from '#k8s/resources/custom-resource-definition.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';

/** How objects are got from an API server; paths are absolute. */
export type ObjectReader = {
  /** The object, or undefined when it does not exist. */
  readonly find: (path: string) => Promise<unknown>;
  readonly list: (path: string) => Promise<readonly unknown[]>;
};

/** A kind that may or may not be defined in a cluster. */
export type ReadKind = {
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  readonly versions: readonly string[]; // that can be read, the preferred one first
};

/** All objects of a kind; none when the cluster does not serve a version that we read. */
export async function listKind(
  reader: ObjectReader,
  { versions, ...kind }: ReadKind,
  namespace?: string,
): Promise<readonly CustomObject[]> {
  const { apiPath, plural, parse } = CUSTOM_RESOURCE_DEFINITIONS;
  const definition = parse(await reader.find(`${apiPath}/${plural}/${kind.plural}.${kind.group}`));
  const version = versions.find((name) => definition?.servedVersions.includes(name));
  if (version === undefined) return [];
  const objects = await reader.list(listPath(`/apis/${kind.group}/${version}`, kind.plural, namespace));
  const read = customKind(kind, version);
  return objects.flatMap((object) => read.parse(object) ?? []);
}

/** @param namespace  absent: all */
export function listPath(apiPath: string, plural: string, namespace: string | undefined): string {
  return namespace === undefined ? `${apiPath}/${plural}` : `${apiPath}/namespaces/${namespace}/${plural}`;
}
