import { asList, asObject, asText, isObject, type JsonObject } from '../json.ts';
import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

/** A CustomResourceDefinition: its name is `<plural>.<group>`. */
export type CustomResourceDefinition = Metadata & {
  readonly isEstablished: boolean;
  readonly servedVersions: readonly string[];
  readonly statusVersions: readonly string[]; // whose status is a subresource
};

export const CUSTOM_RESOURCE_DEFINITIONS: ResourceKind<CustomResourceDefinition> = {
  plural: 'customresourcedefinitions',
  apiPath: '/apis/apiextensions.k8s.io/v1',
  isNamespaced: false,
  parse(object) {
    const metadata = parseMetadata(object);
    if (metadata === undefined) return undefined;
    const { spec, status } = asObject(object);
    const conditions = asList(asObject(status)['conditions']).map(asObject);
    const versions = asList(asObject(spec)['versions']).map(asObject);
    const named = (wanted: (version: JsonObject) => boolean): readonly string[] =>
      versions.filter(wanted).flatMap(({ name }) => asText(name) ?? []);
    return {
      ...metadata,
      isEstablished: conditions.some(({ type, status: is }) => type === 'Established' && is === 'True'),
      servedVersions: named(({ served }) => served === true),
      statusVersions: named(({ subresources }) => isObject(asObject(subresources)['status'])),
    };
  },
};
