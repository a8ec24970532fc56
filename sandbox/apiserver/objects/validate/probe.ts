import { asArray, asString, field, isObject, objectsIn, type JsonObject } from '../json.ts';
import { portNameFaults, portNumberFaults } from '../names.ts';
import type { Faults } from './faults.ts';

const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'];

export function checkPortNumberOrName(faults: Faults, path: string, port: unknown): void {
  if (typeof port === 'string') faults.named(path, port, portNameFaults);
  else {
    const number = typeof port === 'number' ? port : 0;
    for (const fault of portNumberFaults(number)) faults.invalid(path, number, fault);
  }
}

/** Exactly one way to act, for probes and lifecycle hooks. */
function checkHandler(faults: Faults, path: string, handler: JsonObject): void {
  const present = handlers.filter((name) => isObject(field(handler, name)));
  const [first, ...others] = present;
  if (first === undefined) faults.required(path, 'must specify a handler type');
  else checkAction(faults, `${path}.${first}`, first, field(handler, first));
  for (const name of others) faults.forbidden(`${path}.${name}`, 'may not specify more than 1 handler type');
}

function checkAction(faults: Faults, path: string, name: string, action: unknown): void {
  switch (name) {
    case 'exec':
      if (asArray(field(action, 'command')).length === 0) faults.required(`${path}.command`);
      break;
    case 'httpGet':
      checkHttpGet(faults, path, action);
      break;
    case 'tcpSocket':
    case 'grpc':
      checkPortNumberOrName(faults, `${path}.port`, field(action, 'port'));
      break;
    default:
      break;
  }
}

function checkHttpGet(faults: Faults, path: string, action: unknown): void {
  if (asString(field(action, 'path')) === '') faults.required(`${path}.path`);
  checkPortNumberOrName(faults, `${path}.port`, field(action, 'port'));
  const scheme = field(action, 'scheme');
  faults.oneOf(`${path}.scheme`, scheme, ['HTTP', 'HTTPS']);
  for (const header of objectsIn(field(action, 'httpHeaders'))) {
    const name = asString(field(header, 'name'));
    if (/^[-A-Za-z0-9]+$/.test(name)) continue;
    const text =
      "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
    faults.invalid(`${path}.httpHeaders`, name, text);
  }
}

/** @param kind  `livenessProbe`, `readinessProbe` or `startupProbe` */
export function checkProbe(faults: Faults, path: string, kind: string, probe: unknown): void {
  if (!isObject(probe)) return;
  checkHandler(faults, path, probe);
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ]) {
    faults.nonNegative(`${path}.${name}`, field(probe, name));
  }
  const grace = field(probe, 'terminationGracePeriodSeconds');
  if (typeof grace === 'number' && grace <= 0)
    faults.invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0');
  if (kind === 'readinessProbe') {
    if (grace !== undefined)
      faults.invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must not be set for readinessProbes');
  } else if (field(probe, 'successThreshold') !== 1) {
    faults.invalid(`${path}.successThreshold`, field(probe, 'successThreshold') ?? 0, 'must be 1');
  }
}

export function checkLifecycle(faults: Faults, path: string, lifecycle: unknown): void {
  for (const name of ['postStart', 'preStop']) {
    const handler = field(lifecycle, name);
    if (isObject(handler)) checkHandler(faults, `${path}.${name}`, handler);
  }
}
