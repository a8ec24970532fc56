import { parseDurationMs } from '#runtime/duration.ts';
import { isObject } from '#k8s/json.ts';

/** Reads the value of an annotation. @throws Error  that says what is wrong and what would be right */
export type Parser<T> = (text: string) => T;

/** Longer values are not read, and not copied to pods. */
export const VALUE_LENGTH_MAX = 16_384;
const ENV_MAX = 64;

export function integer(min: number, max: number): Parser<number> {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text.trim()) || number < min || number > max)
      throw new Error(`"${text}" is not a whole number from ${min} to ${max}`);
    return number;
  };
}

export function oneOf<const T extends string>(allowed: readonly T[]): Parser<T> {
  return (text) => {
    const found = allowed.find((value) => value === text);
    if (found === undefined) throw new Error(`"${text}" is not one of ${allowed.join(', ')}`);
    return found;
  };
}

export function boolean(text: string): boolean {
  return oneOf(['true', 'false'])(text.trim()) === 'true';
}

export function enabled(text: string): boolean {
  return oneOf(['enabled', 'disabled'])(text.trim()) === 'enabled';
}

const PORT_ITEM = /^(\d{1,5})(?:-(\d{1,5}))?$/;

/** `25, 3000-3010` -> `25,3000-3010`. Empty text is an empty list. */
export function portList(text: string): string {
  return items(text).map(portItem).join(',');
}

/** As `portList`, and names of container ports besides numbers. Source: linkerd2 `config.linkerd.io/opaque-ports`. */
export function opaquePortList(text: string): string {
  return items(text)
    .map((item) => (/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/.test(item) && /[a-z]/.test(item) ? item : portItem(item)))
    .join(',');
}

function portItem(item: string): string {
  const match = PORT_ITEM.exec(item);
  const from = Number(match?.[1]);
  const to = match?.[2] === undefined ? from : Number(match[2]);
  if (match === null || from < 1 || to < from || to > 65_535) {
    throw new Error(`"${item}" is not a port: write numbers from 1 to 65535 and ranges, such as 25,3000-3010`);
  }
  return item;
}

/** Whether a list of ports and ranges holds a port. */
export function hasPort(list: string, port: number): boolean {
  return items(list).some((item) => {
    const [, from, to] = PORT_ITEM.exec(item) ?? [];
    return from !== undefined && port >= Number(from) && port <= Number(to ?? from);
  });
}

export function subnetList(text: string): string {
  return items(text)
    .map((item) => {
      const match = /^(?:(\d{1,3}(?:\.\d{1,3}){3})|([0-9a-fA-F:]*:[0-9a-fA-F:.]*))\/(\d{1,3})$/.exec(item);
      const isV4 = match?.[1] !== undefined;
      const isGood =
        match !== null &&
        Number(match[3]) <= (isV4 ? 32 : 128) &&
        (match[1]?.split('.').every((part) => Number(part) <= 255) ?? true);
      if (!isGood) throw new Error(`"${item}" is not a subnet: write CIDRs, such as 10.8.0.0/16`);
      return item;
    })
    .join(',');
}

function items(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

const UNITS = { m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 } as const;
const BINARY_UNITS = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 } as const;
const FACTORS: Readonly<Record<string, number>> = { ...UNITS, ...BINARY_UNITS };
const QUANTITY = /^(\d{1,15}(?:\.\d{1,9})?)([mkMGTPE]|[KMGTPE]i)?$/;

/** Source: apimachinery `resource.Quantity`. */
export function quantity(text: string): string {
  if (!QUANTITY.test(text.trim())) {
    throw new Error(`"${text}" is not a quantity: write for example 100m, 0.5, 64Mi or 1Gi`);
  }
  return text.trim();
}

/** The amount that a quantity stands for, NaN when it is none. */
export function amountOf(text: string): number {
  const [, number, unit] = QUANTITY.exec(text.trim()) ?? [];
  return Number(number) * (unit === undefined ? 1 : (FACTORS[unit] ?? Number.NaN));
}

export function duration(text: string): string {
  parseDurationMs(text);
  return text.trim();
}

/** A level, or Linkerd's filter syntax. The same as the proxy takes: a value that it refuses would keep the pod from starting. */
export function logLevel(text: string): string {
  const isFilter = text.split(',').every((item) => /^(?:.+=)?(?:off|error|warn|info|debug|trace)$/i.test(item.trim()));
  if (!isFilter) throw new Error(`"${text}" is not a log level: write for example info or warn,linkerd=debug`);
  return text.trim();
}

export function imageName(text: string): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}$/.test(text.trim())) throw new Error(`"${text}" is not an image name`);
  return text.trim();
}

export function imageTag(text: string): string {
  if (!/^\w[\w.-]{0,127}$/.test(text.trim())) throw new Error(`"${text}" is not the tag of an image`);
  return text.trim();
}

/** One variable of a container's environment, in the form of the Kubernetes API. */
export type EnvVar = { readonly name: string; readonly value?: string; readonly valueFrom?: unknown };

/**
 * A JSON list of variables. Strict, since the API server refuses a pod with a wrong one.
 * Source: linkerd2 `config.linkerd.io/proxy-additional-env`.
 */
export function environment(text: string): readonly EnvVar[] {
  const list = parseJson(text);
  if (!Array.isArray(list) || list.length > ENV_MAX)
    throw new Error(`is not a JSON list of at most ${ENV_MAX} variables, such as [{"name": "A", "value": "b"}]`);
  return list.map((item: unknown, index) => {
    const isGood = isObject(item) && isVariableName(item['name']) && isSource(item);
    if (!isGood) {
      throw new Error(
        `item ${index} is not {"name": ..., "value": ...}, nor one with valueFrom of fieldRef, configMapKeyRef or secretKeyRef`,
      );
    }
    const { name, value, valueFrom } = item;
    return { name: name as string, ...(valueFrom === undefined ? { value: value as string } : { valueFrom }) };
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isVariableName(name: unknown): boolean {
  return typeof name === 'string' && /^[-._a-zA-Z][-._a-zA-Z0-9]{0,252}$/.test(name);
}

const FIELD_PATHS =
  /^(metadata\.(name|namespace|uid)|spec\.(nodeName|serviceAccountName)|status\.(hostIP|podIP|podIPs))$/;

function isSource(variable: Readonly<Record<string, unknown>>): boolean {
  const { value, valueFrom } = variable;
  if (valueFrom === undefined) return typeof value === 'string';
  if (value !== undefined || !isObject(valueFrom)) return false;
  const [[kind, reference] = [], ...others] = Object.entries(valueFrom);
  if (others.length > 0 || !isObject(reference)) return false;
  const { fieldPath, name, key, optional, ...unknown } = reference;
  if (Object.keys(unknown).length > 0) return false;
  if (kind === 'fieldRef') return typeof fieldPath === 'string' && FIELD_PATHS.test(fieldPath) && name === undefined;
  const isKey = typeof name === 'string' && DNS_NAME.test(name) && typeof key === 'string' && CONFIG_KEY.test(key);
  const isOptional = optional === undefined || typeof optional === 'boolean';
  return (kind === 'configMapKeyRef' || kind === 'secretKeyRef') && isKey && isOptional && fieldPath === undefined;
}

const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?$/;
const CONFIG_KEY = /^(?!\.{1,2}$)[-._a-zA-Z0-9]{1,253}$/;
