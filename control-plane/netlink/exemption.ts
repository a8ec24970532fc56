import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';

import { openTcpSocket } from './tcp-socket.ts';

/** How the redirect program tells the proxy's own connections from the application's. */
export type Exemption =
  | { readonly kind: 'uid'; readonly uid: number }
  | { readonly kind: 'priority'; readonly priority: 5 };

/**
 * How this user namespace can tell the proxy's connections apart. The init step programs it and the proxy acts on it;
 * both ask here, so they agree.
 *
 * Normally the proxy runs as a user of its own. In a user namespace that maps one id only (the sandbox of an ordinary
 * user), everything runs as the same user; there the proxy sets `SO_PRIORITY` 5 before it connects. Any process may
 * set 0 to 6 without a capability, and 5 is the one value of those that no type of service (`IP_TOS`) leads to.
 *
 * @param uidMap  contents of /proc/self/uid_map, absent on a kernel without user namespaces
 */
export function exemption(proxyUid: number, uidMap: string | undefined = readUidMap()): Exemption {
  return isMapped(proxyUid, uidMap) ? { kind: 'uid', uid: proxyUid } : { kind: 'priority', priority: 5 };
}

/**
 * A socket, not yet connected, whose connection the redirect program leaves alone: call
 * `socket.connect({ host, port })` with an address literal. Every connection that the proxy makes must start here;
 * an unmarked one comes back to the proxy and goes round in circles.
 */
export function openExemptSocket(
  exempt: Exemption,
  isIPv6: boolean,
  options: { readonly allowHalfOpen?: boolean } = {},
): Socket {
  if (exempt.kind === 'uid') return new Socket({ allowHalfOpen: options.allowHalfOpen ?? false });
  return openTcpSocket(isIPv6, { ...options, priority: exempt.priority });
}

/** Lines of `first id inside, first id outside, count` (user_namespaces(7)). */
function isMapped(uid: number, uidMap: string | undefined): boolean {
  if (uidMap === undefined) return true;
  return uidMap.split('\n').some((line) => {
    const [inside, , count] = line.trim().split(/\s+/).map(Number);
    return inside !== undefined && count !== undefined && uid >= inside && uid < inside + count;
  });
}

function readUidMap(): string | undefined {
  try {
    return readFileSync('/proc/self/uid_map', 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
