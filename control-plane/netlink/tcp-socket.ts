import { closeSync } from 'node:fs';
import { isIPv6, Socket } from 'node:net';

import { addressBytes, be16, host16 } from './bytes.ts';
import { checked, intBuffer, libc, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from './libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SO_REUSEADDR = 2;
const SO_PRIORITY = 12;
const BACKLOG = 511; // as Node's own listeners

/**
 * Sets `SO_PRIORITY`, which nftables reads as `meta priority`.
 *
 * @param priority  0 to 6; more needs CAP_NET_ADMIN
 */
export function setPriority(fd: number, priority: number): void {
  checked('setsockopt(SO_PRIORITY)', libc.setsockopt(fd, SOL_SOCKET, SO_PRIORITY, intBuffer(priority), 4));
}

/**
 * A `net.Socket` whose kernel socket exists before `connect` is called, which Node's own sockets do not offer: in the
 * network namespace the calling thread is in now, and with options that the first packet (SYN) must already carry.
 * Call `socket.connect({ host, port })` on it with an address literal of the same family.
 *
 * @param options.priority       `SO_PRIORITY`, absent for the kernel's 0
 * @param options.allowHalfOpen  as of `net.Socket`
 */
export function openTcpSocket(
  isIPv6: boolean,
  options: { readonly priority?: number; readonly allowHalfOpen?: boolean } = {},
): Socket {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = checked('socket', libc.socket(isIPv6 ? AF_INET6 : AF_INET, type, 0));
  try {
    if (options.priority !== undefined) setPriority(fd, options.priority);
    // manualStart: by default a socket made of a descriptor begins to read, and this one is not connected yet.
    const init = { fd, manualStart: true, allowHalfOpen: options.allowHalfOpen ?? false };
    return new Socket(init);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * A listening socket that nobody accepts from yet, in the network namespace the calling thread is in now: for handing
 * to another process, which then listens with `server.listen({ fd })`.
 *
 * @param port  0 for any
 * @returns a descriptor that is the caller's to close
 * @throws SystemCallError  EADDRINUSE, EACCES (port below 1024), EADDRNOTAVAIL
 */
export function openTcpListener(address: string, port: number): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = checked('socket', libc.socket(isIPv6(address) ? AF_INET6 : AF_INET, type, 0));
  try {
    checked('setsockopt(SO_REUSEADDR)', libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, intBuffer(1), 4));
    const bytes = socketAddress(address, port);
    checked('bind', libc.bind(fd, bytes, bytes.length));
    checked('listen', libc.listen(fd, BACKLOG));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** struct sockaddr_in or sockaddr_in6, without flow and scope. */
function socketAddress(address: string, port: number): Buffer {
  return isIPv6(address)
    ? Buffer.concat([host16(AF_INET6), be16(port), Buffer.alloc(4), addressBytes(address), Buffer.alloc(4)])
    : Buffer.concat([host16(AF_INET), be16(port), addressBytes(address), Buffer.alloc(8)]);
}
