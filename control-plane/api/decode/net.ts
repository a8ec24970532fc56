import type { IPAddress, IPNetwork, TcpAddress } from '#api/gen/net.ts';
import { formatAddress, network, type IpAddress, type Network } from '#model/address.ts';
import { DecodeError } from './decode-error.ts';

export function decodeAddress(message: IPAddress | undefined, field: string): IpAddress {
  const ip = message?.ip;
  if (ip === undefined) throw new DecodeError(field, 'no address');
  if (ip.$case === 'ipv4') return [ip.value];
  const { first, last } = ip.value;
  return [high(first), low(first), high(last), low(last)];
}

function high(value: bigint): number {
  return Number(value >> 32n);
}

function low(value: bigint): number {
  return Number(value & 0xffff_ffffn);
}

export function decodeSocketAddress(
  message: TcpAddress | undefined,
  field: string,
): { readonly address: string; readonly port: number } {
  const port = message?.port ?? 0;
  if (port < 1 || port > 65_535) throw new DecodeError(`${field}.port`, `${port} is not a port`);
  return { address: formatAddress(decodeAddress(message?.ip, `${field}.ip`)), port };
}

export function decodeNetwork(message: IPNetwork | undefined, field: string): Network {
  const address = decodeAddress(message?.ip, `${field}.ip`);
  const prefixBits = message?.prefixLen ?? 0;
  if (prefixBits > address.length * 32) throw new DecodeError(`${field}.prefix_len`, `${prefixBits} is too long`);
  return network(address, prefixBits);
}
