import { isIPv6 } from 'node:net';

import { isLittleEndian } from './libc.ts';

/** Netlink headers, attribute headers and rtnetlink payloads are in host order; numbers inside nftables big endian. */
export function host16(value: number): Buffer {
  return Buffer.from(Uint16Array.of(value).buffer);
}

export function host32(value: number): Buffer {
  return Buffer.from(Uint32Array.of(value).buffer);
}

export function be16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** @param value  unsigned, or negative for nftables verdict codes */
export function be32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

/** A string with the NUL that the kernel wants. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

export function readHost16(bytes: Buffer, offset: number): number {
  return isLittleEndian ? bytes.readUInt16LE(offset) : bytes.readUInt16BE(offset);
}

export function readHost32(bytes: Buffer, offset: number): number {
  return isLittleEndian ? bytes.readUInt32LE(offset) : bytes.readUInt32BE(offset);
}

/** Next multiple of 4. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** Zero-padded to a multiple of 4, as fields of concatenated nftables keys are. */
export function padded(bytes: Buffer): Buffer {
  const length = align4(bytes.length);
  return length === bytes.length ? bytes : Buffer.concat([bytes], length);
}

/**
 * 4 or 16 bytes in network order.
 *
 * @param address  an address that `net.isIP` accepts, without a zone
 */
export function addressBytes(address: string): Buffer {
  return isIPv6(address) ? ipv6Bytes(address) : Buffer.from(address.split('.').map(Number));
}

function ipv6Bytes(address: string): Buffer {
  const [left = '', right] = address.split('::');
  const head = groups(left);
  const tail = groups(right ?? '');
  const zeros = right === undefined ? 0 : 16 - head.length - tail.length;
  return Buffer.concat([head, Buffer.alloc(zeros), tail]);
}

/** One side of `::`; its last group may be a dotted IPv4 address. */
function groups(side: string): Buffer {
  if (side === '') return Buffer.alloc(0);
  return Buffer.concat(
    side.split(':').map((group) => (group.includes('.') ? addressBytes(group) : be16(Number.parseInt(group, 16)))),
  );
}

/** The shortest usual text of 4 or 16 bytes; longest run of zero groups as `::` (RFC 5952). */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  const text = words.join(':');
  let longest = { index: 0, run: '' };
  for (const { index, 0: run } of text.matchAll(/\b0(?::0)+\b/g))
    if (run.length > longest.run.length) longest = { index, run };
  if (longest.run === '') return text;
  const before = text.slice(0, longest.index).replace(/:$/, '');
  const after = text.slice(longest.index + longest.run.length).replace(/^:/, '');
  return `${before}::${after}`;
}
