import { knownModel, modelOfKind, type FieldType } from './builtin-schema.ts';
import { defaultRules, type DefaultRule } from './default-rules.ts';
import { isArray, isObject, setField, type JsonObject, type MutableObject } from './json.ts';
import type { TypeName } from './strict-fields.ts';

/**
 * Fills in what the API's defaulting functions fill in for built-in kinds, everywhere in the object (pod templates inside
 * workloads included). Values that need the cluster's state (cluster IPs, service accounts, tolerations) are not among them.
 *
 * @returns the same object when nothing was missing; kinds that are not built in come back as they are
 */
export function applyDefaults(type: TypeName, object: JsonObject): JsonObject {
  const model = modelOfKind(type.group, type.version, type.kind);
  return model === undefined ? object : defaultedModel(model, object);
}

function defaultedModel(model: string, object: JsonObject): JsonObject {
  const rule: DefaultRule | undefined = Object.hasOwn(defaultRules, model) ? defaultRules[model] : undefined;
  const filled = rule === undefined ? object : rule(object);
  const { fields } = knownModel(model);
  let result: MutableObject | undefined;
  for (const [name, value] of Object.entries(filled)) {
    const type = fields.get(name);
    if (type === undefined) continue;
    const changed = defaultedValue(type, value);
    if (changed === value) continue;
    result ??= { ...filled };
    setField(result, name, changed);
  }
  return result ?? filled;
}

function defaultedValue(type: FieldType, value: unknown): unknown {
  if (type.kind === 'model') return isObject(value) ? defaultedModel(type.model, value) : value;
  if (type.kind === 'list' && isArray(value)) {
    const items = value.map((item) => defaultedValue(type.items, item));
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  if (type.kind !== 'map' || !isObject(value)) return value;
  let result: MutableObject | undefined;
  for (const [key, item] of Object.entries(value)) {
    const changed = defaultedValue(type.values, item);
    if (changed === item) continue;
    result ??= { ...value };
    setField(result, key, changed);
  }
  return result ?? value;
}
