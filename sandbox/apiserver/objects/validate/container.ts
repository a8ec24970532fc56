import { asArray, asObject, asString, field, fieldAt, isObject, objectsIn, type JsonObject } from '../json.ts';
import {
  configKeyFaults,
  dnsLabelFaults,
  dnsSubdomainFaults,
  envNameFaults,
  portNameFaults,
  portNumberFaults,
} from '../names.ts';
import { quantityOf } from '../quantity.ts';
import type { Faults } from './faults.ts';
import { checkLifecycle, checkProbe } from './probe.ts';
import { checkMounts } from './volumes.ts';

const probes = ['livenessProbe', 'readinessProbe', 'startupProbe'];

export function checkContainers(faults: Faults, path: string, list: unknown, volumes: ReadonlySet<string>): void {
  const containers = objectsIn(list);
  if (containers.length === 0) faults.required(path);
  const names = new Set<string>();
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    checkContainer(faults, at, container, volumes);
    checkUniqueName(faults, at, container, names);
    checkRunning(faults, at, container);
    if (field(container, 'restartPolicy') !== undefined)
      faults.forbidden(`${at}.restartPolicy`, 'may not be set for non-init containers');
  }
  checkHostPorts(faults, path, containers);
}

/** @param regular  the pod's other containers, whose names are taken */
export function checkInitContainers(
  faults: Faults,
  path: string,
  list: unknown,
  regular: unknown,
  volumes: ReadonlySet<string>,
): void {
  const names = new Set(objectsIn(regular).map((container) => asString(field(container, 'name'))));
  for (const [index, container] of objectsIn(list).entries()) {
    const at = `${path}[${index}]`;
    checkContainer(faults, at, container, volumes);
    const policy = field(container, 'restartPolicy');
    if (policy !== undefined) faults.oneOfOrAbsent(`${at}.restartPolicy`, policy, ['Always']);
    checkUniqueName(faults, at, container, names);
    checkHostPorts(faults, path, [container]);
    if (policy === 'Always') checkRunning(faults, at, container);
    else checkNothingForRunning(faults, at, container);
  }
}

function checkUniqueName(faults: Faults, path: string, container: JsonObject, names: Set<string>): void {
  const name = asString(field(container, 'name'));
  if (name !== '' && names.has(name)) faults.duplicate(`${path}.name`, name);
  names.add(name);
}

function checkRunning(faults: Faults, path: string, container: JsonObject): void {
  checkLifecycle(faults, `${path}.lifecycle`, field(container, 'lifecycle'));
  for (const probe of probes) checkProbe(faults, `${path}.${probe}`, probe, field(container, probe));
}

function checkNothingForRunning(faults: Faults, path: string, container: JsonObject): void {
  for (const name of ['lifecycle', ...probes]) {
    if (field(container, name) === undefined) continue;
    faults.forbidden(`${path}.${name}`, 'may not be set for init containers without restartPolicy=Always');
  }
}

function checkContainer(faults: Faults, path: string, container: JsonObject, volumes: ReadonlySet<string>): void {
  faults.requiredName(`${path}.name`, field(container, 'name'), dnsLabelFaults);
  if (asString(field(container, 'image')) === '') faults.required(`${path}.image`);
  faults.oneOf(`${path}.terminationMessagePolicy`, field(container, 'terminationMessagePolicy'), [
    'File',
    'FallbackToLogsOnError',
  ]);
  checkPorts(faults, `${path}.ports`, field(container, 'ports'));
  checkEnvironment(faults, `${path}.env`, field(container, 'env'));
  checkEnvironmentSources(faults, `${path}.envFrom`, field(container, 'envFrom'));
  checkMounts(faults, `${path}.volumeMounts`, field(container, 'volumeMounts'), volumes);
  faults.oneOf(`${path}.imagePullPolicy`, field(container, 'imagePullPolicy'), ['Always', 'IfNotPresent', 'Never']);
  checkResources(faults, `${path}.resources`, field(container, 'resources'));
  checkSecurity(faults, `${path}.securityContext`, field(container, 'securityContext'));
}

function checkPorts(faults: Faults, path: string, list: unknown): void {
  const names = new Set<string>();
  for (const [index, port] of objectsIn(list).entries()) {
    const at = `${path}[${index}]`;
    const name = asString(field(port, 'name'));
    const complaints = name === '' ? [] : portNameFaults(name);
    for (const fault of complaints) faults.invalid(`${at}.name`, name, fault);
    if (complaints.length === 0 && name !== '' && names.has(name)) faults.duplicate(`${at}.name`, name);
    names.add(name);
    const number = field(port, 'containerPort') ?? 0;
    if (number === 0) faults.required(`${at}.containerPort`);
    else for (const fault of portNumberFaults(Number(number))) faults.invalid(`${at}.containerPort`, number, fault);
    const host = field(port, 'hostPort') ?? 0;
    if (host !== 0) for (const fault of portNumberFaults(Number(host))) faults.invalid(`${at}.hostPort`, host, fault);
    faults.oneOf(`${at}.protocol`, field(port, 'protocol'), ['SCTP', 'TCP', 'UDP']);
  }
}

function checkHostPorts(faults: Faults, path: string, containers: readonly JsonObject[]): void {
  const taken = new Set<string>();
  for (const [index, container] of containers.entries()) {
    for (const [portIndex, port] of objectsIn(field(container, 'ports')).entries()) {
      const number = field(port, 'hostPort') ?? 0;
      if (number === 0) continue;
      const key = `${asString(field(port, 'protocol'))}/${asString(field(port, 'hostIP'))}/${Number(number)}`;
      if (taken.has(key)) faults.duplicate(`${path}[${index}].ports[${portIndex}].hostPort`, key);
      taken.add(key);
    }
  }
}

const sources = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef'];

function checkEnvironment(faults: Faults, path: string, list: unknown): void {
  for (const [index, item] of objectsIn(list).entries()) {
    const at = `${path}[${index}]`;
    if (asString(field(item, 'name')) === '') faults.required(`${at}.name`);
    else faults.named(`${at}.name`, asString(field(item, 'name')), envNameFaults);
    const from = field(item, 'valueFrom');
    if (isObject(from)) checkValueFrom(faults, `${at}.valueFrom`, from, asString(field(item, 'value')) !== '');
  }
}

function checkValueFrom(faults: Faults, path: string, from: JsonObject, hasValue: boolean): void {
  const present = sources.filter((name) => isObject(field(from, name)));
  for (const name of present) {
    const at = `${path}.${name}`;
    if (name === 'fieldRef') checkFieldRef(faults, at, field(from, name));
    else if (name === 'resourceFieldRef') checkResourceFieldRef(faults, at, field(from, name));
    else checkKeyRef(faults, at, field(from, name));
  }
  if (present.length === 0) {
    faults.invalid(
      path,
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
    );
  } else if (hasValue) faults.invalid(path, '', 'may not be specified when `value` is not empty');
  else if (present.length > 1) faults.invalid(path, '', 'may not have more than one field specified at a time');
}

const knownFields = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** Fields of a pod that exist but cannot be had through the environment. */
const otherFields = [
  'metadata.labels',
  'metadata.annotations',
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
];

function checkFieldRef(faults: Faults, path: string, reference: unknown): void {
  const name = asString(field(reference, 'fieldPath'));
  if (name === '') faults.required(`${path}.fieldPath`);
  else if (/^metadata\.(?:labels|annotations)\['[^']*'\]$/.test(name)) return;
  else if (!knownFields.includes(name) && !otherFields.includes(name)) {
    faults.invalid(`${path}.fieldPath`, name, `error converting fieldPath: field label not supported: ${name}`);
  } else faults.oneOfOrAbsent(`${path}.fieldPath`, name, knownFields);
}

function checkResourceFieldRef(faults: Faults, path: string, reference: unknown): void {
  const name = asString(field(reference, 'resource'));
  if (name === '') faults.required(`${path}.resource`);
  else if (!/^(?:limits|requests)\.(?:cpu|memory|ephemeral-storage|hugepages-.+)$/.test(name)) {
    faults.oneOfOrAbsent(`${path}.resource`, name, [
      'limits.cpu',
      'limits.ephemeral-storage',
      'limits.memory',
      'requests.cpu',
      'requests.ephemeral-storage',
      'requests.memory',
    ]);
  }
}

function checkKeyRef(faults: Faults, path: string, reference: unknown): void {
  faults.named(`${path}.name`, asString(field(reference, 'name')), dnsSubdomainFaults);
  const key = asString(field(reference, 'key'));
  if (key === '') faults.required(`${path}.key`);
  else faults.named(`${path}.key`, key, configKeyFaults);
}

function checkEnvironmentSources(faults: Faults, path: string, list: unknown): void {
  for (const [index, item] of objectsIn(list).entries()) {
    const prefix = asString(field(item, 'prefix'));
    if (prefix !== '') faults.named(`${path}[${index}].prefix`, prefix, envNameFaults);
    const present = ['configMapRef', 'secretRef'].filter((name) => isObject(field(item, name)));
    for (const name of present)
      faults.named(`${path}[${index}].${name}.name`, asString(fieldAt(item, name, 'name')), dnsSubdomainFaults);
    if (present.length === 0) faults.invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`');
    else if (present.length > 1) faults.invalid(path, '', 'may not have more than one field specified at a time');
  }
}

function checkResources(faults: Faults, path: string, resources: unknown): void {
  const limits = asObject(field(resources, 'limits'));
  for (const [name, value] of Object.entries(limits)) faults.quantity(`${path}.limits[${name}]`, value);
  for (const [name, value] of Object.entries(asObject(field(resources, 'requests')))) {
    faults.quantity(`${path}.requests[${name}]`, value);
    const request = quantityOf(value);
    const limit = quantityOf(field(limits, name));
    if (request !== undefined && limit !== undefined && request.nano > limit.nano) {
      faults.invalid(
        `${path}.requests`,
        value,
        `must be less than or equal to ${name} limit of ${asString(limits[name])}`,
      );
    }
  }
}

function checkSecurity(faults: Faults, path: string, context: unknown): void {
  const user = field(context, 'runAsUser');
  if (typeof user === 'number' && (user < 0 || user > 2 ** 31 - 1)) {
    faults.invalid(`${path}.runAsUser`, user, 'must be between 0 and 2147483647, inclusive');
  }
  if (field(context, 'allowPrivilegeEscalation') !== false) return;
  if (field(context, 'privileged') === true) {
    faults.invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true');
  }
  if (asArray(fieldAt(context, 'capabilities', 'add')).includes('CAP_SYS_ADMIN')) {
    faults.invalid(
      path,
      context,
      'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN',
    );
  }
}
