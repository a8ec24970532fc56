import { isArray, isObject } from './json.ts';

/** A string as Go's `%q` prints it. */
export function quote(text: string): string {
  return JSON.stringify(text).replace(/\\u00([0-9a-f]{2})/g, '\\x$1');
}

/** A JSON value as Go's `%#v` prints it once decoded, which is what users see inside `Invalid value: ...`. */
export function goValue(value: unknown): string {
  if (value === undefined || value === null) return '"null"';
  if (typeof value === 'string') return quote(value);
  if (isArray(value)) return `[]interface {}{${value.map(goInner).join(', ')}}`;
  if (!isObject(value)) return JSON.stringify(value);
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${quote(key)}:${goInner(value[key])}`);
  return `map[string]interface {}{${entries.join(', ')}}`;
}

function goInner(value: unknown): string {
  return value === null || value === undefined ? 'interface {}(nil)' : goValue(value);
}

/** A list of strings as Go's `%#v` prints it. */
export function goStrings(values: readonly string[]): string {
  return `[]string{${values.map(quote).join(', ')}}`;
}
