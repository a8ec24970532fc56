import { decodeAttributes, findAttribute, type Attribute } from './attributes.ts';
import { cString } from './bytes.ts';
import {
  chainAttributes,
  elementAttributes,
  nftMessage,
  OPERATION,
  ruleAttributes,
  setAttributes,
  type NftSet,
  type SetElement,
  type Table,
} from './nftables.ts';
import { NetlinkError, type Netlink } from './socket.ts';

const GENERAL_BYTES = 4; // nfgenmsg before the attributes

/**
 * Reads the tables back and compares.
 *
 * @returns what differs, one line each; empty if the kernel holds exactly these programs
 * @throws NetlinkError  EPERM without CAP_NET_ADMIN
 */
export function verifyTables(netlink: Netlink, tables: readonly Table[]): string[] {
  return tables.flatMap((table) => differences(new TableReader(netlink, table), table));
}

/**
 * Whether the table is there and holds anything.
 *
 * @throws NetlinkError  EPERM without CAP_NET_ADMIN
 */
export function hasChains(netlink: Netlink, table: Pick<Table, 'family' | 'name'>): boolean {
  return new TableReader(netlink, table).named(OPERATION.getChain, 3).size > 0;
}

function differences(reader: TableReader, table: Table): string[] {
  const found: string[] = [];
  const differ = (what: string): void => void found.push(`table ${table.name}: ${what}`);

  const chains = reader.named(OPERATION.getChain, 3);
  if (chains.size !== table.chains.length) differ(`${chains.size} chains instead of ${table.chains.length}`);
  for (const chain of table.chains) {
    const got = chains.get(chain.name);
    if (got === undefined || !holds(got, chainAttributes(chain))) differ(`chain ${chain.name} differs`);
  }

  const sets = reader.named(OPERATION.getSet, 2);
  if (sets.size !== table.sets.length) differ(`${sets.size} sets instead of ${table.sets.length}`);
  for (const set of table.sets) {
    const got = sets.get(set.name);
    if (got === undefined || !holds(got, setAttributes(set))) differ(`set ${set.name} differs`);
    else if (!sameElements(set, reader.elements(set.name))) differ(`elements of set ${set.name} differ`);
  }

  const rules = reader.all(OPERATION.getRule, []);
  for (const chain of table.chains) {
    const wanted = table.rules.filter((rule) => rule.chain === chain.name);
    const name = cString(chain.name);
    const got = rules.filter((rule) => findAttribute(rule, 2)?.equals(name) === true);
    if (got.length !== wanted.length) differ(`${got.length} rules in ${chain.name} instead of ${wanted.length}`);
    for (const [index, rule] of wanted.entries()) {
      const at = got[index];
      if (at !== undefined && !holds(at, ruleAttributes(rule))) differ(`rule ${rule.comment} of ${chain.name} differs`);
    }
  }
  return found;
}

/** Dumps of one table. The kernel does not always filter by table, so this does. */
class TableReader {
  readonly #netlink: Netlink;
  readonly #family: number;
  readonly #table: Buffer;

  constructor(netlink: Netlink, table: Pick<Table, 'family' | 'name'>) {
    this.#netlink = netlink;
    this.#family = table.family;
    this.#table = cString(table.name);
  }

  all(operation: number, filter: readonly Attribute[]): Buffer[] {
    try {
      return this.#netlink
        .dump(nftMessage('listing', operation, 0, this.#family, [[1, this.#table], ...filter]))
        .map((reply) => reply.body.subarray(GENERAL_BYTES))
        .filter((body) => findAttribute(body, 1)?.equals(this.#table) === true);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return []; // no such table or set
      throw error;
    }
  }

  named(operation: number, nameAttribute: number): Map<string, Buffer> {
    return new Map(
      this.all(operation, []).map((body) => {
        const name = findAttribute(body, nameAttribute);
        return [name?.toString('utf8', 0, name.length - 1) ?? '', body];
      }),
    );
  }

  elements(set: string): Buffer[] {
    return this.all(OPERATION.getElement, [[2, cString(set)]])
      .flatMap((body) => decodeAttributes(findAttribute(body, 3) ?? Buffer.alloc(0)))
      .map(([, element]) => element);
  }
}

function sameElements(set: NftSet, got: readonly Buffer[]): boolean {
  const id = (key: Buffer, isEnd: boolean): string => `${key.toString('hex')}${isEnd ? ' end' : ''}`;
  const wanted = new Map<string, SetElement>(set.elements.map((e) => [id(e.key, e.isEnd === true), e]));
  if (got.length !== wanted.size) return false;
  return got.every((element) => {
    const key = findAttribute(findAttribute(element, 1) ?? Buffer.alloc(0), 1) ?? Buffer.alloc(0);
    const flags = findAttribute(element, 3)?.readUInt32BE(0) ?? 0;
    const want = wanted.get(id(key, (flags & 1) !== 0));
    return want !== undefined && holds(element, elementAttributes(want));
  });
}

/** Whether all that was sent is in what came back. The kernel adds handles and defaults, but no members to lists. */
function holds(got: Buffer, sent: readonly Attribute[]): boolean {
  const have = decodeAttributes(got);
  const isList =
    sent.some(([, value]) => !Buffer.isBuffer(value)) &&
    sent.every(([type]) => type === 1) &&
    have.every(([type]) => type === 1);
  if (isList && have.length !== sent.length) return false;
  return sent.every(([type, value], index) => {
    const same = isList ? have[index]?.[1] : have.find(([candidate]) => candidate === type)?.[1];
    if (same === undefined) return false;
    return Buffer.isBuffer(value) ? same.equals(value) : holds(same, value);
  });
}
