import { addressText } from './bytes.ts';
import { intBuffer, libc } from './libc.ts';

const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80; // the same number in both families
const SOCKADDR_BYTES = 28; // of sockaddr_in6, the longer one

/** Where an accepted connection wanted to go before the redirect program caught it. */
export type OriginalDestination = { readonly address: string; readonly port: number };

/**
 * The original destination of an accepted connection; its own local address if it was not redirected.
 *
 * @param isIPv6  family of the addresses; an IPv4 connection to a `::` listener (`::ffff:10.0.0.1`) counts as IPv4
 * @returns undefined if the kernel does not track the connection (no nat table in this network namespace)
 */
export function originalDestination(fd: number, isIPv6: boolean): OriginalDestination | undefined {
  const address = Buffer.alloc(SOCKADDR_BYTES);
  const level = isIPv6 ? SOL_IPV6 : SOL_IP;
  if (libc.getsockopt(fd, level, SO_ORIGINAL_DST, address, intBuffer(address.length)) < 0) return undefined;
  const bytes = isIPv6 ? address.subarray(8, 24) : address.subarray(4, 8);
  return { address: addressText(bytes), port: address.readUInt16BE(2) };
}
