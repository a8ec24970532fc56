import { fieldNames, parsePath } from '../jsonpath.ts';
import {
  asArray,
  asObject,
  asString,
  canonical,
  deepEqual,
  field,
  fieldAt,
  isObject,
  objectsIn,
  type JsonObject,
} from '../json.ts';
import { dns1035Faults, dnsSubdomainFaults } from '../names.ts';
import type { Faults } from './faults.ts';
import { checkSchema } from './schema-structure.ts';

/** Checks a CustomResourceDefinition. */
export function validateDefinition(faults: Faults, definition: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(definition, 'spec'));
  const names = asObject(field(spec, 'names'));
  const group = asString(field(spec, 'group'));
  const name = asString(fieldAt(definition, 'metadata', 'name'));
  if (name !== `${asString(field(names, 'plural'))}.${group}`) {
    faults.invalid('metadata.name', name, 'must be spec.names.plural+"."+spec.group');
  }
  checkApproval(faults, group, definition, old);
  checkGroup(faults, group);
  faults.oneOf('spec.scope', field(spec, 'scope'), ['Cluster', 'Namespaced']);
  checkNames(faults, names);
  checkVersions(faults, spec);
  checkConversion(faults, asObject(field(spec, 'conversion')));
  if (field(spec, 'preserveUnknownFields') === true) {
    const text =
      'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead';
    faults.invalid('spec.preserveUnknownFields', true, text);
  }
  if (old === undefined) return;
  checkStoredVersions(faults, definition);
  for (const path of [['scope'], ['group'], ['names', 'kind'], ['names', 'plural']]) {
    faults.immutable(`spec.${path.join('.')}`, fieldAt(spec, ...path), fieldAt(old, 'spec', ...path));
  }
}

const approval = 'api-approved.kubernetes.io';

/** Groups of the Kubernetes project itself need a note that they were reviewed. */
function checkApproval(faults: Faults, group: string, definition: JsonObject, old: JsonObject | undefined): void {
  const isProtected = ['k8s.io', 'kubernetes.io'].some((domain) => group === domain || group.endsWith(`.${domain}`));
  const annotation = asString(fieldAt(definition, 'metadata', 'annotations', approval));
  if (!isProtected || annotation.startsWith('unapproved')) return;
  if (old !== undefined && annotation === asString(fieldAt(old, 'metadata', 'annotations', approval))) return;
  const path = `metadata.annotations[${approval}]`;
  const see = 'see https://github.com/kubernetes/enhancements/pull/1111';
  if (annotation === '') faults.required(path, `protected groups must have approval annotation "${approval}", ${see}`);
  else if (!/^\w+:\/\/./.test(annotation)) {
    const text = `protected groups must have approval annotation "${approval}" with either a URL or a reason starting with "unapproved", ${see}`;
    faults.invalid(path, annotation, text);
  }
}

function checkGroup(faults: Faults, group: string): void {
  const complaints = dnsSubdomainFaults(group);
  if (group === '') faults.required('spec.group');
  else if (complaints.length > 0) faults.invalid('spec.group', group, complaints.join(','));
  else if (!group.includes('.')) faults.invalid('spec.group', group, 'should be a domain with at least one dot');
}

function checkLabel(faults: Faults, path: string, value: string, prefix = ''): void {
  const complaints = dns1035Faults(prefix === '' ? value : value.toLowerCase());
  if (value !== '' && complaints.length > 0) faults.invalid(path, value, `${prefix}${complaints.join(',')}`);
}

function checkNames(faults: Faults, names: JsonObject): void {
  const mixed = 'may have mixed case, but should otherwise match: ';
  for (const name of ['plural', 'singular', 'kind', 'listKind']) {
    const value = asString(field(names, name));
    if (value === '') faults.required(`spec.names.${name}`);
    checkLabel(faults, `spec.names.${name}`, value, name.toLowerCase().endsWith('kind') ? mixed : '');
  }
  for (const list of ['shortNames', 'categories']) {
    for (const [index, item] of asArray(field(names, list)).entries())
      checkLabel(faults, `spec.names.${list}[${index}]`, asString(item));
  }
  const kind = asString(field(names, 'kind'));
  if (kind !== '' && kind === field(names, 'listKind'))
    faults.invalid('spec.names.listKind', kind, 'kind and listKind may not be the same');
}

function checkVersions(faults: Faults, spec: JsonObject): void {
  const versions = objectsIn(field(spec, 'versions'));
  const printed = canonical(
    versions.map((version) => ({
      name: field(version, 'name'),
      served: field(version, 'served'),
      storage: field(version, 'storage'),
    })),
  );
  const names = versions.map((version) => asString(field(version, 'name')));
  if (new Set(names).size < names.length)
    faults.invalidPrinted('spec.versions', printed, 'must contain unique version names');
  if (versions.filter((version) => field(version, 'storage') === true).length !== 1) {
    faults.invalidPrinted('spec.versions', printed, 'must have exactly one version marked as storage version');
  }
  for (const [index, version] of versions.entries()) {
    const path = `spec.versions[${index}]`;
    const complaints = dns1035Faults(names[index] ?? '');
    if (complaints.length > 0) faults.invalid(`${path}.name`, names[index], complaints.join(','));
    checkVersion(faults, path, version, versions.length === 1 ? 'spec.validation' : `${path}.schema`);
  }
}

/** @param schemaPath  where faults of the schema are reported; the API server moves the schema of an only version to the top */
function checkVersion(faults: Faults, path: string, version: JsonObject, schemaPath: string): void {
  const schema = fieldAt(version, 'schema', 'openAPIV3Schema');
  if (isObject(schema)) checkSchema(faults, `${schemaPath}.openAPIV3Schema`, schema);
  else faults.required(`${path}.schema.openAPIV3Schema`, 'schemas are required');
  const warning = field(version, 'deprecationWarning');
  if (warning !== undefined && field(version, 'deprecated') !== true) {
    faults.invalid(`${path}.deprecationWarning`, warning, 'can only be set for deprecated versions');
  }
  checkScale(faults, `${path}.subresources`, fieldAt(version, 'subresources', 'scale'));
  for (const [index, column] of objectsIn(field(version, 'additionalPrinterColumns')).entries()) {
    checkColumn(faults, `${path}.additionalPrinterColumns[${index}]`, column);
  }
  for (const [index, selectable] of objectsIn(field(version, 'selectableFields')).entries()) {
    const jsonPath = asString(field(selectable, 'jsonPath'));
    if (jsonPath === '') faults.required(`${path}.selectableFields[${index}].jsonPath`);
    else if (namesOf(jsonPath) === undefined) {
      faults.invalid(`${path}.selectableFields[${index}].jsonPath`, jsonPath, 'is an invalid path');
    }
  }
}

function namesOf(path: string): readonly string[] | undefined {
  try {
    return path.startsWith('.') ? fieldNames(path) : undefined;
  } catch {
    return undefined;
  }
}

function checkScale(faults: Faults, path: string, scale: unknown): void {
  if (scale === undefined) return;
  const rules = [
    ['specReplicasPath', ['spec'], 'should be a json path under .spec'],
    ['statusReplicasPath', ['status'], 'should be a json path under .status'],
    ['labelSelectorPath', ['spec', 'status'], 'should be a json path under either .spec or .status'],
  ] as const;
  for (const [name, roots, text] of rules) {
    const value = asString(field(scale, name));
    const at = `${path}.scale.${name}`;
    if (value === '') {
      if (name !== 'labelSelectorPath') faults.required(at);
      continue;
    }
    const names = namesOf(value);
    if (!value.startsWith('.')) faults.invalid(at, value, 'must be a simple json path starting with .');
    else if (names === undefined) faults.invalid(at, value, 'must be a json path in the dot notation');
    else if (names.length < 2 || !roots.some((root) => root === names[0])) faults.invalid(at, value, text);
  }
}

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string'];
const columnFormats = ['binary', 'byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function checkColumn(faults: Faults, path: string, column: JsonObject): void {
  const [name, type, format, jsonPath] = ['name', 'type', 'format', 'jsonPath'].map((key) =>
    asString(field(column, key)),
  );
  if (name === '') faults.required(`${path}.name`);
  if (type === '') faults.required(`${path}.type`, `must be one of ${columnTypes.join(',')}`);
  else if (!columnTypes.includes(type ?? ''))
    faults.invalid(`${path}.type`, type, `must be one of ${columnTypes.join(',')}`);
  if (format !== '' && !columnFormats.includes(format ?? ''))
    faults.invalid(`${path}.format`, format, `must be one of ${columnFormats.join(',')}`);
  if (jsonPath === undefined || jsonPath === '') faults.required(`${path}.JSONPath`);
  else if (!jsonPath.startsWith('.'))
    faults.invalid(`${path}.JSONPath`, jsonPath, 'must be a simple json path starting with .');
  else {
    try {
      parsePath(jsonPath);
    } catch (error) {
      faults.invalid(`${path}.JSONPath`, jsonPath, error instanceof Error ? error.message : 'is no path');
    }
  }
}

function checkConversion(faults: Faults, conversion: JsonObject): void {
  const strategy = field(conversion, 'strategy');
  faults.oneOf('spec.conversion.strategy', strategy, ['None', 'Webhook']);
  const webhook = field(conversion, 'webhook');
  if (strategy === 'Webhook' && webhook === undefined) {
    faults.required('spec.conversion.webhookClientConfig', 'required when strategy is set to Webhook');
  } else if (strategy === 'None' && webhook !== undefined && !deepEqual(webhook, {})) {
    faults.forbidden('spec.conversion.webhookClientConfig', 'should not be set when strategy is not set to Webhook');
  }
}

function checkStoredVersions(faults: Faults, definition: JsonObject): void {
  const versions = objectsIn(fieldAt(definition, 'spec', 'versions')).map((version) =>
    asString(field(version, 'name')),
  );
  for (const [index, stored] of asArray(fieldAt(definition, 'status', 'storedVersions'))
    .map(asString)
    .entries()) {
    if (versions.includes(stored)) continue;
    const text = `missing from spec.versions; ${stored} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${stored} and removes ${stored} from status.storedVersions`;
    faults.invalid(`status.storedVersions[${index}]`, stored, text);
  }
}
