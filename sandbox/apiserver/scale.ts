import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { fieldNames, parsePath, valuesAt } from './objects/jsonpath.ts';
import { labelSelectorOf, printLabelSelector } from './objects/selectors.ts';
import type { ResourceType } from './registry.ts';
import { badRequest, invalid, unknownResource } from './status-error.ts';

const SPEC_REPLICAS = '.spec.replicas';
const STATUS_REPLICAS = '.status.replicas';

/** The subresource scale of an object. Source: autoscaling/v1 `Scale`. */
export function toScale(type: ResourceType, object: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const { specReplicasPath = SPEC_REPLICAS, statusReplicasPath = STATUS_REPLICAS } = type.custom?.scale ?? {};
  const selector = selectorText(type, object);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
    spec: { replicas: numberAt(specReplicasPath, object) },
    status: { replicas: numberAt(statusReplicasPath, object), ...(selector === '' ? {} : { selector }) },
  };
}

/**
 * The object with the replicas of a Scale.
 *
 * @throws StatusError 422 when the number is not one
 */
export function withScale(type: ResourceType, object: KubeObject, scale: JsonObject): JsonObject {
  const spec = isJsonObject(scale['spec']) ? scale['spec'] : {};
  const replicas = spec['replicas'] ?? 0;
  const { name } = object.metadata;
  if (typeof replicas !== 'number' || !Number.isSafeInteger(replicas)) {
    throw badRequest(`Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an integer`);
  }
  if (replicas < 0) {
    const message = `Invalid value: ${replicas}: must be greater than or equal to 0`;
    throw invalid({ group: 'autoscaling', plural: 'scales', kind: 'Scale' }, name, [
      { reason: 'FieldValueInvalid', message, field: 'spec.replicas' },
    ]);
  }
  const path = fieldNames(type.custom?.scale?.specReplicasPath ?? SPEC_REPLICAS);
  if (path === undefined) throw unknownResource();
  const metadata = isJsonObject(scale['metadata']) ? scale['metadata'] : {};
  const { resourceVersion = '', uid = '' } = metadata;
  const pinned = { ...object.metadata, resourceVersion, uid: uid === '' ? object.metadata.uid : uid };
  return { ...setAt(object, path, replicas), metadata: pinned };
}

function setAt(object: JsonObject, path: readonly string[], value: unknown): JsonObject {
  const [field, ...rest] = path;
  if (field === undefined) return object;
  const inner = isJsonObject(object[field]) ? object[field] : {};
  return { ...object, [field]: rest.length === 0 ? value : setAt(inner, rest, value) };
}

function numberAt(path: string, object: KubeObject): number {
  const [value] = valuesAt(parsePath(path), object);
  return typeof value === 'number' ? value : 0;
}

function selectorText(type: ResourceType, object: KubeObject): string {
  if (type.custom === undefined) {
    const spec = isJsonObject(object['spec']) ? object['spec'] : {};
    return printLabelSelector(labelSelectorOf(spec['selector']));
  }
  const path = type.custom.scale?.labelSelectorPath;
  const [value] = path === undefined ? [] : valuesAt(parsePath(path), object);
  return typeof value === 'string' ? value : '';
}
