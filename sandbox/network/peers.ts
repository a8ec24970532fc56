import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { chmodSync, rmSync } from 'node:fs';
import type { Logger } from '#runtime/log.ts';
import { addressBytes } from '#netlink/bytes.ts';
import {
  ADDRESS_OFFSET,
  equals,
  FAMILY,
  HEADER,
  isProtocol,
  payload,
  PROTOCOL,
  redirect,
} from '#netlink/expressions.ts';
import { addRoute, LOOPBACK_INDEX } from '#netlink/links.ts';
import { applyTables, HOOK, PRIORITY, type Table } from '#netlink/nftables.ts';
import { originalDestination } from '#netlink/original-destination.ts';
import { Netlink } from '#netlink/socket.ts';
import type { PeerRequest } from './peer-route.ts';

const LINE_BYTES_MAX = 1024;
const PEERS_MAX = 16;
const TABLE = 'tulle-peers';
const IP = ADDRESS_OFFSET[FAMILY.ipv4];

/**
 * Lets two sandboxes of one machine reach each other's node addresses over TCP, although each is in namespaces of its
 * own and neither may touch the other's: connections are caught here by nftables and carried over a Unix socket, which
 * both sides see. Lives in the sandbox's network namespace.
 */
export class Peers implements AsyncDisposable {
  readonly #nodeIP: string;
  readonly #log: Logger;
  readonly #path: string;
  readonly #served: Server;
  readonly #caught: Server;
  readonly #sockets = new Set<Socket>();
  readonly #peers = new Map<string, string>(); // address of the node -> socket

  private constructor(path: string, nodeIP: string, log: Logger) {
    this.#path = path;
    this.#nodeIP = nodeIP;
    this.#log = log;
    this.#served = createServer({ allowHalfOpen: true }, (socket) => this.#serve(this.#track(socket)));
    this.#caught = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.#carry(this.#track(socket)),
    );
  }

  /** @param path  of the socket where other sandboxes ask; only the owner of its directory may */
  static async start(path: string, nodeIP: string, log: Logger): Promise<Peers> {
    const peers = new Peers(path, nodeIP, log);
    rmSync(path, { force: true });
    await listening(peers.#served, (done) => peers.#served.listen(path, done));
    chmodSync(path, 0o600);
    await listening(peers.#caught, (done) => peers.#caught.listen(0, '0.0.0.0', done));
    return peers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = [this.#served, this.#caught].map(
      (server) => new Promise<void>((resolve) => void server.close(() => resolve())),
    );
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
    rmSync(this.#path, { force: true });
  }

  #track(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // ends in `close`
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }

  #serve(socket: Socket): void {
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(0x0a);
      if (end < 0 && head.length <= LINE_BYTES_MAX) return;
      socket.off('data', onData);
      socket.pause();
      const request = parseRequest(head.subarray(0, Math.max(end, 0)));
      if (request === undefined) socket.destroy();
      else if (request.kind === 'connect') this.#connect(socket, request.port, head.subarray(end + 1));
      else this.#addRoute(socket, request);
    };
    socket.on('data', onData);
  }

  #connect(socket: Socket, port: number, early: Buffer): void {
    const server = this.#track(createConnection({ host: this.#nodeIP, port, allowHalfOpen: true }));
    if (early.length > 0) server.write(early);
    join(socket, server);
  }

  #addRoute(socket: Socket, { address, socket: path }: { readonly address: string; readonly socket: string }): void {
    try {
      if (this.#peers.size >= PEERS_MAX) throw new Error(`more than ${PEERS_MAX} peers`);
      if (!this.#peers.has(address)) {
        using netlink = new Netlink('route');
        addRoute(netlink, { destination: address, prefix: 32, link: LOOPBACK_INDEX, source: this.#nodeIP });
      }
      this.#peers.set(address, path);
      using netfilter = new Netlink('netfilter');
      const { port } = this.#caught.address() as AddressInfo;
      applyTables(netfilter, [peerTable([...this.#peers.keys()], port)]);
      socket.end('ok\n');
    } catch (error) {
      this.#log.error({ err: error, address }, 'cannot route to another sandbox');
      socket.destroy();
    }
  }

  /** Takes a connection that a program of this cluster made to another node. */
  #carry(socket: Socket): void {
    const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } };
    const original = handle?.fd === undefined ? undefined : originalDestination(handle.fd, false);
    const path = original && this.#peers.get(original.address);
    if (original === undefined || path === undefined) {
      socket.resetAndDestroy();
      return;
    }
    const peer = this.#track(createConnection({ path, allowHalfOpen: true }));
    peer.write(`${JSON.stringify({ kind: 'connect', port: original.port } satisfies PeerRequest)}\n`);
    join(socket, peer);
  }
}

/** Unix sockets know no reset. */
function reset(socket: Socket): void {
  if (socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}

/** Connects two sockets; what ends one without order ends the other so. */
function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.once('close', (hadError) => {
      if (hadError || !from.readableEnded) reset(to);
    });
  }
}

function parseRequest(line: Buffer): PeerRequest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return undefined;
  }
  const { kind, port, address, socket } = (value ?? {}) as Record<string, unknown>;
  if (kind === 'connect' && typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535) {
    return { kind, port };
  }
  if (kind === 'route' && typeof address === 'string' && typeof socket === 'string') return { kind, address, socket };
  return undefined;
}

function peerTable(addresses: readonly string[], port: number): Table {
  const chains = ['prerouting', 'output'] as const;
  return {
    family: FAMILY.ipv4,
    name: TABLE,
    chains: chains.map((name) => ({ name, hook: { type: 'nat', number: HOOK[name], priority: PRIORITY.dnat } })),
    sets: [],
    rules: chains.flatMap((chain) =>
      addresses.map((address) => ({
        chain,
        comment: `peer ${address}`,
        expressions: [
          payload(HEADER.network, IP.destination, IP.length),
          equals(addressBytes(address)),
          ...isProtocol(PROTOCOL.tcp),
          ...redirect(port),
        ],
      })),
    ),
  };
}

function listening(server: Server, listen: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    listen(() => {
      server.off('error', reject);
      resolve();
    });
  });
}
