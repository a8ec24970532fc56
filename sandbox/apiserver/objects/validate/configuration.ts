import { isIPv4, isIPv6 } from 'node:net';
import { required, tooLong, tooMany } from '../field-error.ts';
import { asArray, asObject, asString, deepEqual, field, fieldAt, objectsIn, type JsonObject } from '../json.ts';
import { configKeyFaults, dnsLabelFaults, dnsSubdomainFaults, wildcardSubdomainFaults } from '../names.ts';
import { repeatedIndexes, type Faults } from './faults.ts';

const bytesMax = 1024 * 1024;

function checkFrozen(faults: Faults, object: JsonObject, old: JsonObject | undefined, names: readonly string[]): void {
  if (old === undefined || field(old, 'immutable') !== true) return;
  if (field(object, 'immutable') !== true) faults.forbidden('immutable', 'field is immutable when `immutable` is set');
  for (const name of names) {
    if (!deepEqual(asObject(field(object, name)), asObject(field(old, name)))) {
      faults.forbidden(name, 'field is immutable when `immutable` is set');
    }
  }
}

/** @returns size of all values */
function checkKeys(faults: Faults, path: string, map: unknown): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(asObject(map))) {
    faults.named(`${path}[${key}]`, key, configKeyFaults);
    bytes += Buffer.byteLength(asString(value));
  }
  return bytes;
}

export function validateConfigMap(faults: Faults, map: JsonObject, old: JsonObject | undefined): void {
  checkFrozen(faults, map, old, ['data', 'binaryData']);
  const bytes =
    checkKeys(faults, 'data', field(map, 'data')) + checkKeys(faults, 'binaryData', field(map, 'binaryData')) * 0.75;
  for (const key of Object.keys(asObject(field(map, 'data')))) {
    if (fieldAt(map, 'binaryData', key) !== undefined)
      faults.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
  }
  if (bytes > bytesMax) faults.add(tooLong('', bytesMax));
}

/** Keys that a type of secret must have. */
const secretKeys: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

export function validateSecret(faults: Faults, secret: JsonObject, old: JsonObject | undefined): void {
  const type = asString(field(secret, 'type'));
  const data = asObject(field(secret, 'data'));
  if (old !== undefined) faults.immutable('type', type, asString(field(old, 'type')));
  checkFrozen(faults, secret, old, ['data']);
  if (checkKeys(faults, 'data', data) * 0.75 > bytesMax) faults.add(tooLong('data', bytesMax));
  for (const key of Object.hasOwn(secretKeys, type) ? (secretKeys[type] ?? []) : []) {
    if (!Object.hasOwn(data, key)) faults.required(`data[${key}]`);
  }
  if (type === 'kubernetes.io/basic-auth' && !Object.hasOwn(data, 'username') && !Object.hasOwn(data, 'password')) {
    faults.add(required('data[username]'), required('data[password]'));
  }
  const account = 'kubernetes.io/service-account.name';
  if (
    type === 'kubernetes.io/service-account-token' &&
    asString(fieldAt(secret, 'metadata', 'annotations', account)) === ''
  ) {
    faults.required(`metadata.annotations[${account}]`);
  }
}

export function validateEndpointSlice(faults: Faults, slice: JsonObject, old: JsonObject | undefined): void {
  const type = asString(field(slice, 'addressType'));
  faults.oneOf('addressType', type, ['FQDN', 'IPv4', 'IPv6']);
  if (old !== undefined) faults.immutable('addressType', type, field(old, 'addressType'));
  const endpoints = objectsIn(field(slice, 'endpoints'));
  const ports = objectsIn(field(slice, 'ports'));
  if (endpoints.length > 1000) faults.add(tooMany('endpoints', endpoints.length, 1000));
  if (ports.length > 20_000) faults.add(tooMany('ports', ports.length, 20_000));
  for (const [index, endpoint] of endpoints.entries()) checkEndpoint(faults, `endpoints[${index}]`, endpoint, type);
  for (const index of repeatedIndexes(ports.map((port) => ({ name: field(port, 'name') ?? '' })))) {
    faults.duplicate(`ports[${index}].name`, field(ports[index], 'name') ?? '');
  }
  for (const [index, port] of ports.entries()) {
    const name = asString(field(port, 'name'));
    if (name !== '') faults.named(`ports[${index}].name`, name, dnsLabelFaults);
    faults.oneOf(`ports[${index}].protocol`, field(port, 'protocol'), ['SCTP', 'TCP', 'UDP']);
  }
}

function checkEndpoint(faults: Faults, path: string, endpoint: JsonObject, type: string): void {
  const addresses = asArray(field(endpoint, 'addresses')).map(asString);
  if (addresses.length === 0) faults.required(`${path}.addresses`, 'must contain at least 1 address');
  if (addresses.length > 100) faults.add(tooMany(`${path}.addresses`, addresses.length, 100));
  for (const [index, address] of addresses.entries()) {
    const at = `${path}.addresses[${index}]`;
    if (type === 'IPv4' && !isIPv4(address)) faults.invalid(at, address, 'must be an IPv4 address');
    if (type === 'IPv6' && !isIPv6(address)) faults.invalid(at, address, 'must be an IPv6 address');
    if (type === 'FQDN') faults.named(at, address, dnsSubdomainFaults);
  }
  const hostname = asString(field(endpoint, 'hostname'));
  if (hostname !== '') faults.named(`${path}.hostname`, hostname, dnsLabelFaults);
}

export function validateDisruptionBudget(faults: Faults, budget: JsonObject): void {
  const spec = asObject(field(budget, 'spec'));
  const limits = ['minAvailable', 'maxUnavailable'];
  if (limits.every((name) => field(spec, name) !== undefined)) {
    faults.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set');
  }
  for (const name of limits) {
    faults.countOrPercent(`spec.${name}`, field(spec, name));
    faults.atMost100Percent(`spec.${name}`, field(spec, name));
  }
  faults.labelSelector('spec.selector', field(spec, 'selector'));
  faults.oneOfOrAbsent('spec.unhealthyPodEvictionPolicy', field(spec, 'unhealthyPodEvictionPolicy'), [
    'AlwaysAllow',
    'IfHealthyBudget',
  ]);
}

export function validateIngress(faults: Faults, ingress: JsonObject): void {
  const spec = asObject(field(ingress, 'spec'));
  const rules = objectsIn(field(spec, 'rules'));
  if (rules.length === 0 && field(spec, 'defaultBackend') === undefined) {
    faults.invalid('spec', '', 'either `defaultBackend` or `rules` must be specified');
  }
  for (const [index, rule] of rules.entries()) {
    const host = asString(field(rule, 'host'));
    if (host !== '')
      faults.named(
        `spec.rules[${index}].host`,
        host,
        host.startsWith('*') ? wildcardSubdomainFaults : dnsSubdomainFaults,
      );
    for (const [pathIndex, path] of objectsIn(fieldAt(rule, 'http', 'paths')).entries()) {
      checkIngressPath(faults, `spec.rules[${index}].http.paths[${pathIndex}]`, path);
    }
  }
}

function checkIngressPath(faults: Faults, at: string, path: JsonObject): void {
  const type = field(path, 'pathType');
  if (type === undefined) faults.required(`${at}.pathType`, 'pathType must be specified');
  faults.oneOfOrAbsent(`${at}.pathType`, type, ['Exact', 'ImplementationSpecific', 'Prefix']);
  const text = asString(field(path, 'path'));
  if (type !== 'ImplementationSpecific' && !text.startsWith('/'))
    faults.invalid(`${at}.path`, text, 'must be an absolute path');
  const service = fieldAt(path, 'backend', 'service');
  if (service === undefined) return;
  if (asString(field(service, 'name')) === '') faults.required(`${at}.backend.service.name`);
  if (fieldAt(service, 'port', 'name') === undefined && fieldAt(service, 'port', 'number') === undefined) {
    faults.required(`${at}.backend.service`, 'port name or number is required');
  }
}

export function validateNetworkPolicy(faults: Faults, policy: JsonObject): void {
  faults.labelSelector('spec.podSelector', fieldAt(policy, 'spec', 'podSelector'));
  for (const [index, type] of asArray(fieldAt(policy, 'spec', 'policyTypes')).entries()) {
    faults.oneOfOrAbsent(`spec.policyTypes[${index}]`, type, ['Egress', 'Ingress']);
  }
}

export function validateLease(faults: Faults, lease: JsonObject): void {
  const spec = asObject(field(lease, 'spec'));
  const seconds = field(spec, 'leaseDurationSeconds');
  if (typeof seconds === 'number' && seconds <= 0)
    faults.invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0');
  const transitions = field(spec, 'leaseTransitions');
  if (typeof transitions === 'number' && transitions < 0) {
    faults.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0');
  }
}

export function validatePriorityClass(faults: Faults, object: JsonObject, old: JsonObject | undefined): void {
  if (old === undefined) return;
  if (field(object, 'value') !== field(old, 'value')) faults.forbidden('value', 'may not be changed in an update.');
}
