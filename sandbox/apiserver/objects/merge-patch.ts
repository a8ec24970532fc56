import { badRequest } from '../status-error.ts';
import { copyOf, field, isArray, isObject, setField, type JsonObject } from './json.ts';

/**
 * Applies a JSON merge patch (RFC 7386): null deletes, objects merge, anything else (lists too) replaces.
 *
 * @throws StatusError 400 when the patch is no object: a Kubernetes object cannot become one
 */
export function applyMergePatch(document: JsonObject, patch: unknown): JsonObject {
  if (!isObject(patch)) {
    const found = isArray(patch) ? 'array' : typeof patch;
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${found} into Go value of type map[string]interface {}`,
    );
  }
  return merge(document, patch);
}

function merge(target: unknown, patch: JsonObject): JsonObject {
  const result = isObject(target) ? copyOf(target) : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setField(result, key, isObject(value) ? merge(field(result, key), value) : value);
  }
  return result;
}
