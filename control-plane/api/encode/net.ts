import type { IPAddress, IPNetwork, TcpAddress } from '#api/gen/net.ts';
import { parseAddress, type IpAddress, type Network } from '#model/address.ts';

export function encodeAddress(address: IpAddress): IPAddress {
  if (address.length === 1) return { ip: { $case: 'ipv4', value: address[0] } };
  const [first, second, third, fourth] = address;
  return { ip: { $case: 'ipv6', value: { first: join(first, second), last: join(third, fourth) } } };
}

function join(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** @throws when the text is not an address: a model never holds one that is not */
export function encodeSocketAddress(address: string, port: number): TcpAddress {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new TypeError(`"${address}" is not an IP address`);
  return { ip: encodeAddress(parsed), port };
}

export function encodeNetwork(network: Network): IPNetwork {
  return { ip: encodeAddress(network.address), prefixLen: network.prefixBits };
}
