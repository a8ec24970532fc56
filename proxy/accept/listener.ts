import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { listen } from '#runtime/listen.ts';
import { originalDestination, type OriginalDestination } from '#netlink/original-destination.ts';

/** Where accepted connections wanted to go. Tests put their own here. */
export type FindDestination = (socket: Socket) => OriginalDestination | undefined;

/** The destination before redirection; the local address of a connection that was not redirected. */
export const kernelDestination: FindDestination = (socket) => {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } };
  const { localAddress, localPort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined; // closed already
  const isMapped = localAddress.startsWith('::ffff:');
  const isIPv6 = localAddress.includes(':') && !isMapped;
  const redirected = handle?.fd === undefined || handle.fd < 0 ? undefined : originalDestination(handle.fd, isIPv6);
  return redirected ?? { address: isMapped ? localAddress.slice(7) : localAddress, port: localPort };
};

const BACKLOG = 4096;

export type ListenerOptions = {
  readonly host: string;
  readonly port: number;
  readonly connectionsMax: number;
  readonly onConnection: (socket: Socket) => void;
};

/** Accepts connections, paused, and keeps track of those that are open. */
export class Listener implements Disposable {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The port, also after `close`. */
  port = 0;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      socket.on('error', () => {}); // whoever owns the socket hears of it by 'close'
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      this.#options.onConnection(socket);
    });
    this.#server.maxConnections = options.connectionsMax;
  }

  /**
   * On `::` it takes IPv4 too, and only that where the kernel has no IPv6.
   *
   * @throws the listen error (`EADDRINUSE` and the like)
   */
  static async listen(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    const server = listener.#server;
    await listen(server, { host: options.host, port: options.port, backlog: BACKLOG });
    listener.port = (server.address() as AddressInfo).port;
    server.on('error', () => {}); // accepting can fail for one connection (EMFILE); the next one may work
    return listener;
  }

  get openCount(): number {
    return this.#sockets.size;
  }

  /** Accepts no more; open connections go on. */
  close(): void {
    this.#server.close();
  }

  /** Resolves when every accepted connection is closed. */
  async allClosed(): Promise<void> {
    await Promise.all(
      [...this.#sockets].map((socket) => new Promise<void>((resolve) => void socket.once('close', () => resolve()))),
    );
  }

  [Symbol.dispose](): void {
    this.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
