import {
  asArray,
  asObject,
  asString,
  canonical,
  deepEqual,
  field,
  fieldAt,
  objectsIn,
  type JsonObject,
} from '../json.ts';
import { goStrings } from '../go-text.ts';
import { tooLong } from '../field-error.ts';
import { dns1035Faults, dnsLabelFaults, dnsSubdomainFaults, pathSegmentFaults, qualifiedNameFaults } from '../names.ts';
import type { TypeName } from '../strict-fields.ts';
import type { Faults } from './faults.ts';

type NameRule = (name: string) => readonly string[];

/** How objects may be called; everything else is a DNS subdomain. */
const nameRules: Readonly<Record<string, NameRule>> = {
  '/Namespace': dnsLabelFaults,
  '/Service': dns1035Faults,
  'rbac.authorization.k8s.io/Role': pathSegmentFaults,
  'rbac.authorization.k8s.io/ClusterRole': pathSegmentFaults,
  'rbac.authorization.k8s.io/RoleBinding': pathSegmentFaults,
  'rbac.authorization.k8s.io/ClusterRoleBinding': pathSegmentFaults,
  'apiextensions.k8s.io/CustomResourceDefinition': () => [], // must be plural.group, which is checked with the spec
  'apps/StatefulSet': dnsLabelFaults,
};

const annotationBytesMax = 256 * 1024;

export function validateMetadata(faults: Faults, type: TypeName, object: JsonObject, old?: JsonObject): void {
  const metadata = asObject(field(object, 'metadata'));
  if (old === undefined) checkName(faults, type, metadata);
  else checkUpdate(faults, metadata, asObject(field(old, 'metadata')));
  faults.labels('metadata.labels', field(metadata, 'labels'));
  checkAnnotations(faults, 'metadata.annotations', field(metadata, 'annotations'));
  checkOwners(faults, field(metadata, 'ownerReferences'));
  for (const finalizer of asArray(field(metadata, 'finalizers'))) {
    faults.named('metadata.finalizers', asString(finalizer), qualifiedNameFaults);
  }
}

function checkName(faults: Faults, type: TypeName, metadata: JsonObject): void {
  const key = `${type.group}/${type.kind}`;
  const rule = Object.hasOwn(nameRules, key) ? (nameRules[key] ?? dnsSubdomainFaults) : dnsSubdomainFaults;
  const prefix = asString(field(metadata, 'generateName'));
  const name = asString(field(metadata, 'name'));
  if (prefix !== '') {
    for (const fault of rule(withoutTrailingDash(prefix))) faults.invalid('metadata.generateName', prefix, fault);
  }
  if (name === '') faults.required('metadata.name', 'name or generateName is required');
  else faults.named('metadata.name', name, rule);
}

/** A prefix may end in a dash: the generated part follows. */
function withoutTrailingDash(prefix: string): string {
  return prefix.length > 1 && prefix.endsWith('-') ? `${prefix.slice(0, -2)}a` : prefix;
}

export function checkAnnotations(faults: Faults, path: string, annotations: unknown): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(asObject(annotations))) {
    for (const fault of qualifiedNameFaults(key.toLowerCase())) faults.invalid(path, key, fault);
    bytes += Buffer.byteLength(key) + Buffer.byteLength(asString(value));
  }
  if (bytes > annotationBytesMax) faults.add(tooLong(path, annotationBytesMax));
}

function checkOwners(faults: Faults, list: unknown): void {
  const path = 'metadata.ownerReferences';
  let controller: string | undefined;
  for (const owner of objectsIn(list)) {
    for (const [name, what] of [
      ['apiVersion', 'version'],
      ['kind', 'kind'],
      ['name', 'name'],
      ['uid', 'uid'],
    ] as const) {
      if (asString(field(owner, name)) === '') faults.invalid(`${path}.${name}`, '', `${what} must not be empty`);
    }
    if (field(owner, 'controller') !== true) continue;
    const named = `${asString(field(owner, 'kind'))}/${asString(field(owner, 'name'))}`;
    if (controller !== undefined) {
      const text = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${named}`;
      faults.invalidPrinted(path, canonical(list), text);
    }
    controller ??= named;
  }
}

const frozenFields = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

function checkUpdate(faults: Faults, metadata: JsonObject, old: JsonObject): void {
  if (field(old, 'deletionTimestamp') !== undefined) {
    const before = new Set(asArray(field(old, 'finalizers')));
    const added = asArray(field(metadata, 'finalizers'))
      .filter((item) => !before.has(item))
      .map(asString);
    if (added.length > 0) {
      const list = goStrings(added.sort());
      faults.forbidden(
        'metadata.finalizers',
        `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`,
      );
    }
  }
  for (const name of frozenFields) {
    if (!deepEqual(field(metadata, name), field(old, name)))
      faults.invalid(`metadata.${name}`, field(metadata, name) ?? '', 'field is immutable');
  }
}

export function nameOf(object: JsonObject): string {
  return asString(fieldAt(object, 'metadata', 'name'));
}
