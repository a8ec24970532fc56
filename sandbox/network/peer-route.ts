import { createConnection } from 'node:net';
import { join } from 'node:path';

/** Where other sandboxes of the machine ask a sandbox for connections to its node. */
export function peerSocket(stateDirectory: string): string {
  return join(stateDirectory, 'peers.sock');
}

/** What is said on a peer's socket, as one line of JSON, before anything else. */
export type PeerRequest =
  | { readonly kind: 'connect'; readonly port: number } // to this cluster's node; bytes follow in both directions
  | { readonly kind: 'route'; readonly address: string; readonly socket: string }; // from now on reach that node; answer `ok`

/**
 * Makes a sandbox reach the node of another one.
 *
 * @param from  socket of the one that is to reach
 * @throws when it is gone or cannot
 */
export function routeToPeer(from: string, to: { readonly address: string; readonly socket: string }): Promise<void> {
  const request: PeerRequest = { kind: 'route', ...to };
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = createConnection({ path: from }, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (answer === 'ok\n') resolve();
      else reject(new Error(`no route from one sandbox to the other at ${to.address}: see its log`));
    });
  });
}
