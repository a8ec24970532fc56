import { canonical, isObject, setField, type JsonObject, type MutableObject } from './json.ts';

/**
 * A set of paths into an object, as a tree. Keys are path elements as FieldsV1 writes them: `f:<field>`, `k:<keys of a list
 * item>`, `v:<value in a set>`, `i:<index>`. A node is a member when the path that ends there is in the set.
 */
export class FieldSet {
  isMember = false;
  readonly children = new Map<string, FieldSet>();

  static of(isMember: boolean, children: Iterable<readonly [string, FieldSet]> = []): FieldSet {
    const set = new FieldSet();
    set.isMember = isMember;
    for (const [key, child] of children) if (!child.isEmpty()) set.children.set(key, child);
    return set;
  }

  /** The node below, made where it is absent. For building a set; sets that are handed out do not change any more. */
  at(element: string): FieldSet {
    const known = this.children.get(element);
    if (known !== undefined) return known;
    const child = new FieldSet();
    this.children.set(element, child);
    return child;
  }

  add(element: string): void {
    this.at(element).isMember = true;
  }

  isEmpty(): boolean {
    return !this.isMember && [...this.children.values()].every((child) => child.isEmpty());
  }

  has(element: string): boolean {
    return this.children.get(element)?.isMember === true;
  }

  union(other: FieldSet): FieldSet {
    const keys = new Set([...this.children.keys(), ...other.children.keys()]);
    return FieldSet.of(
      this.isMember || other.isMember,
      [...keys].map((key) => [key, (this.children.get(key) ?? none).union(other.children.get(key) ?? none)] as const),
    );
  }

  intersection(other: FieldSet): FieldSet {
    return FieldSet.of(
      this.isMember && other.isMember,
      [...this.children].map(([key, child]) => [key, child.intersection(other.children.get(key) ?? none)] as const),
    );
  }

  /** What is here and not there, path by path. */
  difference(other: FieldSet): FieldSet {
    return FieldSet.of(
      this.isMember && !other.isMember,
      [...this.children].map(([key, child]) => [key, child.difference(other.children.get(key) ?? none)] as const),
    );
  }

  equals(other: FieldSet): boolean {
    return canonical(toFields(this)) === canonical(toFields(other));
  }

  /** Only what stands below one of the top-level elements, or everything else. */
  filter(keep: (element: string) => boolean): FieldSet {
    return FieldSet.of(
      this.isMember,
      [...this.children].filter(([key]) => keep(key)),
    );
  }

  /** All members as texts like `.spec.containers[name="main"].image`. */
  paths(prefix = ''): string[] {
    const own = this.isMember && prefix !== '' ? [prefix] : [];
    return [...own, ...[...this.children].flatMap(([key, child]) => child.paths(`${prefix}${printElement(key)}`))];
  }
}

const none = new FieldSet();

export const emptySet: FieldSet = none;

function printElement(element: string): string {
  const text = element.slice(2);
  switch (element.charAt(0)) {
    case 'f':
      return `.${text}`;
    case 'k':
      return `[${printKeys(text)}]`;
    case 'v':
      return `[=${text}]`;
    default:
      return `[${text}]`;
  }
}

function printKeys(text: string): string {
  try {
    const keys: unknown = JSON.parse(text);
    if (isObject(keys))
      return Object.entries(keys)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join(',');
  } catch {
    // printed as it is
  }
  return text;
}

/** The set in the form of `managedFields[].fieldsV1`; keys are sorted. */
export function toFields(set: FieldSet): JsonObject {
  const result: MutableObject = {};
  if (set.isMember && set.children.size > 0) result['.'] = {};
  for (const key of [...set.children.keys()].sort()) {
    const child = set.children.get(key);
    if (child !== undefined && !child.isEmpty()) setField(result, key, toFields(child));
  }
  return result;
}

/** @returns undefined when the value is no FieldsV1 */
export function fromFields(fields: unknown): FieldSet | undefined {
  if (!isObject(fields)) return undefined;
  const set = new FieldSet();
  for (const [key, value] of Object.entries(fields)) {
    if (key === '.') continue;
    const child = /^[fkvi]:/.test(key) ? fromFields(value) : undefined;
    if (child === undefined) return undefined;
    const keys = Object.keys(isObject(value) ? value : {});
    child.isMember = keys.length === 0 || keys.includes('.');
    set.children.set(key, child);
  }
  return set;
}
