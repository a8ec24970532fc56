import { FieldSet } from './field-set.ts';
import {
  asArray,
  canonical,
  copyOf,
  deepEqual,
  field,
  isArray,
  isObject,
  setField,
  type MutableObject,
} from './json.ts';
import { resolve, type MergeNode } from './merge-schema.ts';

type ListNode = MergeNode & { readonly kind: 'list' | 'set' };

/** An item of an associative list that lacks a key which has no default. */
export class MissingKeyError extends Error {
  override readonly name = 'MissingKeyError';
}

/** @throws MissingKeyError */
function elementOf(node: ListNode, item: unknown): string {
  if (node.kind === 'set') return `v:${canonical(item)}`;
  if (!isObject(item)) throw new MissingKeyError('associative list with keys may not have non-map elements');
  const keys: MutableObject = {};
  for (const name of node.keys) {
    const value = field(item, name) ?? field(node.defaults, name);
    if (value === undefined || value === null) {
      throw new MissingKeyError(
        `associative list with keys has an element that omits key field "${name}" (and doesn't have default value)`,
      );
    }
    setField(keys, name, value);
  }
  return `k:${canonical(keys)}`;
}

/** Like `elementOf`, for objects already stored: an item without key is known by its place. */
function storedElement(node: ListNode, item: unknown, index: number): string {
  try {
    return elementOf(node, item);
  } catch {
    return `i:${index}`;
  }
}

function itemNode(node: ListNode): MergeNode {
  return node.kind === 'list' ? node.item : { kind: 'leaf' };
}

function isListNode(node: MergeNode): node is ListNode {
  return node.kind === 'list' || node.kind === 'set';
}

/** All paths that a configuration sets. */
export function fieldsOf(node: MergeNode, value: unknown): FieldSet {
  const set = new FieldSet();
  collect(node, value, set);
  return set;
}

function collect(declared: MergeNode, value: unknown, into: FieldSet): void {
  const node = resolve(declared, value);
  if (isListNode(node)) {
    for (const [index, item] of asArray(value).entries()) {
      const child = into.at(storedElement(node, item, index));
      collect(itemNode(node), item, child);
      child.isMember = true;
    }
  } else if (node.kind === 'object' && isObject(value)) {
    for (const [name, child] of Object.entries(value)) {
      const below = into.at(`f:${name}`);
      collect(node.child(name), child, below);
      const isEmptyObject = isObject(child) && Object.keys(child).length === 0;
      if (child === null || isEmptyObject || !node.isDeclared(name)) below.isMember = true;
    }
  } else into.isMember = true;
}

/** Paths by what happened to them. A new or vanished object or item counts itself besides what is in it. */
export type Comparison = { readonly added: FieldSet; readonly modified: FieldSet; readonly removed: FieldSet };

export function compareValues(node: MergeNode, before: unknown, after: unknown): Comparison {
  const result = { added: new FieldSet(), modified: new FieldSet(), removed: new FieldSet() };
  compare(node, before, after, result);
  return result;
}

function compare(declared: MergeNode, before: unknown, after: unknown, into: Comparison): void {
  const node = resolve(declared, after ?? before);
  const isSameShape = before === undefined || after === undefined || resolve(declared, before).kind === node.kind;
  const isBothEmpty = isEmptyContainer(before) && isEmptyContainer(after);
  if (!isSameShape || node.kind === 'leaf' || isBothEmpty) compareLeaf(before, after, into);
  else {
    const [left, right] = [childrenOf(node, before), childrenOf(node, after)];
    for (const element of new Set([...left.keys(), ...right.keys()])) {
      const [old, now] = [left.get(element), right.get(element)];
      const below = {
        added: into.added.at(element),
        modified: into.modified.at(element),
        removed: into.removed.at(element),
      };
      compare((now ?? old)?.node ?? { kind: 'leaf' }, old?.value, now?.value, below);
    }
    if (before === undefined) into.added.isMember = true;
    if (after === undefined) into.removed.isMember = true;
  }
}

function isEmptyContainer(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}

function compareLeaf(before: unknown, after: unknown, into: Comparison): void {
  if (before === undefined) into.added.isMember = true;
  else if (after === undefined) into.removed.isMember = true;
  else if (!deepEqual(before, after)) into.modified.isMember = true;
}

type Child = { readonly node: MergeNode; readonly value: unknown };

function childrenOf(node: MergeNode, value: unknown): Map<string, Child> {
  const children = new Map<string, Child>();
  if (isListNode(node)) {
    for (const [index, item] of asArray(value).entries())
      children.set(storedElement(node, item, index), { node: itemNode(node), value: item });
  } else if (node.kind === 'object' && isObject(value)) {
    for (const [name, child] of Object.entries(value))
      children.set(`f:${name}`, { node: node.child(name), value: child });
  }
  return children;
}

/**
 * Lays a configuration over an object; what it does not name stays.
 *
 * @throws MissingKeyError when an item of the configuration lacks a key, or two have the same
 */
export function mergeValues(declared: MergeNode, live: unknown, config: unknown): unknown {
  if (config === undefined) return live;
  const node = resolve(declared, config);
  if (isListNode(node)) return mergeLists(node, asArray(live), asArray(config));
  if (node.kind !== 'object' || !isObject(config)) return config;
  const result: MutableObject = isObject(live) ? copyOf(live) : {};
  for (const [name, value] of Object.entries(config)) {
    if (value === null) delete result[name];
    else setField(result, name, mergeValues(node.child(name), field(result, name), value));
  }
  return result;
}

/** Items in the order of the configuration, those only on the server where they stood between the others. */
function mergeLists(node: ListNode, live: readonly unknown[], config: readonly unknown[]): unknown[] {
  const wanted = new Map<string, unknown>();
  for (const item of config) {
    const element = elementOf(node, item);
    if (wanted.has(element)) throw new MissingKeyError(`duplicate entries for key ${element.slice(2)}`);
    wanted.set(element, item);
  }
  const stored = live.map((item, index) => ({ element: storedElement(node, item, index), item }));
  const known = new Map(stored.map(({ element, item }) => [element, item]));
  const result: unknown[] = [];
  const done = new Set<string>();
  const order = [...wanted.keys()];
  const shared = order.filter((element) => known.has(element));
  let next = 0;
  const take = (element: string): void => {
    result.push(mergeValues(itemNode(node), known.get(element), wanted.get(element)));
    done.add(element);
    if (shared[0] === element) shared.shift();
  };
  for (let at = 0; at < stored.length || next < order.length;) {
    const server = stored[at];
    const element = order[next];
    if (server !== undefined && element !== undefined) {
      if (server.element === element) {
        take(element);
        at += 1;
        next += 1;
        continue;
      }
      if (wanted.has(server.element) && shared[0] !== undefined && shared[0] !== server.element) {
        at += 1;
        continue;
      }
    }
    if (server !== undefined) {
      if (!wanted.has(server.element)) {
        result.push(server.item);
        at += 1;
        continue;
      }
      if (done.has(server.element)) at += 1;
    }
    if (element !== undefined) {
      take(element);
      next += 1;
    }
  }
  return result;
}

/** The value without the members of the set; objects and lists that become empty vanish (undefined). */
export function removeFields(declared: MergeNode, value: unknown, gone: FieldSet): unknown {
  const node = resolve(declared, value);
  if (isListNode(node) && isArray(value)) {
    const kept = value.flatMap((item, index) => {
      const element = storedElement(node, item, index);
      if (gone.has(element)) return [];
      const below = gone.children.get(element);
      const rest = below === undefined || below.isEmpty() ? item : removeFields(itemNode(node), item, below);
      return rest === undefined ? [] : [rest];
    });
    return kept.length > 0 || value.length === 0 ? kept : undefined;
  }
  if (node.kind !== 'object' || !isObject(value)) return value;
  const result: MutableObject = {};
  for (const [name, child] of Object.entries(value)) {
    const element = `f:${name}`;
    if (gone.has(element)) continue;
    const below = gone.children.get(element);
    const rest = below === undefined || below.isEmpty() ? child : removeFields(node.child(name), child, below);
    if (rest !== undefined) setField(result, name, rest);
  }
  return Object.keys(result).length > 0 || Object.keys(value).length === 0 ? result : undefined;
}

/** The set with every declared field on the way made a member: an object goes when all that was in it goes. */
export function withNamedFields(declared: MergeNode, set: FieldSet, value: unknown): FieldSet {
  const node = resolve(declared, value);
  const children = [...set.children].map(([element, child]) => {
    const name = element.slice(2);
    const isNamed = node.kind === 'object' && element.startsWith('f:') && node.isDeclared(name);
    const below = childrenOf(node, value).get(element);
    const deeper = withNamedFields(below?.node ?? childNode(node, element), child, below?.value);
    return [element, FieldSet.of(child.isMember || isNamed, deeper.children)] as const;
  });
  return FieldSet.of(set.isMember, children);
}

function childNode(node: MergeNode, element: string): MergeNode {
  if (node.kind === 'object' && element.startsWith('f:')) return node.child(element.slice(2));
  return node.kind === 'list' ? node.item : { kind: 'untyped' };
}

/** Field sets below an object that the client left to the server, by subresource. */
export function owned(set: FieldSet, subresource: string | undefined, hasStatus: boolean): FieldSet {
  if (subresource === 'status') return set.filter((element) => element === 'f:status');
  return hasStatus ? set.filter((element) => element !== 'f:status') : set;
}
