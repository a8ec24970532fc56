import { nearest } from '#runtime/nearest.ts';
import type { Field } from './field.ts';
import { entryAt, fieldsOf, SCHEMA, type Group } from './schema.ts';
import { at, fieldProblems, shown } from './validate.ts';
import type { Values } from './values.ts';

/** Something in a file or flag that is not a value. `isUnknown`: there is no such key, at least not in this version. */
export type OverlayProblem = { readonly message: string; readonly isUnknown: boolean };
export type Overlaid = { readonly values: Values; readonly problems: readonly OverlayProblem[] };

const MAX_NEAREST = 64; // characters; what is longer is no typing error

/**
 * The values with those of a file over them. Keys that are absent keep their value; lists are replaced as a whole.
 *
 * @param input  what a YAML or JSON text holds, so anything
 */
export function overlay(base: Values, input: unknown): Overlaid {
  if (input === undefined || input === null) return { values: base, problems: [] };
  const problems: OverlayProblem[] = [];
  const values = overlayGroup(SCHEMA, base, input, '', problems) as unknown as Values;
  return { values, problems };
}

function overlayGroup(
  group: Group,
  base: Readonly<Record<string, unknown>>,
  input: unknown,
  prefix: string,
  problems: OverlayProblem[],
): Readonly<Record<string, unknown>> {
  const wrong = (message: string): void => void problems.push({ message, isUnknown: false });
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    const what = prefix === '' ? 'the document' : prefix.slice(0, -1);
    wrong(`${what} is ${shown(input)}: write keys and values, such as ${exampleOf(group, prefix)}`);
    return base;
  }
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(input)) {
    const path = `${prefix}${key}`;
    const entry = Object.hasOwn(group, key) ? group[key] : undefined;
    if (entry === undefined) {
      problems.push({ message: unknownKey(path), isUnknown: true });
    } else if ('group' in entry) {
      const below = base[key] as Readonly<Record<string, unknown>>;
      result[key] = overlayGroup(entry.group, below, value, `${path}.`, problems);
    } else if (value === null || value === undefined) {
      wrong(`${path} has no value: leave the key out for the default`);
    } else if (value === '' && mayBeAbsent(path, entry)) {
      delete result[key];
    } else {
      const found = fieldProblems(path, entry, value);
      for (const message of found) wrong(message);
      if (found.length === 0) result[key] = value;
    }
  }
  return result;
}

/** Then an empty text removes it: a request or limit that the defaults have. */
function mayBeAbsent(path: string, field: Field): boolean {
  return fieldProblems(path, field, undefined).length === 0;
}

function exampleOf(group: Group, prefix: string): string {
  const [key = ''] = Object.keys(group);
  return `${prefix}${key}`;
}

/** That there is no such key, and which one is meant: one beside it, or one of the same name elsewhere. */
function unknownKey(path: string): string {
  const short = path.length > MAX_NEAREST ? `${path.slice(0, MAX_NEAREST)}...` : path;
  const name = /^[\w.-]+$/.test(short) ? short : JSON.stringify(short);
  const guess = path.length > MAX_NEAREST ? undefined : meant(path);
  return `${name} is no known value${guess === undefined ? ' (`tulle config --schema` lists them)' : `: did you mean ${guess}?`}`;
}

function meant(path: string): string | undefined {
  const known = fieldsOf().map(([knownPath]) => knownPath);
  const last = (text: string): string => text.split('.').at(-1) ?? '';
  const groups = Object.keys(SCHEMA);
  return (
    nearest(path, [...known, ...groups]) ??
    known.find((other) => last(other).toLowerCase() === last(path).toLowerCase()) ??
    known.find((other) => nearest(last(path), [last(other)]) !== undefined)
  );
}

/**
 * The values with one of them set from text: `--set proxy.logLevel=debug`. The type of the value decides how the text is read.
 *
 * @param assignment  `path=value`; a list is separated by commas, and an empty text removes what may be absent
 */
export function setValue(base: Values, assignment: string): Overlaid {
  const split = assignment.indexOf('=');
  const problem = (message: string, isUnknown = false): Overlaid => ({
    values: base,
    problems: [{ message, isUnknown }],
  });
  if (split < 1) return problem(`${shown(assignment)} is not an assignment: write PATH=VALUE`);
  const [path, text] = [assignment.slice(0, split), assignment.slice(split + 1)];
  const entry = entryAt(path);
  if (entry === undefined) return problem(unknownKey(path), true);
  if ('group' in entry)
    return problem(`${path} is a group of values: name one of them, such as ${exampleOf(entry.group, `${path}.`)}`);
  const value = typed(entry, text);
  const isRemoved = text === '' && mayBeAbsent(path, entry);
  const problems = isRemoved ? [] : fieldProblems(path, entry, value);
  if (problems.length > 0)
    return { values: base, problems: problems.map((message) => ({ message, isUnknown: false })) };
  return { values: replaced(base, path.split('.'), isRemoved ? undefined : value) as unknown as Values, problems: [] };
}

/** Text as a value of the field's type; text that cannot be one stays text, and is refused with what it is. */
function typed(field: Field, text: string): unknown {
  switch (field.type) {
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'switch':
      return text === 'true' || (text === 'false' ? false : text);
    case 'list':
      return text === '' ? [] : text.split(',').map((item) => item.trim());
    default:
      return text;
  }
}

function replaced(
  object: Readonly<Record<string, unknown>>,
  [key = '', ...rest]: readonly string[],
  value: unknown,
): Readonly<Record<string, unknown>> {
  if (rest.length > 0)
    return { ...object, [key]: replaced(object[key] as Readonly<Record<string, unknown>>, rest, value) };
  const { [key]: _old, ...others } = object;
  return value === undefined ? others : { ...object, [key]: value };
}

/**
 * What of the values is not the default, as a file for `-f` would say it. Kept beside the values in the cluster, so that an
 * upgrade takes new defaults for everything that nobody chose.
 */
export function difference(defaults: Values, values: Values): Readonly<Record<string, unknown>> {
  let result: Readonly<Record<string, unknown>> = {};
  for (const [path] of fieldsOf()) {
    const value = at(values, path);
    if (path === 'version' || JSON.stringify(value) === JSON.stringify(at(defaults, path))) continue;
    result = placed(result, path.split('.'), value ?? '');
  }
  return result;
}

function placed(
  object: Readonly<Record<string, unknown>>,
  [key = '', ...rest]: readonly string[],
  value: unknown,
): Readonly<Record<string, unknown>> {
  const below = (object[key] ?? {}) as Readonly<Record<string, unknown>>;
  return { ...object, [key]: rest.length === 0 ? value : placed(below, rest, value) };
}
