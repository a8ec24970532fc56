import { notFound } from '../field-error.ts';
import { asString, field, isObject, objectsIn, type JsonObject } from '../json.ts';
import { configKeyFaults, dnsLabelFaults } from '../names.ts';
import type { Faults } from './faults.ts';

const modeText = 'must be a number between 0 and 0777 (octal), both inclusive';

/** @returns names that mounts may refer to */
export function checkVolumes(faults: Faults, path: string, list: unknown): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [index, volume] of objectsIn(list).entries()) {
    const at = `${path}[${index}]`;
    const name = asString(field(volume, 'name'));
    checkSource(faults, at, volume);
    faults.requiredName(`${at}.name`, name, dnsLabelFaults);
    if (names.has(name)) faults.duplicate(`${at}.name`, name);
    names.add(name);
  }
  return names;
}

function checkSource(faults: Faults, path: string, volume: JsonObject): void {
  const sources = Object.keys(volume).filter((name) => name !== 'name' && isObject(volume[name]));
  const [first, ...others] = sources;
  if (first === undefined) faults.required(path, 'must specify a volume type');
  else checkFields(faults, `${path}.${first}`, first, volume[first]);
  for (const name of others) faults.forbidden(`${path}.${name}`, 'may not specify more than 1 volume type');
}

function checkFields(faults: Faults, path: string, kind: string, source: unknown): void {
  switch (kind) {
    case 'hostPath':
      checkHostPath(faults, path, source);
      break;
    case 'configMap':
      if (asString(field(source, 'name')) === '') faults.required(`${path}.name`);
      checkFiles(faults, path, source);
      break;
    case 'secret':
      if (asString(field(source, 'secretName')) === '') faults.required(`${path}.secretName`);
      checkFiles(faults, path, source);
      break;
    case 'persistentVolumeClaim':
      if (asString(field(source, 'claimName')) === '') faults.required(`${path}.claimName`);
      break;
    case 'emptyDir':
      faults.quantity(`${path}.sizeLimit`, field(source, 'sizeLimit'));
      break;
    case 'projected':
      checkProjected(faults, path, source);
      break;
    default:
      break;
  }
}

function checkHostPath(faults: Faults, path: string, source: unknown): void {
  const target = asString(field(source, 'path'));
  if (target === '') faults.required(`${path}.path`);
  else if (target.split('/').includes('..')) faults.invalid(`${path}.path`, target, "must not contain '..'");
  const types = ['BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'];
  faults.oneOfOrAbsent(`${path}.type`, field(source, 'type'), types);
}

function checkMode(faults: Faults, path: string, mode: unknown): void {
  if (typeof mode === 'number' && (mode < 0 || mode > 0o777)) faults.invalid(path, mode, modeText);
}

function checkFiles(faults: Faults, path: string, source: unknown): void {
  checkMode(faults, `${path}.defaultMode`, field(source, 'defaultMode'));
  for (const [index, item] of objectsIn(field(source, 'items')).entries()) {
    const at = `${path}.items[${index}]`;
    if (asString(field(item, 'key')) === '') faults.required(`${at}.key`);
    else faults.named(`${at}.key`, asString(field(item, 'key')), configKeyFaults);
    if (asString(field(item, 'path')) === '') faults.required(`${at}.path`);
    else checkRelativePath(faults, `${at}.path`, asString(field(item, 'path')));
    checkMode(faults, `${at}.mode`, field(item, 'mode'));
  }
}

function checkProjected(faults: Faults, path: string, source: unknown): void {
  checkMode(faults, `${path}.defaultMode`, field(source, 'defaultMode'));
  for (const [index, item] of objectsIn(field(source, 'sources')).entries()) {
    const at = `${path}.sources[${index}]`;
    const token = field(item, 'serviceAccountToken');
    for (const kind of ['configMap', 'secret'] as const) {
      const projection = field(item, kind);
      if (!isObject(projection)) continue;
      if (asString(field(projection, 'name')) === '') faults.required(`${at}.${kind}.name`);
      checkFiles(faults, `${at}.${kind}`, projection);
    }
    if (isObject(token)) checkToken(faults, `${at}.serviceAccountToken`, token);
    if (Object.keys(item).length > 1) faults.forbidden(at, 'may not specify more than 1 volume type');
  }
}

function checkToken(faults: Faults, path: string, token: JsonObject): void {
  const seconds = field(token, 'expirationSeconds');
  if (typeof seconds === 'number' && seconds < 600)
    faults.invalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes');
  if (typeof seconds === 'number' && seconds > 2 ** 32)
    faults.invalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration larger than 2^32 seconds');
  if (asString(field(token, 'path')) === '') faults.required(`${path}.path`);
  else checkRelativePath(faults, `${path}.path`, asString(field(token, 'path')));
}

function checkRelativePath(faults: Faults, path: string, target: string): void {
  if (target.startsWith('/')) faults.invalid(path, target, 'must be a relative path');
  if (target.split('/').includes('..')) faults.invalid(path, target, "must not contain '..'");
}

export function checkMounts(faults: Faults, path: string, list: unknown, volumes: ReadonlySet<string>): void {
  const targets = new Set<string>();
  for (const [index, mount] of objectsIn(list).entries()) {
    const at = `${path}[${index}]`;
    const name = asString(field(mount, 'name'));
    const target = asString(field(mount, 'mountPath'));
    if (name === '') faults.required(`${at}.name`);
    if (!volumes.has(name)) faults.add(notFound(`${at}.name`, name));
    if (target === '') faults.required(`${at}.mountPath`);
    if (targets.has(target)) faults.invalid(`${at}.mountPath`, target, 'must be unique');
    targets.add(target);
    const below = asString(field(mount, 'subPath'));
    if (below !== '') checkRelativePath(faults, `${path}.subPath`, below);
    if (below !== '' && asString(field(mount, 'subPathExpr')) !== '') {
      faults.invalid(
        `${at}.subPathExpr`,
        field(mount, 'subPathExpr'),
        'subPathExpr and subPath are mutually exclusive',
      );
    }
  }
}
