import { field, isArray, isObject, type JsonObject } from '../json.ts';

/**
 * A value while an expression runs. Integers are bigint (64 bits, signed and unsigned alike), doubles are number; objects and
 * maps are Map; durations and timestamps count nanoseconds.
 */
export type CelValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | readonly CelValue[]
  | ReadonlyMap<CelKey, CelValue>
  | CelTime
  | CelOptional
  | CelFormat
  | CelObject;

export type CelKey = string | bigint | boolean | number;

/** A point in time (nanoseconds since 1970) or a span. */
export class CelTime {
  readonly kind: 'duration' | 'timestamp';
  readonly nanos: bigint;

  constructor(kind: 'duration' | 'timestamp', nanos: bigint) {
    this.kind = kind;
    this.nanos = nanos;
  }
}

export class CelOptional {
  readonly value: CelValue | undefined;

  constructor(value: CelValue | undefined) {
    this.value = value;
  }
}

/** `format.dns1123Label()` and its kin. */
export class CelFormat {
  readonly faults: (text: string) => readonly string[];

  constructor(faults: (text: string) => readonly string[]) {
    this.faults = faults;
  }
}

/** Values of Kubernetes' own libraries that are only passed around and asked: IP addresses, CIDRs, URLs, quantities. */
export class CelObject {
  readonly kind: 'ip' | 'cidr' | 'url' | 'quantity';
  readonly text: string;

  constructor(kind: 'ip' | 'cidr' | 'url' | 'quantity', text: string) {
    this.kind = kind;
    this.text = text;
  }
}

/** The evaluation failed: `no such key: x`, `no such overload`, `index out of bounds: 3`, ... */
export class CelError extends Error {
  override readonly name = 'CelError';
}

/** Every expression may take this many steps; a validation must end. */
export class CostExceeded extends Error {
  override readonly name = 'CostExceeded';
}

/** A JSON value as its schema types it: integers and doubles apart, dates and durations as such. */
export function fromJson(value: unknown, schema: JsonObject | undefined): CelValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') return fromText(value, schema);
  if (typeof value === 'number')
    return Number.isInteger(value) && field(schema, 'type') !== 'number' ? BigInt(value) : value;
  if (isArray(value)) {
    const items = field(schema, 'items');
    return value.map((item) => fromJson(item, isObject(items) ? items : undefined));
  }
  if (!isObject(value)) return null;
  const additional = field(schema, 'additionalProperties');
  const properties = field(schema, 'properties');
  const entries = Object.entries(value).map(([name, child]) => {
    const property = field(properties, name) ?? additional;
    return [name, fromJson(child, isObject(property) ? property : undefined)] as const;
  });
  return new Map<CelKey, CelValue>(entries);
}

function fromText(text: string, schema: JsonObject | undefined): CelValue {
  switch (field(schema, 'format')) {
    case 'duration':
      return parseDuration(text) ?? text;
    case 'date':
    case 'date-time':
      return parseTimestamp(text) ?? text;
    case 'byte':
      return new Uint8Array(Buffer.from(text, 'base64'));
    default:
      return text;
  }
}

const units: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** Go's `time.ParseDuration`. */
export function parseDuration(text: string): CelTime | undefined {
  const whole = /^([-+]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (text === '0') return new CelTime('duration', 0n);
  if (whole === null || text.length > 100) return undefined;
  let nanos = 0n;
  for (const [, number = '0', unit = 's'] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    const [integer = '', fraction = ''] = number.split('.');
    nanos += (BigInt(`${integer}${fraction}`) * (units[unit] ?? 1n)) / 10n ** BigInt(fraction.length);
  }
  return new CelTime('duration', whole[1] === '-' ? -nanos : nanos);
}

export function parseTimestamp(text: string): CelTime | undefined {
  const parts = /^\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(?:[Zz]|[+-]\d\d:\d\d))?$/.exec(text);
  const ms = Date.parse(text);
  if (parts === null || Number.isNaN(ms)) return undefined;
  const nanos = BigInt((parts[1] ?? '').padEnd(9, '0')) % 1_000_000n;
  return new CelTime('timestamp', BigInt(ms) * 1_000_000n + nanos);
}

export function isList(value: CelValue): value is readonly CelValue[] {
  return Array.isArray(value);
}

export function isMap(value: CelValue): value is ReadonlyMap<CelKey, CelValue> {
  return value instanceof Map;
}

export function isNumber(value: CelValue): value is bigint | number {
  return typeof value === 'bigint' || typeof value === 'number';
}

export function celEquals(a: CelValue, b: CelValue): boolean {
  if (a === b) return true;
  // Loosely on purpose: an int and a double of the same value are equal.
  if (isNumber(a) && isNumber(b)) return a == b;
  if (isList(a))
    return isList(b) && a.length === b.length && a.every((item, index) => celEquals(item, b[index] ?? null));
  if (isMap(a)) {
    return (
      isMap(b) &&
      a.size === b.size &&
      [...a].every(([key, value]) => b.has(key) && celEquals(value, b.get(key) ?? null))
    );
  }
  if (a instanceof CelTime) return b instanceof CelTime && a.kind === b.kind && a.nanos === b.nanos;
  if (a instanceof CelObject) return b instanceof CelObject && a.kind === b.kind && a.text === b.text;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (!(a instanceof CelOptional) || !(b instanceof CelOptional)) return false;
  return a.value === undefined || b.value === undefined ? a.value === b.value : celEquals(a.value, b.value);
}

/** Negative, zero or positive; only values of one ordered type compare. */
export function celCompare(a: CelValue, b: CelValue): number {
  if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof CelTime && b instanceof CelTime && a.kind === b.kind)
    return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  throw noOverload();
}

export function noOverload(): CelError {
  return new CelError('no such overload');
}

/** A result of integer arithmetic, which has 64 bits. */
export function int64(value: bigint): bigint {
  if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value) throw new CelError('integer overflow');
  return value;
}
