import { asList, asObject, asText, isObject, type JsonObject } from '#k8s/json.ts';
import { Patterns } from '#runtime/pattern.ts';
import type { Problem } from '../dialects/problem.ts';
import { CEL_RULES } from './cel-rules.ts';

/** Schemas of one kind by version. Source: `apiextensions.k8s.io/v1`, `spec.versions[].schema.openAPIV3Schema`. */
export type KindSchemas = {
  readonly group: string;
  readonly kind: string;
  readonly versions: ReadonlyMap<string, JsonObject>;
};

/** Reads the definitions of kinds. */
export function schemasOf(definitions: readonly JsonObject[]): readonly KindSchemas[] {
  return definitions.map(({ spec }) => {
    const { group, names, versions } = asObject(spec);
    const served = asList(versions)
      .map(asObject)
      .filter((version) => version['served'] === true)
      .map(({ name, schema }) => [asText(name) ?? '', asObject(asObject(schema)['openAPIV3Schema'])] as const);
    return { group: asText(group) ?? '', kind: asText(asObject(names)['kind']) ?? '', versions: new Map(served) };
  });
}

const PROBLEMS_MAX = 32;
const DEPTH_MAX = 64;
/** The API server reads them as RE2 too; there are about a hundred in the definitions of a mesh. */
const PATTERNS = new Patterns(512);

/** Fields that the API server does not know, and values that it refuses. */
export type SchemaProblems = { readonly unknown: readonly Problem[]; readonly wrong: readonly Problem[] };

/** Compares an object with the schema of its kind, as far as schemas are structural; of rules in CEL those of `CEL_RULES`. */
export function checkSchema(object: JsonObject, schema: JsonObject): SchemaProblems {
  const found = { unknown: [] as Problem[], wrong: [] as Problem[] };
  const { properties } = schema;
  for (const name of asList(schema['required']).map(String)) {
    if (object[name] === undefined) add(found.wrong, name, 'is missing');
  }
  for (const [name, value] of Object.entries(object)) {
    if (['apiVersion', 'kind', 'metadata', 'status'].includes(name)) continue;
    const part = asObject(properties)[name];
    if (part === undefined) add(found.unknown, name, 'is no field of this kind');
    else walk(value, asObject(part), name, found, 0);
  }
  return found;
}

type Found = { readonly unknown: Problem[]; readonly wrong: Problem[] };

function add(list: Problem[], field: string, message: string): void {
  if (list.length < PROBLEMS_MAX) list.push({ field, message });
}

function walk(value: unknown, schema: JsonObject, field: string, found: Found, depth: number): void {
  if (depth > DEPTH_MAX || (value === null && schema['nullable'] === true)) return;
  const problem = valueProblem(value, schema);
  if (problem !== undefined) {
    add(found.wrong, field, problem);
    return;
  }
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      walk(item, asObject(schema['items']), `${field}[${index}]`, found, depth + 1);
    return;
  }
  if (!isObject(value)) return;
  for (const { rule, message } of asList(schema['x-kubernetes-validations']).map(asObject)) {
    const known = CEL_RULES.get(asText(rule) ?? '');
    if (known === undefined || known.holds(value)) continue;
    add(found.wrong, known.field === '' ? field : `${field}.${known.field}`, asText(message) ?? '');
  }
  const properties = asObject(schema['properties']);
  const others = schema['additionalProperties'];
  for (const name of asList(schema['required']).map(String)) {
    // A default is filled in before anything is judged.
    const hasDefault = asObject(properties[name])['default'] !== undefined;
    if (value[name] === undefined && !hasDefault) add(found.wrong, `${field}.${name}`, 'is missing');
  }
  for (const [name, part] of Object.entries(value)) {
    const at = `${field}.${name}`;
    if (properties[name] !== undefined) walk(part, asObject(properties[name]), at, found, depth + 1);
    else if (isObject(others)) walk(part, others, at, found, depth + 1);
    else if (others !== true && schema['x-kubernetes-preserve-unknown-fields'] !== true) {
      add(found.unknown, at, 'is no field of this kind');
    }
  }
}

function valueProblem(value: unknown, schema: JsonObject): string | undefined {
  const shown = JSON.stringify(value);
  const type = asText(schema['type']);
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (typeof value !== 'string' && !Number.isInteger(value)) return `${shown} is neither an integer nor text`;
  } else if (type !== undefined && !isOfType(value, type)) return `${shown} is not of type ${type}`;
  const choices = schema['enum'];
  if (Array.isArray(choices) && !choices.includes(value)) return `${shown}: use one of ${choices.join(', ')}`;
  const { minimum, maximum, minLength, maxLength, pattern, minItems, maxItems } = schema;
  if (typeof value === 'number') {
    if (typeof minimum === 'number' && value < minimum) return `${shown} is less than ${minimum}`;
    if (typeof maximum === 'number' && value > maximum) return `${shown} is more than ${maximum}`;
  }
  if (typeof value === 'string') {
    if (typeof minLength === 'number' && value.length < minLength) return `is shorter than ${minLength} characters`;
    if (typeof maxLength === 'number' && value.length > maxLength) return `is longer than ${maxLength} characters`;
    if (typeof pattern === 'string' && PATTERNS.find(pattern)?.isFoundIn(value) === false)
      return `${shown} does not match ${pattern}`;
  }
  if (Array.isArray(value)) {
    if (typeof minItems === 'number' && value.length < minItems) return `has fewer than ${minItems} items`;
    if (typeof maxItems === 'number' && value.length > maxItems) return `has more than ${maxItems} items`;
  }
  return undefined;
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
