import { isIP } from 'node:net';

import { addressBytes } from './bytes.ts';
import { FAMILY, type IpFamily } from './expressions.ts';
import { RedirectInputError } from './port-ranges.ts';

/** `address` has zeros where `mask` has; both have 4 or 16 bytes. */
export type Subnet = { readonly family: IpFamily; readonly address: Buffer; readonly mask: Buffer };

/**
 * Reads a comma-separated list of `10.0.0.0/8`, `fd00::/8` or single addresses.
 *
 * @throws RedirectInputError  naming the item that is not a subnet
 */
export function parseSubnets(text: string): Subnet[] {
  if (text.trim() === '') return [];
  return text.split(',').map((item) => parseSubnet(item.trim()));
}

function parseSubnet(item: string): Subnet {
  const [address = '', bits, ...rest] = item.split('/');
  const version = isIP(address);
  const isZoned = address.includes('%');
  if (version === 0 || isZoned || rest.length > 0) {
    throw new RedirectInputError(`subnet "${item}": not an address or CIDR such as 10.0.0.0/8`);
  }
  const whole = addressBytes(address);
  const bitsMax = whole.length * 8;
  const prefix = bits === undefined ? bitsMax : /^\d{1,3}$/.test(bits) ? Number(bits) : bitsMax + 1;
  if (prefix > bitsMax)
    throw new RedirectInputError(`subnet "${item}": the prefix is not a number from 0 to ${bitsMax}`);
  const mask = prefixMask(prefix, whole.length);
  return {
    family: version === 4 ? FAMILY.ipv4 : FAMILY.ipv6,
    address: Buffer.from(whole.map((byte, index) => byte & (mask[index] ?? 0))),
    mask,
  };
}

function prefixMask(prefix: number, bytes: number): Buffer {
  return Buffer.from(
    Array.from({ length: bytes }, (_, index) => {
      const ones = Math.min(8, Math.max(0, prefix - 8 * index));
      return 256 - 2 ** (8 - ones);
    }),
  );
}
