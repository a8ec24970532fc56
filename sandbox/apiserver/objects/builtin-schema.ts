import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

/**
 * Schemas of the built-in kinds, read from the model classes of the Kubernetes client: they are generated from the API's own
 * OpenAPI document. Each class is loaded when it is first asked for, because all of them together cost 35 MB.
 */
export type FieldType =
  | {
      readonly kind:
        | 'string'
        | 'boolean'
        | 'number'
        | 'bytes'
        | 'time'
        | 'micro-time'
        | 'quantity'
        | 'int-or-string'
        | 'any';
    }
  | { readonly kind: 'integer'; readonly bits: 32 | 64 }
  | { readonly kind: 'list'; readonly items: FieldType }
  | { readonly kind: 'map'; readonly values: FieldType }
  | { readonly kind: 'model'; readonly model: string };

/** One struct of the API, such as `V1PodSpec`. Fields are in the order of the source. */
export type ModelSchema = { readonly name: string; readonly fields: ReadonlyMap<string, FieldType> };

/** What people read about a struct. */
export type ModelText = {
  readonly description: string;
  readonly required: readonly string[];
  readonly fields: ReadonlyMap<string, string>; // descriptions by field name
};

type AttributeMap = readonly {
  readonly name: string;
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}[];

const folder = '@kubernetes/client-node/dist/gen/models';
const load = createRequire(import.meta.url);

// Caches of what never changes while the process lives; bounded by the number of model classes.
const models = new Map<string, ModelSchema | undefined>();
const texts = new Map<string, ModelText>();

/** Groups whose kinds are compiled in. A custom resource may have a kind of the same name in its own group. */
const builtinGroups = new Set([
  '',
  'apps',
  'batch',
  'autoscaling',
  'policy',
  'networking.k8s.io',
  'rbac.authorization.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
  'certificates.k8s.io',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'events.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'node.k8s.io',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
  'meta.k8s.io',
]);

/** Kinds whose name two groups share; the model's name then starts with the group. */
const ambiguous: Readonly<Record<string, string>> = {
  '/Event': 'CoreV1Event',
  '/EventList': 'CoreV1EventList',
  'events.k8s.io/Event': 'EventsV1Event',
  'events.k8s.io/EventList': 'EventsV1EventList',
  'authentication.k8s.io/TokenRequest': 'AuthenticationV1TokenRequest',
  'resource.k8s.io/ResourceClaim': 'ResourceV1ResourceClaim',
};

/** Name of the model of a built-in kind; undefined for kinds that are not built in. */
export function modelOfKind(group: string, version: string, kind: string): string | undefined {
  if (!builtinGroups.has(group)) return undefined;
  const key = `${group}/${kind}`;
  const special = version === 'v1' && Object.hasOwn(ambiguous, key) ? ambiguous[key] : undefined;
  const name = special ?? `${version.charAt(0).toUpperCase()}${version.slice(1)}${kind}`;
  return modelSchema(name) === undefined ? undefined : name;
}

/** @returns undefined when there is no such model */
export function modelSchema(name: string): ModelSchema | undefined {
  const known = models.get(name);
  if (known !== undefined) return known;
  if (!/^[A-Z][A-Za-z0-9]{1,80}$/.test(name)) return undefined;
  const attributes = attributesOf(name);
  if (attributes === undefined) return undefined;
  const schema = { name, fields: new Map(attributes.map((item) => [item.baseName, fieldType(name, item)])) };
  models.set(name, schema);
  return schema;
}

/** The model, which must exist because a schema refers to it. */
export function knownModel(name: string): ModelSchema {
  const schema = modelSchema(name);
  if (schema === undefined) throw new Error(`no model class ${name}`);
  return schema;
}

function attributesOf(name: string): AttributeMap | undefined {
  let loaded: unknown;
  try {
    loaded = load(`${folder}/${name}.js`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
  const model = (loaded as Record<string, { getAttributeTypeMap?(): AttributeMap } | undefined>)[name];
  return model?.getAttributeTypeMap?.();
}

function fieldType(model: string, { baseName, type, format }: AttributeMap[number]): FieldType {
  if (quantities.has(`${model}.${baseName}`)) {
    return type.startsWith('{') ? { kind: 'map', values: { kind: 'quantity' } } : { kind: 'quantity' };
  }
  return parseType(type, format);
}

function parseType(type: string, format: string): FieldType {
  const list = /^Array<(.*)>$/.exec(type);
  if (list !== null) return { kind: 'list', items: parseType(list[1] ?? '', format) };
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type);
  if (map !== null) return { kind: 'map', values: parseType(map[1] ?? '', format) };
  switch (type) {
    case 'string':
      return { kind: format === 'byte' ? 'bytes' : 'string' };
    case 'boolean':
      return { kind: 'boolean' };
    case 'number':
      return format === 'int32' || format === 'int64'
        ? { kind: 'integer', bits: format === 'int32' ? 32 : 64 }
        : { kind: 'number' };
    case 'Date':
      return { kind: 'time' };
    case 'V1MicroTime':
      return { kind: 'micro-time' };
    case 'IntOrString':
      return { kind: 'int-or-string' };
    case 'any':
      return { kind: 'any' };
    default:
      return { kind: 'model', model: type };
  }
}

/** Fields that are resource quantities: plain strings to the client, but a number is as good to the server. */
const quantities = new Set([
  'V1ContainerStatus.allocatedResources',
  'V1CSIStorageCapacity.capacity',
  'V1CSIStorageCapacity.maximumVolumeSize',
  'V1EmptyDirVolumeSource.sizeLimit',
  'V1LimitRangeItem._default',
  'V1LimitRangeItem.default',
  'V1LimitRangeItem.defaultRequest',
  'V1LimitRangeItem.max',
  'V1LimitRangeItem.maxLimitRequestRatio',
  'V1LimitRangeItem.min',
  'V1NodeStatus.allocatable',
  'V1NodeStatus.capacity',
  'V1Overhead.podFixed',
  'V1PersistentVolumeClaimStatus.allocatedResources',
  'V1PersistentVolumeClaimStatus.capacity',
  'V1PersistentVolumeSpec.capacity',
  'V1PodSpec.overhead',
  'V1ResourceFieldSelector.divisor',
  'V1ResourceQuotaSpec.hard',
  'V1ResourceQuotaStatus.hard',
  'V1ResourceQuotaStatus.used',
  'V1ResourceRequirements.limits',
  'V1ResourceRequirements.requests',
  'V1VolumeResourceRequirements.limits',
  'V1VolumeResourceRequirements.requests',
  'V2HPAScalingRules.tolerance',
  'V2MetricTarget.averageValue',
  'V2MetricTarget.value',
  'V2MetricValueStatus.averageValue',
  'V2MetricValueStatus.value',
]);

/** Descriptions and required fields, read from the type declarations beside the class; only `explain` and OpenAPI need them. */
export function modelText(name: string): ModelText {
  const known = texts.get(name);
  if (known !== undefined) return known;
  const attributes = attributesOf(name);
  if (attributes === undefined) throw new Error(`no model class ${name}`);
  const source = readFileSync(load.resolve(`${folder}/${name}.d.ts`), 'utf8');
  const text = parseDeclaration(source, new Map(attributes.map((item) => [item.name, item.baseName])));
  texts.set(name, text);
  return text;
}

/** `jsonNames`: name in the API by name of the class property. */
function parseDeclaration(source: string, jsonNames: ReadonlyMap<string, string>): ModelText {
  const parts = /\/\*\*\n((?:(?!\/\*\*)[\s\S])*?)\*\/\s*export declare class \w+ \{([\s\S]*)/.exec(source);
  const [, about = '', body = ''] = parts ?? [];
  const fields = new Map<string, string>();
  const required: string[] = [];
  const property = /(?:\/\*\*\n((?:(?!\*\/)[\s\S])*)\*\/\s*)?^ {4}'([^'\n]+)'(\?)?:/gm;
  for (const [, comment = '', propertyName = '', optional] of body.matchAll(property)) {
    const name = jsonNames.get(propertyName) ?? propertyName;
    fields.set(name, plainText(comment));
    if (optional === undefined) required.push(name);
  }
  return { description: plainText(about), required, fields };
}

function plainText(comment: string): string {
  const lines = comment.split('\n').map((line) => line.replace(/^\s*\* ?/, ''));
  return lines
    .join('\n')
    .trim()
    .replace(/\\(['"`\\])/g, '$1');
}
