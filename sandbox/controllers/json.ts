/** The object without its undefined fields, so that it compares equal to what the server stores. Nested objects stay. */
export function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}

/** Counters that Kubernetes leaves out of a status when they are zero. */
export function unlessZero(count: number): number | undefined {
  return count === 0 ? undefined : count;
}

/** Whether two JSON values are the same; a field that is undefined is a field that is not there. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameJson(item, b[index]));
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return (
    Object.keys(left).every((key) => sameJson(left[key], right[key])) &&
    Object.keys(right).every((key) => right[key] === undefined || Object.hasOwn(left, key))
  );
}

/**
 * A text that two values share exactly when Kubernetes calls them semantically equal: keys in any order, and null, an
 * empty list, an empty object and an absent field are one and the same.
 */
export function semanticText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '' : `[${value.map((item) => semanticText(item)).join(',')}]`;
  if (typeof value !== 'object' || value === null)
    return value === undefined || value === null ? '' : JSON.stringify(value);
  const fields = Object.entries(value)
    .map(([key, field]) => [key, semanticText(field)] as const)
    .filter(([, text]) => text !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (fields.length === 0) return '';
  return `{${fields.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;
}
