import { isIPv4 } from 'node:net';

/** An IP address as big-endian 32-bit words: one for IPv4, four for IPv6. */
export type IpAddress = readonly [number] | readonly [number, number, number, number];

/** An address block such as `10.0.0.0/8`. Bits behind the prefix are zero. */
export type Network = { readonly address: IpAddress; readonly prefixBits: number };

/**
 * Reads an address in text form. An IPv4 address mapped into IPv6 (`::ffff:10.0.0.1`, as dual-stack sockets report it)
 * becomes the IPv4 address; a zone (`%eth0`) is dropped.
 *
 * @returns nothing when the text is not an address
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) return isIPv4(text) ? [parseIPv4(text)] : undefined;
  const words = parseIPv6(text);
  if (words === undefined) return undefined;
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff ? [words[3]] : words;
}

function parseIPv4(text: string): number {
  return text.split('.').reduce((word, octet) => word * 256 + Number(octet), 0);
}

const ZONE = /%[0-9A-Za-z.:-]+$/;
const HEXTET = /^[0-9A-Fa-f]{1,4}$/;

/** Not with Node's `isIPv6`: compiling its pattern takes each process 5 ms when it starts. */
function parseIPv6(text: string): readonly [number, number, number, number] | undefined {
  const [head = '', tail, ...more] = text.replace(ZONE, '').split('::');
  const left = hextets(head, tail === undefined);
  const right = hextets(tail ?? '', true);
  if (left === undefined || right === undefined || more.length > 0) return undefined;
  const absent = 8 - left.length - right.length;
  if (tail === undefined ? absent !== 0 : absent < 1) return undefined;
  const all = [...left, ...Array.from({ length: absent }, () => 0), ...right];
  const word = (index: number): number => (all[index * 2] ?? 0) * 0x10000 + (all[index * 2 + 1] ?? 0);
  return [word(0), word(1), word(2), word(3)];
}

/** @param isEnd  of the address, where an IPv4 address may stand for the last two */
function hextets(text: string, isEnd: boolean): readonly number[] | undefined {
  if (text === '') return [];
  const numbers: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (HEXTET.test(part)) numbers.push(Number.parseInt(part, 16));
    else if (isEnd && index === parts.length - 1 && isIPv4(part)) {
      const word = parseIPv4(part);
      numbers.push(Math.floor(word / 0x10000), word % 0x10000);
    } else return undefined;
  }
  return numbers;
}

/** Canonical text of an address. Source: RFC 5952 for IPv6. */
export function formatAddress(address: IpAddress): string {
  if (address.length === 1) {
    const word = address[0];
    return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
  }
  const parts = address.flatMap((word) => [Math.floor(word / 0x10000), word % 0x10000]);
  const gap = longestZeroRun(parts);
  const text = (from: number, to: number): string =>
    parts
      .slice(from, to)
      .map((part) => part.toString(16))
      .join(':');
  return gap === undefined ? text(0, 8) : `${text(0, gap.start)}::${text(gap.end, 8)}`;
}

/** Addresses in the one form in which they are compared; what is none is left out. */
export function canonicalAddresses(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => {
    const address = parseAddress(text);
    return address === undefined ? [] : [formatAddress(address)];
  });
}

function longestZeroRun(parts: readonly number[]): { start: number; end: number } | undefined {
  let best: { start: number; end: number } | undefined;
  for (let start = 0; start < parts.length; start += 1) {
    let end = start;
    while (parts[end] === 0) end += 1;
    if (end - start >= 2 && (best === undefined || end - start > best.end - best.start)) best = { start, end };
    if (end > start) start = end;
  }
  return best;
}

/** Joins an address and a port as in a URL: `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatSocketAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * Reads `10.0.0.0/8`, `fd00::/8` or a single address.
 *
 * @returns nothing when the text is neither, or the prefix is longer than the address
 */
export function parseNetwork(text: string): Network | undefined {
  const [addressText = '', prefixText, ...rest] = text.split('/');
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0) return undefined;
  const bitsMax = address.length * 32;
  if (prefixText === undefined) return { address, prefixBits: bitsMax };
  if (!/^\d{1,3}$/.test(prefixText) || Number(prefixText) > bitsMax) return undefined;
  return network(address, Number(prefixText));
}

/** @param prefixBits  0..32 for IPv4, 0..128 for IPv6 */
export function network(address: IpAddress, prefixBits: number): Network {
  const masked = address.map((word, index) => (word & wordMask(prefixBits, index)) >>> 0);
  const [first = 0, second = 0, third = 0, fourth = 0] = masked;
  return { address: address.length === 1 ? [first] : [first, second, third, fourth], prefixBits };
}

export function formatNetwork(block: Network): string {
  return `${formatAddress(block.address)}/${block.prefixBits}`;
}

export function containsAddress(block: Network, address: IpAddress): boolean {
  if (block.address.length !== address.length) return false;
  for (let index = 0; index * 32 < block.prefixBits; index += 1) {
    const mask = wordMask(block.prefixBits, index);
    if (((address[index] ?? 0) & mask) >>> 0 !== block.address[index]) return false;
  }
  return true;
}

/** Whether a block is the other or a part of it. */
export function containsNetwork(outer: Network, inner: Network): boolean {
  return outer.prefixBits <= inner.prefixBits && containsAddress(outer, inner.address);
}

/** The two halves of a block; none of a single address. */
function halves({ address, prefixBits }: Network): readonly Network[] {
  if (prefixBits === address.length * 32) return [];
  const upper = address.map((word, index) => {
    const bit = prefixBits - index * 32;
    return bit >= 0 && bit < 32 ? (word | (1 << (31 - bit))) >>> 0 : word;
  });
  const [first = 0, second = 0, third = 0, fourth = 0] = upper;
  const other: IpAddress = address.length === 1 ? [first] : [first, second, third, fourth];
  return [address, other].map((half) => network(half, prefixBits + 1));
}

/** @returns an address of a block that is in none of several others; nothing when they hold all of it */
export function addressBeside(others: readonly Network[], block: Network): IpAddress | undefined {
  if (others.some((other) => containsNetwork(other, block))) return undefined;
  const within = others.filter((other) => containsNetwork(block, other));
  if (within.length === 0) return block.address;
  for (const half of halves(block)) {
    const address = addressBeside(within, half);
    if (address !== undefined) return address;
  }
  return undefined;
}

/** Bits of word `index` that belong to a prefix. */
function wordMask(prefixBits: number, index: number): number {
  const bits = Math.min(32, Math.max(0, prefixBits - index * 32));
  return bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0;
}
