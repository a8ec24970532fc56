import { isIP } from 'node:net';
import { asArray, asObject, asString, deepEqual, field, objectsIn, type JsonObject } from '../json.ts';
import { dnsLabelFaults, dnsSubdomainFaults, portNumberFaults, qualifiedNameFaults } from '../names.ts';
import { isCidr } from '../schema-formats.ts';
import { repeatedIndexes, type Faults } from './faults.ts';
import { checkPortNumberOrName } from './probe.ts';

export function validateService(faults: Faults, service: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(service, 'spec'));
  const type = asString(field(spec, 'type'));
  if (old !== undefined) checkAddressesKept(faults, spec, asObject(field(old, 'spec')));
  const ports = objectsIn(field(spec, 'ports'));
  const isHeadless = field(spec, 'clusterIP') === 'None';
  if (ports.length === 0 && !isHeadless && type !== 'ExternalName') faults.required('spec.ports');
  if (isHeadless && (type === 'LoadBalancer' || type === 'NodePort')) {
    faults.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`);
  }
  if (type === 'ExternalName') checkExternalName(faults, spec);
  checkPorts(faults, ports, type);
  faults.labels('spec.selector', field(spec, 'selector'));
  faults.oneOf('spec.sessionAffinity', field(spec, 'sessionAffinity'), ['ClientIP', 'None']);
  faults.oneOf('spec.type', type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']);
  checkAddresses(faults, spec, type);
  checkPolicies(faults, spec, type);
}

/** Addresses stay what they were, unless the service is or becomes an ExternalName. */
function checkAddressesKept(faults: Faults, spec: JsonObject, old: JsonObject): void {
  if (field(spec, 'type') === 'ExternalName' || field(old, 'type') === 'ExternalName') return;
  const before = asArray(field(old, 'clusterIPs'));
  const now = asArray(field(spec, 'clusterIPs'));
  if (before.length > 0 && !deepEqual(before[0], now[0])) {
    faults.invalid('spec.clusterIPs[0]', now[0] ?? '', 'may not change once set');
  }
  if (asString(field(old, 'clusterIP')) !== '' && field(old, 'clusterIP') !== field(spec, 'clusterIP')) {
    faults.invalid('spec.clusterIP', field(spec, 'clusterIP') ?? '', 'field is immutable');
  }
}

function checkExternalName(faults: Faults, spec: JsonObject): void {
  for (const name of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) {
    if (field(spec, name) !== undefined) faults.forbidden(`spec.${name}`, 'may not be set for ExternalName services');
  }
  faults.requiredName(
    'spec.externalName',
    asString(field(spec, 'externalName')).replace(/\.$/, ''),
    dnsSubdomainFaults,
  );
}

function checkPorts(faults: Faults, ports: readonly JsonObject[], type: string): void {
  for (const [index, port] of ports.entries()) {
    const at = `spec.ports[${index}]`;
    const name = asString(field(port, 'name'));
    if (name !== '') faults.named(`${at}.name`, name, dnsLabelFaults);
    else if (ports.length > 1) faults.required(`${at}.name`);
    for (const fault of portNumberFaults(Number(field(port, 'port') ?? 0)))
      faults.invalid(`${at}.port`, field(port, 'port') ?? 0, fault);
    faults.oneOf(`${at}.protocol`, field(port, 'protocol'), ['SCTP', 'TCP', 'UDP']);
    checkPortNumberOrName(faults, `${at}.targetPort`, field(port, 'targetPort'));
    const protocol = asString(field(port, 'appProtocol'));
    if (protocol !== '') faults.named(`${at}.appProtocol`, protocol, qualifiedNameFaults);
    if (type === 'ClusterIP' && Number(field(port, 'nodePort') ?? 0) !== 0) {
      faults.forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'");
    }
  }
  for (const index of repeatedIndexes(ports.map((port) => field(port, 'name')))) {
    faults.duplicate(`spec.ports[${index}].name`, field(ports[index], 'name'));
  }
  for (const index of repeatedIndexes(
    ports.map((port) => ({ port: field(port, 'port'), protocol: field(port, 'protocol') })),
  )) {
    const { port, protocol } = ports[index] ?? {};
    faults.duplicate(`spec.ports[${index}]`, { protocol, port });
  }
  for (const index of repeatedIndexes(ports.map((port) => nodePortKey(port)))) {
    faults.duplicate(`spec.ports[${index}].nodePort`, field(ports[index], 'nodePort'));
  }
}

function nodePortKey(port: JsonObject): unknown {
  const number = field(port, 'nodePort') ?? 0;
  return number === 0 ? '' : { number, protocol: field(port, 'protocol') };
}

function checkAddresses(faults: Faults, spec: JsonObject, type: string): void {
  for (const [index, address] of asArray(field(spec, 'clusterIPs')).map(asString).entries()) {
    if (address !== 'None' && isIP(address) === 0) faults.invalid(`spec.clusterIPs[${index}]`, address, invalidAddress);
  }
  for (const [index, address] of asArray(field(spec, 'externalIPs')).map(asString).entries()) {
    if (isIP(address) === 0) faults.invalid(`spec.externalIPs[${index}]`, address, invalidAddress);
  }
  for (const [index, range] of asArray(field(spec, 'loadBalancerSourceRanges')).map(asString).entries()) {
    if (!isCidr(range.trim()))
      faults.invalid(
        `spec.LoadBalancerSourceRanges[${index}]`,
        range,
        'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      );
  }
  if (type !== 'LoadBalancer' && asArray(field(spec, 'loadBalancerSourceRanges')).length > 0) {
    faults.forbidden('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'");
  }
}

const invalidAddress = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

function checkPolicies(faults: Faults, spec: JsonObject, type: string): void {
  const isExternal =
    type === 'LoadBalancer' ||
    type === 'NodePort' ||
    (type === 'ClusterIP' && asArray(field(spec, 'externalIPs')).length > 0);
  const external = asString(field(spec, 'externalTrafficPolicy'));
  if (isExternal) faults.oneOf('spec.externalTrafficPolicy', external, ['Cluster', 'Local']);
  else if (external !== '') {
    faults.invalid('spec.externalTrafficPolicy', external, 'may only be set for externally-accessible services');
  }
  if (type !== 'ExternalName')
    faults.oneOf('spec.internalTrafficPolicy', field(spec, 'internalTrafficPolicy'), ['Cluster', 'Local']);
  if (type !== 'LoadBalancer' && field(spec, 'allocateLoadBalancerNodePorts') !== undefined) {
    faults.forbidden('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'");
  }
}
