import type { JsonObject, KubeObject } from '../object.ts';

/** Version of group meta.k8s.io that the client asked for. */
export type MetaVersion = 'v1' | 'v1beta1';

/** Source: meta.k8s.io `ListMeta`, as far as lists have it. */
export type ListMetadata = {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
};

/** The object without everything but its metadata. Source: meta.k8s.io `PartialObjectMetadata`. */
export function partialMetadata(object: KubeObject, version: MetaVersion = 'v1'): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata };
}

/** Source: meta.k8s.io `PartialObjectMetadataList`. */
export function partialMetadataList(
  objects: readonly KubeObject[],
  metadata: ListMetadata,
  version: MetaVersion = 'v1',
): JsonObject {
  return {
    kind: 'PartialObjectMetadataList',
    apiVersion: `meta.k8s.io/${version}`,
    metadata,
    items: objects.map((object) => partialMetadata(object, version)),
  };
}
