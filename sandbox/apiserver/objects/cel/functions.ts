import { isIP } from 'node:net';
import {
  dns1035Faults,
  dnsLabelFaults,
  dnsSubdomainFaults,
  labelValueFaults,
  pathSegmentFaults,
  qualifiedNameFaults,
} from '../names.ts';
import { parseQuantity } from '../quantity.ts';
import { compilePattern } from '../re2.ts';
import { hasFormat, isCidr } from '../schema-formats.ts';
import {
  celCompare,
  celEquals,
  CelError,
  CelFormat,
  CelObject,
  CelOptional,
  CelTime,
  int64,
  isList,
  isMap,
  isNumber,
  noOverload,
  parseDuration,
  parseTimestamp,
  type CelValue,
} from './values.ts';

type Function = (...args: readonly CelValue[]) => CelValue;

const formats: Readonly<Record<string, (text: string) => readonly string[]>> = {
  dns1123Label: dnsLabelFaults,
  dns1123Subdomain: dnsSubdomainFaults,
  dns1035Label: dns1035Faults,
  dns1123LabelPrefix: (text) => dnsLabelFaults(text.replace(/-$/, '')),
  dns1123SubdomainPrefix: (text) => dnsSubdomainFaults(text.replace(/-$/, '')),
  dns1035LabelPrefix: (text) => dns1035Faults(text.replace(/-$/, '')),
  qualifiedName: qualifiedNameFaults,
  labelValue: labelValueFaults,
  pathSegmentName: pathSegmentFaults,
  uri: (text) => (hasFormat('uri', text) ? [] : ['invalid URI']),
  uuid: (text) => (hasFormat('uuid', text) ? [] : ['does not match the UUID format']),
  byte: (text) => (hasFormat('byte', text) ? [] : ['invalid base64']),
  date: (text) => (hasFormat('date', text) ? [] : ['invalid date']),
  datetime: (text) => (hasFormat('date-time', text) ? [] : ['invalid datetime']),
};

function text(value: CelValue | undefined): string {
  if (typeof value !== 'string') throw noOverload();
  return value;
}

function integer(value: CelValue | undefined): number {
  if (typeof value !== 'bigint') throw noOverload();
  return Number(value);
}

function list(value: CelValue | undefined): readonly CelValue[] {
  if (value === undefined || !isList(value)) throw noOverload();
  return value;
}

function codePoints(value: CelValue | undefined): readonly string[] {
  return Array.from(text(value));
}

export function sizeOf(value: CelValue | undefined): bigint {
  if (typeof value === 'string') return BigInt(Array.from(value).length);
  if (value instanceof Uint8Array || (value !== undefined && isList(value))) return BigInt(value.length);
  if (value !== undefined && isMap(value)) return BigInt(value.size);
  throw noOverload();
}

function pattern(value: CelValue | undefined): RegExp {
  const expression = compilePattern(text(value));
  if (expression === undefined) throw new CelError(`error parsing regexp: ${text(value)}`);
  return expression;
}

/** A piece of text by code points; out of range is an error, not a clamp. */
function substring(value: CelValue | undefined, from: CelValue | undefined, to: CelValue | undefined): string {
  const points = codePoints(value);
  const [start, end] = [integer(from), to === undefined ? points.length : integer(to)];
  if (start < 0 || end > points.length || start > end)
    throw new CelError(`index out of range: ${start < 0 || start > points.length ? start : end}`);
  return points.slice(start, end).join('');
}

function indexOf(on: CelValue | undefined, what: CelValue | undefined, isLast: boolean): bigint {
  if (typeof on === 'string') {
    const at = isLast ? on.lastIndexOf(text(what)) : on.indexOf(text(what));
    return at < 0 ? -1n : BigInt(Array.from(on.slice(0, at)).length);
  }
  const equals = (item: CelValue): boolean => celEquals(item, what ?? null);
  return BigInt(isLast ? list(on).findLastIndex(equals) : list(on).findIndex(equals));
}

function split(
  value: CelValue | undefined,
  separator: CelValue | undefined,
  limit: CelValue | undefined,
): readonly string[] {
  const parts = text(separator) === '' ? [...codePoints(value)] : text(value).split(text(separator));
  const max = limit === undefined ? -1 : integer(limit);
  if (max < 0 || parts.length <= max) return parts;
  return max === 0 ? [] : [...parts.slice(0, max - 1), parts.slice(max - 1).join(text(separator))];
}

function extreme(value: CelValue | undefined, sign: number): CelValue {
  const items = list(value);
  const [first] = items;
  if (first === undefined) throw new CelError(`${sign < 0 ? 'min' : 'max'} called on empty list`);
  return items.reduce((a, b) => (celCompare(b, a) * sign > 0 ? b : a));
}

function sum(value: CelValue | undefined): CelValue {
  return list(value).reduce<CelValue>((a, b) => {
    if (typeof a === 'bigint' && typeof b === 'bigint') return int64(a + b);
    if (isNumber(a) && isNumber(b)) return Number(a) + Number(b);
    throw noOverload();
  }, 0n);
}

/** Functions of strings, lists, maps and times that are called on a value; some are called with it as well. */
const methods: Readonly<Record<string, Function>> = {
  size: (on) => sizeOf(on),
  contains: (on, part) => text(on).includes(text(part)),
  startsWith: (on, part) => text(on).startsWith(text(part)),
  endsWith: (on, part) => text(on).endsWith(text(part)),
  matches: (on, expression) => pattern(expression).test(text(on)),
  find: (on, expression) => pattern(expression).exec(text(on))?.[0] ?? '',
  findAll: (on, expression, limit) => {
    const all = [...text(on).matchAll(new RegExp(pattern(expression), `${pattern(expression).flags}g`))].map(
      ([found]) => found,
    );
    return limit === undefined || integer(limit) < 0 ? all : all.slice(0, integer(limit));
  },
  split: (on, separator, limit) => split(on, separator, limit),
  join: (on, separator) =>
    list(on)
      .map((item) => text(item))
      .join(separator === undefined ? '' : text(separator)),
  substring: (on, from, to) => substring(on, from, to),
  charAt: (on, at) => (integer(at) === codePoints(on).length ? '' : substring(on, at ?? null, BigInt(integer(at) + 1))),
  indexOf: (on, what) => indexOf(on, what, false),
  lastIndexOf: (on, what) => indexOf(on, what, true),
  lowerAscii: (on) => text(on).replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
  upperAscii: (on) => text(on).replace(/[a-z]/g, (letter) => letter.toUpperCase()),
  trim: (on) => text(on).trim(),
  replace: (on, from, to, limit) => replace(text(on), text(from), text(to), limit === undefined ? -1 : integer(limit)),
  reverse: (on) => (typeof on === 'string' ? Array.from(on).toReversed().join('') : list(on).toReversed()),
  isSorted: (on) =>
    list(on).every((item, index, items) => index === 0 || celCompare(items[index - 1] ?? null, item) <= 0),
  sum: (on) => sum(on),
  min: (on) => extreme(on, -1),
  max: (on) => extreme(on, 1),
  hasValue: (on) => optional(on).value !== undefined,
  value: (on) => optional(on).value ?? fail('optional.none() dereference'),
  orValue: (on, other) => optional(on).value ?? other ?? null,
  or: (on, other) => (optional(on).value === undefined ? optional(other) : optional(on)),
  validate: (on, value) => {
    if (!(on instanceof CelFormat)) throw noOverload();
    const faults = on.faults(text(value));
    return new CelOptional(faults.length === 0 ? undefined : faults);
  },
  compareTo: (on, other) => compareQuantities(on, other),
  isLessThan: (on, other) => compareQuantities(on, other) < 0n,
  isGreaterThan: (on, other) => compareQuantities(on, other) > 0n,
  family: (on) => (on instanceof CelObject && on.kind === 'ip' ? BigInt(isIP(on.text)) : fail('no such overload')),
  getHost: (on) => new URL(kubernetesObject(on, 'url')).host,
  getHostname: (on) => new URL(kubernetesObject(on, 'url')).hostname,
  getScheme: (on) => new URL(kubernetesObject(on, 'url')).protocol.slice(0, -1),
  getPort: (on) => new URL(kubernetesObject(on, 'url')).port,
  getEscapedPath: (on) => new URL(kubernetesObject(on, 'url')).pathname,
  getHours: (on) => part(on, 3_600_000_000_000n, (date) => date.getUTCHours()),
  getMinutes: (on) => part(on, 60_000_000_000n, (date) => date.getUTCMinutes()),
  getSeconds: (on) => part(on, 1_000_000_000n, (date) => date.getUTCSeconds()),
  getMilliseconds: (on) => part(on, 1_000_000n, (date) => date.getUTCMilliseconds()),
  getFullYear: (on) => part(on, undefined, (date) => date.getUTCFullYear()),
  getMonth: (on) => part(on, undefined, (date) => date.getUTCMonth()),
  getDate: (on) => part(on, undefined, (date) => date.getUTCDate()),
  getDayOfMonth: (on) => part(on, undefined, (date) => date.getUTCDate() - 1),
  getDayOfWeek: (on) => part(on, undefined, (date) => date.getUTCDay()),
};

function replace(on: string, from: string, to: string, limit: number): string {
  const parts = on.split(from);
  const replaced = limit < 0 ? parts.length - 1 : Math.min(limit, parts.length - 1);
  return (
    parts.slice(0, replaced + 1).join(to) +
    parts
      .slice(replaced + 1)
      .map((piece) => `${from}${piece}`)
      .join('')
  );
}

function fail(message: string): never {
  throw new CelError(message);
}

function optional(value: CelValue | undefined): CelOptional {
  return value instanceof CelOptional ? value : fail('no such overload');
}

function kubernetesObject(value: CelValue | undefined, kind: CelObject['kind']): string {
  return value instanceof CelObject && value.kind === kind ? value.text : fail('no such overload');
}

function compareQuantities(a: CelValue | undefined, b: CelValue | undefined): bigint {
  const [left, right] = [a, b].map((value) => parseQuantity(kubernetesObject(value, 'quantity'))?.nano ?? 0n);
  return left === right ? 0n : (left ?? 0n) < (right ?? 0n) ? -1n : 1n;
}

/** A whole duration in a unit, or a field of a point in time. */
function part(value: CelValue | undefined, unit: bigint | undefined, read: (date: Date) => number): bigint {
  if (!(value instanceof CelTime)) throw noOverload();
  if (value.kind === 'duration') return unit === undefined ? fail('no such overload') : value.nanos / unit;
  return BigInt(read(new Date(Number(value.nanos / 1_000_000n))));
}

function toInteger(value: CelValue | undefined): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return int64(BigInt(Math.trunc(value)));
  if (typeof value === 'string' && /^[-+]?\d{1,20}$/.test(value)) return int64(BigInt(value));
  if (value instanceof CelTime && value.kind === 'timestamp') return value.nanos / 1_000_000_000n;
  return fail('type conversion error');
}

function toText(value: CelValue | undefined): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (value instanceof CelObject) return value.text;
  if (value instanceof CelTime)
    return value.kind === 'duration'
      ? `${Number(value.nanos) / 1e9}s`
      : new Date(Number(value.nanos / 1_000_000n)).toISOString();
  return fail('type conversion error');
}

const globals: Readonly<Record<string, Function>> = {
  size: (value) => sizeOf(value),
  matches: (value, expression) => pattern(expression).test(text(value)),
  string: (value) => toText(value),
  int: (value) => toInteger(value),
  uint: (value) => (toInteger(value) < 0n ? fail('unsigned integer overflow') : toInteger(value)),
  double: (value) => (isNumber(value ?? null) ? Number(value) : Number(text(value))),
  bool: (value) =>
    typeof value === 'boolean'
      ? value
      : /^(?:true|t|1)$/i.test(text(value)) ||
        (/^(?:false|f|0)$/i.test(text(value)) ? false : fail('type conversion error')),
  bytes: (value) => new TextEncoder().encode(text(value)),
  dyn: (value) => value ?? null,
  type: (value) => typeName(value ?? null),
  duration: (value) =>
    value instanceof CelTime ? value : (parseDuration(text(value)) ?? fail(`invalid duration: ${text(value)}`)),
  timestamp: (value) =>
    value instanceof CelTime ? value : (parseTimestamp(text(value)) ?? fail(`invalid timestamp: ${text(value)}`)),
  isIP: (value) => isIP(text(value)) !== 0,
  ip: (value) =>
    isIP(text(value)) === 0 ? fail(`IP Address '${text(value)}' parse error`) : new CelObject('ip', text(value)),
  isCIDR: (value) => isCidr(text(value)),
  cidr: (value) => (isCidr(text(value)) ? new CelObject('cidr', text(value)) : fail('network address parse error')),
  isURL: (value) => URL.canParse(text(value)),
  url: (value) => (URL.canParse(text(value)) ? new CelObject('url', text(value)) : fail('URL parse error')),
  isQuantity: (value) => parseQuantity(text(value)) !== undefined,
  quantity: (value) =>
    parseQuantity(text(value)) === undefined ? fail('quantity parse error') : new CelObject('quantity', text(value)),
};

function typeName(value: CelValue): string {
  if (value === null) return 'null_type';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'double';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  if (value instanceof Uint8Array) return 'bytes';
  return isList(value) ? 'list' : isMap(value) ? 'map' : 'object';
}

/** Functions in a namespace: `optional.of(x)`, `format.dns1123Label()`, `ip.isCanonical(x)`. */
export function namespaced(space: string, name: string): Function | undefined {
  if (space === 'format' && Object.hasOwn(formats, name)) {
    const faults = formats[name];
    return faults === undefined ? undefined : () => new CelFormat(faults);
  }
  if (space === 'optional' && name === 'none') return () => new CelOptional(undefined);
  if (space === 'optional' && name === 'of') return (value) => new CelOptional(value);
  if (space === 'ip' && name === 'isCanonical')
    return (value) => isIP(text(value)) !== 0 && text(value) === text(value).toLowerCase();
  return undefined;
}

export function methodNamed(name: string): Function | undefined {
  return Object.hasOwn(methods, name) ? methods[name] : undefined;
}

export function globalNamed(name: string): Function | undefined {
  return Object.hasOwn(globals, name) ? globals[name] : undefined;
}
