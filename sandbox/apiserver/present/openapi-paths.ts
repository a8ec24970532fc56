import type { JsonObject } from '../object.ts';
import type { ResourceType } from '../registry.ts';
import { schemaReference } from './openapi-schema.ts';

/** `/api/v1` or `/apis/<group>/<version>`. */
export function groupVersionPath(type: { readonly group: string; readonly version: string }): string {
  return type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
}

function query(name: string, description: string): JsonObject {
  return { name, in: 'query', description, schema: { type: 'string', uniqueItems: true } };
}

function pathParameter(name: string): JsonObject {
  return { name, in: 'path', required: true, schema: { type: 'string', uniqueItems: true } };
}

/** kubectl reads from `fieldValidation` that the server validates and does not download older schemas for it. */
const writeParameters = [
  query('dryRun', 'All: run every check, persist nothing.'),
  query('fieldManager', 'Name of who makes the change.'),
  query('fieldValidation', 'What to do about unknown and duplicate fields: Ignore, Warn or Strict.'),
];

const listParameters = [
  query('labelSelector', 'Restricts the list to objects with these labels.'),
  query('fieldSelector', 'Restricts the list to objects with these field values.'),
  query('limit', 'Most objects in one answer.'),
  query('continue', 'Where the last answer ended.'),
  query('resourceVersion', 'Version the answer must at least have.'),
  query('watch', 'Watch for changes instead of listing.'),
];

const actions: Readonly<
  Record<string, { readonly method: string; readonly action: string; readonly place: 'list' | 'item' }>
> = {
  list: { method: 'get', action: 'list', place: 'list' },
  create: { method: 'post', action: 'post', place: 'list' },
  deletecollection: { method: 'delete', action: 'deletecollection', place: 'list' },
  get: { method: 'get', action: 'get', place: 'item' },
  update: { method: 'put', action: 'put', place: 'item' },
  patch: { method: 'patch', action: 'patch', place: 'item' },
  delete: { method: 'delete', action: 'delete', place: 'item' },
};

/**
 * The paths of one resource. PATCH lists no media types on purpose: kubectl then takes merge keys of built-in kinds from its
 * own types instead of from these schemas, which do not carry them.
 */
export function resourcePaths(type: ResourceType, schemaName: string): Record<string, JsonObject> {
  const base = groupVersionPath(type);
  const collection = type.isNamespaced ? `${base}/namespaces/{namespace}/${type.plural}` : `${base}/${type.plural}`;
  const parameters = type.isNamespaced ? [pathParameter('namespace')] : [];
  const paths: Record<string, JsonObject> = {};
  const list = operations(type, 'list', schemaName);
  if (Object.keys(list).length > 0) paths[collection] = { ...list, parameters };
  const item = operations(type, 'item', schemaName);
  if (Object.keys(item).length > 0) {
    paths[`${collection}/{name}`] = { ...item, parameters: [pathParameter('name'), ...parameters] };
  }
  if (type.isNamespaced && type.verbs.includes('list')) {
    paths[`${base}/${type.plural}`] = { get: operation(type, 'list', schemaName) };
  }
  return paths;
}

function operations(type: ResourceType, place: 'list' | 'item', schemaName: string): Record<string, JsonObject> {
  const found: Record<string, JsonObject> = {};
  for (const verb of type.verbs) {
    const action = actions[verb];
    if (action?.place === place) found[action.method] = operation(type, verb, schemaName);
  }
  return found;
}

function operation(type: ResourceType, verb: string, schemaName: string): JsonObject {
  const { group, version, kind } = type;
  const content = { 'application/json': { schema: schemaReference(schemaName) } };
  const hasBody = verb === 'create' || verb === 'update';
  const isWrite = hasBody || verb === 'patch';
  return {
    description: `${verb} ${kind}`,
    ...(hasBody ? { requestBody: { required: true, content } } : {}),
    ...(isWrite ? { parameters: writeParameters } : verb === 'list' ? { parameters: listParameters } : {}),
    responses: { '200': { description: 'OK', ...(verb === 'get' || isWrite ? { content } : {}) } },
    'x-kubernetes-action': actions[verb]?.action ?? verb,
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}
