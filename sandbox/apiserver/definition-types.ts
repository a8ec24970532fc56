import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { compareVersions } from './present/version-order.ts';
import type { CustomResource, PrinterColumn, ResourceType, Subresource } from './registry.ts';

const STORED_VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const;
const SUBRESOURCE_VERBS = ['get', 'patch', 'update'] as const;
const ANYTHING = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** Names of a definition, as accepted. Source: apiextensions.k8s.io/v1 `CustomResourceDefinitionNames`. */
export type DefinitionNames = {
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
};

export function namesOf(definition: KubeObject): DefinitionNames {
  const names = object(object(definition['spec'])['names']);
  const kind = text(names['kind']);
  return {
    plural: text(names['plural']),
    singular: text(names['singular']) || kind.toLowerCase(),
    kind,
    listKind: text(names['listKind']) || `${kind}List`,
    shortNames: strings(names['shortNames']),
    categories: strings(names['categories']),
  };
}

export function groupOf(definition: KubeObject): string {
  return text(object(definition['spec'])['group']);
}

/** The served versions of a definition as resources, the preferred version first. */
export function typesOf(definition: KubeObject): readonly ResourceType[] {
  return versionsOf(definition, (version) => version['served'] === true);
}

/** The version in which objects are stored, also when nobody can ask for it. */
export function storageTypeOf(definition: KubeObject): ResourceType | undefined {
  return versionsOf(definition, (version) => version['storage'] === true)[0];
}

function versionsOf(definition: KubeObject, isWanted: (version: JsonObject) => boolean): readonly ResourceType[] {
  const versions = objects(object(definition['spec'])['versions']);
  const storage = object(versions.find((version) => version['storage'] === true));
  return versions
    .filter(isWanted)
    .map((version) => typeOf(definition, version, storage))
    .sort((a, b) => compareVersions(a.version, b.version));
}

function typeOf(definition: KubeObject, version: JsonObject, storage: JsonObject): ResourceType {
  const names = namesOf(definition);
  const group = groupOf(definition);
  const { status, scale } = object(version['subresources']);
  const subresources: Subresource[] = [];
  const name = text(version['name']);
  if (isJsonObject(scale)) {
    subresources.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: SUBRESOURCE_VERBS });
  }
  if (isJsonObject(status)) {
    subresources.push({ name: 'status', group, version: name, kind: names.kind, verbs: SUBRESOURCE_VERBS });
  }
  return {
    group,
    version: name,
    ...names,
    isNamespaced: object(definition['spec'])['scope'] !== 'Cluster',
    hasStatus: isJsonObject(status),
    hasScale: isJsonObject(scale),
    hasGeneration: true,
    subresources,
    verbs: STORED_VERBS,
    custom: customOf(definition, version, storage),
  };
}

function customOf(definition: KubeObject, version: JsonObject, storage: JsonObject): CustomResource {
  const scale = object(version['subresources'])['scale'];
  const warning = warningOf(definition, version);
  return {
    definition: definition.metadata.name,
    storageVersion: text(storage['name']),
    storageSchema: schemaOf(storage),
    schema: schemaOf(version),
    printerColumns: objects(version['additionalPrinterColumns']).map(columnOf),
    selectableFields: objects(version['selectableFields']).map((field) => text(field['jsonPath'])),
    ...(isJsonObject(scale) ? { scale: scaleOf(scale) } : {}),
    ...(warning === undefined ? {} : { warning }),
  };
}

function schemaOf(version: JsonObject): JsonObject {
  const schema = object(version['schema'])['openAPIV3Schema'];
  return isJsonObject(schema) ? schema : ANYTHING;
}

function warningOf(definition: KubeObject, version: JsonObject): string | undefined {
  if (version['deprecated'] !== true) return undefined;
  const name = `${groupOf(definition)}/${text(version['name'])} ${namesOf(definition).kind}`;
  return text(version['deprecationWarning']) || `${name} is deprecated`;
}

function scaleOf(scale: JsonObject): NonNullable<CustomResource['scale']> {
  const labelSelectorPath = text(scale['labelSelectorPath']);
  return {
    specReplicasPath: text(scale['specReplicasPath']),
    statusReplicasPath: text(scale['statusReplicasPath']),
    ...(labelSelectorPath === '' ? {} : { labelSelectorPath }),
  };
}

function columnOf(column: JsonObject): PrinterColumn {
  const { priority } = column;
  return {
    name: text(column['name']),
    type: text(column['type']),
    jsonPath: text(column['jsonPath']),
    ...(typeof column['format'] === 'string' ? { format: column['format'] } : {}),
    ...(typeof column['description'] === 'string' ? { description: column['description'] } : {}),
    ...(typeof priority === 'number' ? { priority } : {}),
  };
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

function objects(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
