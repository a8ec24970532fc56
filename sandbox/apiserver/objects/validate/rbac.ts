import { goStrings } from '../go-text.ts';
import { asArray, asString, deepEqual, field, fieldAt, objectsIn, type JsonObject } from '../json.ts';
import { dnsSubdomainFaults, pathSegmentFaults } from '../names.ts';
import { notSupported } from '../field-error.ts';
import type { Faults } from './faults.ts';

const group = 'rbac.authorization.k8s.io';

export function validateRole(faults: Faults, role: JsonObject, isNamespaced: boolean): void {
  for (const [index, rule] of objectsIn(field(role, 'rules')).entries())
    checkRule(faults, `rules[${index}]`, rule, isNamespaced);
  const aggregation = field(role, 'aggregationRule');
  if (aggregation === undefined) return;
  const selectors = objectsIn(field(aggregation, 'clusterRoleSelectors'));
  const path = 'aggregationRule.clusterRoleSelectors';
  if (selectors.length === 0)
    faults.required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil');
  for (const [index, selector] of selectors.entries()) faults.labelSelector(`${path}[${index}]`, selector);
}

function checkRule(faults: Faults, path: string, rule: JsonObject, isNamespaced: boolean): void {
  const isEmpty = (name: string): boolean => asArray(field(rule, name)).length === 0;
  if (isEmpty('verbs')) faults.required(`${path}.verbs`, 'verbs must contain at least one value');
  if (!isEmpty('nonResourceURLs')) {
    const printed = goStrings(asArray(field(rule, 'nonResourceURLs')).map(asString));
    const at = `${path}.nonResourceURLs`;
    if (isNamespaced) faults.invalidPrinted(at, printed, 'namespaced rules cannot apply to non-resource URLs');
    if (!isEmpty('apiGroups') || !isEmpty('resources') || !isEmpty('resourceNames')) {
      faults.invalidPrinted(at, printed, 'rules cannot apply to both regular resources and non-resource URLs');
    }
    return;
  }
  if (isEmpty('apiGroups')) faults.required(`${path}.apiGroups`, 'resource rules must supply at least one api group');
  if (isEmpty('resources')) faults.required(`${path}.resources`, 'resource rules must supply at least one resource');
}

export function validateBinding(
  faults: Faults,
  binding: JsonObject,
  old: JsonObject | undefined,
  isNamespaced: boolean,
): void {
  const reference = field(binding, 'roleRef');
  const kinds = isNamespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  const kind = asString(field(reference, 'kind'));
  const apiGroup = asString(field(reference, 'apiGroup'));
  if (apiGroup !== group) faults.add(notSupported('roleRef.apiGroup', apiGroup, [group]));
  if (!kinds.includes(kind)) faults.add(notSupported('roleRef.kind', kind, kinds));
  faults.requiredName('roleRef.name', field(reference, 'name'), pathSegmentFaults);
  for (const [index, subject] of objectsIn(field(binding, 'subjects')).entries()) {
    checkSubject(faults, `subjects[${index}]`, subject, isNamespaced);
  }
  if (old === undefined || deepEqual(reference, field(old, 'roleRef'))) return;
  const name = asString(fieldAt(binding, 'roleRef', 'name'));
  faults.invalidPrinted(
    'roleRef',
    `rbac.RoleRef{APIGroup:"${apiGroup}", Kind:"${kind}", Name:"${name}"}`,
    'cannot change roleRef',
  );
}

function checkSubject(faults: Faults, path: string, subject: JsonObject, isNamespaced: boolean): void {
  const kind = asString(field(subject, 'kind'));
  const name = asString(field(subject, 'name'));
  const apiGroup = asString(field(subject, 'apiGroup'));
  if (name === '') faults.required(`${path}.name`);
  if (kind === 'ServiceAccount') {
    if (name !== '') faults.named(`${path}.name`, name, dnsSubdomainFaults);
    if (apiGroup !== '') faults.add(notSupported(`${path}.apiGroup`, apiGroup, ['']));
    if (!isNamespaced && asString(field(subject, 'namespace')) === '') faults.required(`${path}.namespace`);
  } else if (kind === 'User' || kind === 'Group') {
    if (apiGroup !== group) faults.add(notSupported(`${path}.apiGroup`, apiGroup, [group]));
  } else faults.add(notSupported(`${path}.kind`, kind, ['ServiceAccount', 'User', 'Group']));
}
