import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { inNetns } from '#netlink/namespace.ts';
import { openTcpSocket } from '#netlink/tcp-socket.ts';

import { StatusError } from '../apiserver/status-error.ts';

const CONNECT_MS_MAX = 5000;

/**
 * Connects to a port of the pod's loopback. The socket is made inside the pod's network namespace and stays there; the
 * connection itself is made at home.
 *
 * @param netns  descriptor of the namespace; absent: the node's network
 * @throws StatusError  500 when nothing listens there
 */
export async function forwardPort(netns: number | undefined, port: number): Promise<Duplex> {
  const open = (): Socket => openTcpSocket(false, { allowHalfOpen: true });
  const socket = netns === undefined ? open() : inNetns(netns, open);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('i/o timeout')), CONNECT_MS_MAX);
  socket.once('connect', () => resolve());
  socket.once('error', reject);
  socket.connect({ host: '127.0.0.1', port });
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    const isRefused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
    const reason = isRefused ? 'connection refused' : String(error);
    const message = `failed to connect to localhost:${port} inside the pod's network namespace: ${reason}`;
    throw new StatusError(500, 'InternalError', message, undefined, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  socket.off('error', reject);
  socket.setNoDelay(true);
  return socket;
}
