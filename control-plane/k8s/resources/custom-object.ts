import { asNumber, asObject, asText, type JsonObject } from '../json.ts';
import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

/** An object of a kind that a CustomResourceDefinition defines. What it says is read, and judged, where it is used. */
export type CustomObject = Metadata & {
  readonly group: string;
  readonly kind: string;
  readonly apiPath: string; // under which it was read
  readonly plural: string;
  readonly generation: number; // of the spec
  readonly createdAt: string; // RFC 3339, so that text compares as time
  readonly resourceVersion: string;
  readonly spec: JsonObject;
  readonly status: JsonObject;
};

/** A kind of custom objects. @param served  version to read */
export function customKind(
  { group, kind, plural }: { readonly group: string; readonly kind: string; readonly plural: string },
  served: string,
): ResourceKind<CustomObject> {
  const apiPath = `/apis/${group}/${served}`;
  return {
    plural: `${plural}.${group}`,
    resource: plural,
    apiPath,
    isNamespaced: true,
    parse(object) {
      const metadata = parseMetadata(object);
      if (metadata === undefined) return undefined;
      const { metadata: fields, spec, status } = asObject(object);
      const { generation, creationTimestamp, resourceVersion } = asObject(fields);
      return {
        ...metadata,
        group,
        kind,
        apiPath,
        plural,
        generation: asNumber(generation) ?? 0,
        createdAt: asText(creationTimestamp) ?? '',
        resourceVersion: asText(resourceVersion) ?? '',
        spec: asObject(spec),
        status: asObject(status),
      };
    },
  };
}
