import type { Socket } from 'node:net';
import type { SocketAddress } from './match.ts';

/** The other end of a connection; empty when it is gone. */
export function remoteOf(socket: Socket): SocketAddress {
  const { remoteAddress: address = '', remotePort: port = 0 } = socket;
  return { address: address.startsWith('::ffff:') ? address.slice(7) : address, port };
}
