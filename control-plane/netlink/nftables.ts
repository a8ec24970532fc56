import { encodeAttributes, type Attribute } from './attributes.ts';
import { be32, cString } from './bytes.ts';
import { dataValue, type Expression } from './expressions.ts';
import { FLAG, type Message, type Netlink } from './socket.ts';

/** A whole table. What is described here is all that the table holds after `applyTables`. */
export type Table = {
  readonly family: number; // FAMILY
  readonly name: string;
  readonly chains: readonly Chain[];
  readonly sets: readonly NftSet[];
  readonly rules: readonly Rule[]; // in order, within each chain
};

/** A chain; with a hook the kernel calls it, otherwise rules jump to it. */
export type Chain = {
  readonly name: string;
  readonly hook?: { readonly type: 'nat' | 'filter'; readonly number: number; readonly priority: number };
};

export type Rule = { readonly chain: string; readonly comment: string; readonly expressions: readonly Expression[] };

/** A set, or a map when `map` says what it maps to. Types are only for what `nft` prints. */
export type NftSet = {
  readonly name: string;
  readonly keyType: number;
  readonly keyBytes: number;
  readonly isInterval?: boolean;
  readonly map?: { readonly to: 'verdict' } | { readonly to: 'data'; readonly type: number; readonly bytes: number };
  readonly elements: readonly SetElement[];
};

/** Of an interval set: a first value, or with `isEnd` the first value after the range. */
export type SetElement = { readonly key: Buffer; readonly isEnd?: boolean; readonly data?: readonly Attribute[] };

export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
/** Priorities of hooks, where other programs expect them. */
export const PRIORITY = { dnat: -100, filter: 0, snat: 100 } as const;

export const OPERATION = {
  newTable: 0,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  newRule: 6,
  getRule: 7,
  newSet: 9,
  getSet: 10,
  newElement: 12,
  getElement: 13,
} as const;

const SUBSYSTEM_NFTABLES = 10;
const BATCH_BEGIN = 16;
const BATCH_END = 17;
const POLICY_ACCEPT = 1;
const SET_INTERVAL = 4;
const SET_MAP = 8;
const DATA_TYPE_VERDICT = 0xffffff00;
const ELEMENT_END = 1;
/** A list attribute holds 64 KiB. */
const ELEMENTS_PER_MESSAGE = 500;

/**
 * Puts the tables in force, replacing what they held. The kernel commits all at once or nothing: at any moment the old
 * or the new program is in force.
 *
 * @throws NetlinkError  EPERM without CAP_NET_ADMIN; otherwise what the kernel does not know (see `explainRefusal`)
 */
export function applyTables(netlink: Netlink, tables: readonly Table[]): void {
  commit(netlink, tables.flatMap(replacement));
}

/** Removes the tables; it is fine if they do not exist. */
export function removeTables(netlink: Netlink, tables: readonly Pick<Table, 'family' | 'name'>[]): void {
  commit(netlink, tables.flatMap(removal));
}

/** A message of the nftables subsystem. */
export function nftMessage(
  what: string,
  operation: number,
  flags: number,
  family: number,
  attributes: readonly Attribute[],
): Message {
  const general = Buffer.of(family, 0, 0, 0); // nfgenmsg: family, version, resource id
  return {
    what,
    type: (SUBSYSTEM_NFTABLES << 8) | operation,
    flags,
    fixedBytes: general.length,
    body: Buffer.concat([general, encodeAttributes(attributes)]),
  };
}

export function chainAttributes({ hook }: Chain): Attribute[] {
  if (hook === undefined) return [];
  return [
    [
      4,
      [
        [1, be32(hook.number)],
        [2, be32(hook.priority)],
      ],
    ],
    [5, be32(POLICY_ACCEPT)],
    [7, cString(hook.type)],
  ];
}

export function setFlags(set: NftSet): number {
  return (set.isInterval === true ? SET_INTERVAL : 0) | (set.map === undefined ? 0 : SET_MAP);
}

export function setAttributes(set: NftSet): Attribute[] {
  const attributes: Attribute[] = [
    [4, be32(set.keyType)],
    [5, be32(set.keyBytes)],
  ];
  // A set without flags is dumped without the attribute, and what is sent must come back.
  if (setFlags(set) !== 0) attributes.push([3, be32(setFlags(set))]);
  if (set.map?.to === 'verdict') attributes.push([6, be32(DATA_TYPE_VERDICT)]);
  if (set.map?.to === 'data') attributes.push([6, be32(set.map.type)], [7, be32(set.map.bytes)]);
  return attributes;
}

export function elementAttributes(element: SetElement): Attribute[] {
  const attributes: Attribute[] = [[1, dataValue(element.key)]];
  if (element.isEnd === true) attributes.push([3, be32(ELEMENT_END)]);
  if (element.data !== undefined) attributes.push([2, element.data]);
  return attributes;
}

/** Expressions, and the comment in the form that `nft` prints (type 0, length, text with NUL). */
export function ruleAttributes(rule: Rule): Attribute[] {
  const text = cString(rule.comment);
  return [
    [4, rule.expressions],
    [7, Buffer.concat([Buffer.of(0, text.length), text])],
  ];
}

function removal({ family, name }: Pick<Table, 'family' | 'name'>): Message[] {
  const table: Attribute = [1, cString(name)];
  // Adding first makes deleting work whether or not the table exists.
  return [
    nftMessage(`table ${name}`, OPERATION.newTable, FLAG.create, family, [table]),
    nftMessage(`old table ${name}`, OPERATION.deleteTable, 0, family, [table]),
  ];
}

function replacement(table: Table): Message[] {
  const { family } = table;
  const inTable: Attribute = [1, cString(table.name)];
  const create = (what: string, operation: number, attributes: readonly Attribute[], flags: number = FLAG.create) =>
    nftMessage(what, operation, flags, family, [inTable, ...attributes]);

  const messages = removal(table);
  messages.push(create(`table ${table.name}`, OPERATION.newTable, []));
  for (const chain of table.chains) {
    const attributes: Attribute[] = [[3, cString(chain.name)], ...chainAttributes(chain)];
    messages.push(create(`chain ${chain.name}`, OPERATION.newChain, attributes));
  }
  for (const [index, set] of table.sets.entries()) {
    const name: Attribute = [2, cString(set.name)];
    const id: Attribute = [10, be32(index + 1)]; // mandatory, unique in the batch
    messages.push(create(`set ${set.name}`, OPERATION.newSet, [name, id, ...setAttributes(set)]));
    for (let from = 0; from < set.elements.length; from += ELEMENTS_PER_MESSAGE) {
      const some = set.elements.slice(from, from + ELEMENTS_PER_MESSAGE);
      const list = some.map((element): Attribute => [1, elementAttributes(element)]);
      messages.push(create(`elements of ${set.name}`, OPERATION.newElement, [name, [3, list]]));
    }
  }
  for (const rule of table.rules) {
    const attributes: Attribute[] = [[2, cString(rule.chain)], ...ruleAttributes(rule)];
    const flags = FLAG.create | FLAG.append;
    messages.push(create(`rule ${rule.chain} ${rule.comment}`, OPERATION.newRule, attributes, flags));
  }
  return messages;
}

function commit(netlink: Netlink, messages: readonly Message[]): void {
  const last = messages.at(-1);
  if (last === undefined) return;
  const edge = (what: string, type: number): Message => {
    const general = Buffer.of(0, 0, 0, SUBSYSTEM_NFTABLES); // the resource id is the subsystem, big endian
    return { what, type, flags: 0, fixedBytes: general.length, body: general };
  };
  netlink.request([
    edge('batch begin', BATCH_BEGIN),
    ...messages.slice(0, -1),
    { ...last, flags: last.flags | FLAG.ack },
    edge('commit', BATCH_END),
  ]);
}
