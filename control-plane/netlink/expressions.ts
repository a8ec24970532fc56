import type { Attribute } from './attributes.ts';
import { be16, be32, cString } from './bytes.ts';

/**
 * nftables expressions: the instructions of a rule. They work on registers. 1 to 4 hold 16 bytes each; 8 to 23 are the
 * same memory in words of 4 bytes (1 is 8..11, 2 is 12..15). Register 0 is the verdict. An aligned word must be called
 * by its short number, since that is what the kernel reports back.
 */
export type Expression = Attribute;

export const FAMILY = { inet: 1, ipv4: 2, ipv6: 10 } as const;
export type IpFamily = typeof FAMILY.ipv4 | typeof FAMILY.ipv6;

export const PROTOCOL = { tcp: 6, udp: 17 } as const;
/** Keys of `meta`. Ids, marks and interfaces compare in host order, the protocols are one byte. */
export const META = { priority: 2, mark: 3, oif: 5, skuid: 10, skgid: 11, nfproto: 15, l4proto: 16 } as const;
export const VERDICT = { accept: 1, jump: -3, goto: -4, return: -5 } as const;
export const HEADER = { network: 1, transport: 2 } as const;
const COMPARE_EQUAL = 0;
/** Both ends of the range are given by the register. */
const NAT_PROTO_SPECIFIED = 2;
const NAT_MAP_ADDRESS_AND_PORT = 3;
const SNAT = 0;
const DNAT = 1;
const NUMGEN_RANDOM = 1;
const REJECT = { icmpUnreachable: 0, tcpReset: 1 } as const;
const ICMP_PORT_UNREACHABLE = 3;
const ICMPV6_PORT_UNREACHABLE = 4;

/** Offsets in the network header; lengths are 4 and 16. */
export const ADDRESS_OFFSET = {
  [FAMILY.ipv4]: { source: 12, destination: 16, length: 4 },
  [FAMILY.ipv6]: { source: 8, destination: 24, length: 16 },
} as const;

/** Data as nftables wants it wherever a value is compared, loaded or stored in a set. */
export function dataValue(bytes: Buffer): Attribute[] {
  return [[1, bytes]];
}

/** A verdict as data, for immediate expressions and verdict maps. */
export function dataVerdict(code: number, chain?: string): Attribute[] {
  const verdict: Attribute[] = [[1, be32(code)]];
  if (chain !== undefined) verdict.push([2, cString(chain)]);
  return [[2, verdict]];
}

export function meta(key: number, register = 1): Expression {
  return expression('meta', [1, be32(register)], [2, be32(key)]);
}

export function payload(header: number, offset: number, length: number, register = 1): Expression {
  return expression('payload', [1, be32(register)], [2, be32(header)], [3, be32(offset)], [4, be32(length)]);
}

/** Goes on to the next expression only if register 1 equals the bytes. */
export function equals(bytes: Buffer): Expression {
  return expression('cmp', [1, be32(1)], [2, be32(COMPARE_EQUAL)], [3, dataValue(bytes)]);
}

/** Register 1 = register 1 & mask. */
export function and(mask: Buffer): Expression {
  const zero = Buffer.alloc(mask.length);
  return expression(
    'bitwise',
    [1, be32(1)],
    [2, be32(1)],
    [3, be32(mask.length)],
    [4, dataValue(mask)],
    [5, dataValue(zero)],
  );
}

/** Goes on only if the set holds what is in the registers from 1 on; a map then writes to `into` (0 = verdict). */
export function lookup(set: string, into?: number): Expression {
  const attributes: Attribute[] = [
    [1, cString(set)],
    [2, be32(1)],
  ];
  if (into !== undefined) attributes.push([3, be32(into)]);
  return expression('lookup', ...attributes);
}

/** Register = uniform random number in [0, modulus), host order. */
export function random(modulus: number, register = 1): Expression {
  return expression('numgen', [1, be32(register)], [2, be32(modulus)], [3, be32(NUMGEN_RANDOM)]);
}

export function verdict(code: number, chain?: string): Expression {
  return expression('immediate', [1, be32(0)], [2, dataVerdict(code, chain)]);
}

/** Sends the connection to a port of this host. */
export function redirect(port: number): Expression[] {
  return [
    expression('immediate', [1, be32(1)], [2, dataValue(be16(port))]),
    expression('redir', [1, be32(1)], [3, be32(NAT_PROTO_SPECIFIED)]),
  ];
}

/** Sends the connection to the address in register 1 and the port in the word after it. */
export function dnat(family: IpFamily): Expression {
  return expression(
    'nat',
    [1, be32(DNAT)],
    [2, be32(family)],
    [3, be32(1)],
    [5, be32(wordAfterAddress(family))],
    [7, be32(NAT_MAP_ADDRESS_AND_PORT)],
  );
}

/** Gives the connection this source address. */
export function snat(family: IpFamily, address: Buffer): Expression[] {
  return [
    expression('immediate', [1, be32(1)], [2, dataValue(address)]),
    expression('nat', [1, be32(SNAT)], [2, be32(family)], [3, be32(1)]),
  ];
}

/** Ends a TCP connection attempt with a reset. Only in filter chains of input, forward and output. */
export function rejectWithReset(): Expression {
  return expression('reject', [1, be32(REJECT.tcpReset)]);
}

/** Answers "port unreachable". Only in filter chains of tables of that family. */
export function rejectWithUnreachable(family: IpFamily): Expression {
  const code = family === FAMILY.ipv4 ? ICMP_PORT_UNREACHABLE : ICMPV6_PORT_UNREACHABLE;
  return expression('reject', [1, be32(REJECT.icmpUnreachable)], [2, Buffer.of(code)]);
}

/** Register that follows an address loaded into register 1. */
export function wordAfterAddress(family: IpFamily): number {
  return family === FAMILY.ipv4 ? 9 : 2;
}

export function isFamily(family: IpFamily): Expression[] {
  return [meta(META.nfproto), equals(Buffer.of(family))];
}

export function isProtocol(protocol: number): Expression[] {
  return [meta(META.l4proto), equals(Buffer.of(protocol))];
}

/** Register 1 (or another) = destination port of TCP or UDP, network order. */
export function destinationPort(register = 1): Expression {
  return payload(HEADER.transport, 2, 2, register);
}

function expression(name: string, ...attributes: Attribute[]): Expression {
  return [
    1,
    [
      [1, cString(name)],
      [2, attributes],
    ],
  ];
}
