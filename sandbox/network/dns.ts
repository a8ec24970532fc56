import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

import type { Logger } from '#runtime/log.ts';
import { be16 } from '#netlink/bytes.ts';

import { CLUSTER_DOMAIN } from './addresses.ts';
import { encodeFailure, encodeResponse, parseQuery, RCODE, TYPE, type Query } from './dns-message.ts';
import { DnsZone } from './dns-zone.ts';
import type { ServiceIndex } from './service-index.ts';

export type DnsOptions = {
  readonly address: string;
  readonly port: number; // 0: any, the same for UDP and TCP
  readonly clusterDomain?: string;
  readonly log: Logger;
  /**
   * Asks somebody else about names outside the cluster: the whole query in, the whole response out. Absent: such names
   * do not exist, as a sandbox reaches nothing outside anyway, and no packet leaves.
   */
  readonly forward?: (query: Buffer) => Promise<Buffer>;
};

const CONNECTIONS_MAX = 256;
const IDLE_MS_MAX = 10_000;
/** A query is a name and some options; a longer message is not one. */
const QUERY_BYTES_MAX = 4096;
const FORWARDED_MAX = 64;
/** Chosen by the kernel for UDP, a port may be taken for TCP: then another pair is tried. */
const PORT_ATTEMPTS = 10;

/** The cluster's DNS server, by UDP and TCP. */
export class DnsServer implements AsyncDisposable {
  readonly #zone: DnsZone;
  readonly #options: DnsOptions;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();
  #forwarded = 0;

  private constructor(zone: DnsZone, options: DnsOptions, udp: UdpSocket, tcp: Server) {
    this.#zone = zone;
    this.#options = options;
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on('message', (bytes, from) => void this.#datagram(bytes, from));
    udp.on('error', (error) => options.log.warn({ err: error }, 'DNS socket'));
    tcp.on('connection', (socket) => this.#accept(socket));
    tcp.on('error', (error) => options.log.warn({ err: error }, 'DNS listener'));
    tcp.maxConnections = CONNECTIONS_MAX;
  }

  /** @throws Error  EADDRINUSE, EADDRNOTAVAIL and so on */
  static async start(index: ServiceIndex, options: DnsOptions): Promise<DnsServer> {
    const { udp, tcp } = await listen(options);
    return new DnsServer(new DnsZone(index, options.clusterDomain ?? CLUSTER_DOMAIN), options, udp, tcp);
  }

  get port(): number {
    return this.#udp.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#zone[Symbol.dispose]();
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
    await once(this.#tcp, 'close');
  }

  async #datagram(bytes: Buffer, from: RemoteInfo): Promise<void> {
    const response = await this.#respond(bytes, 'udp');
    if (response === undefined) return;
    try {
      // Errors of sending are the client's loss; it asks again.
      this.#udp.send(response, from.port, from.address, () => {});
    } catch (error) {
      this.#options.log.debug({ err: error }, 'DNS response was not sent');
    }
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
    void this.#converse(socket);
  }

  /** One query after the other, each with its length before it. */
  async #converse(socket: Socket): Promise<void> {
    let pending: Buffer = Buffer.alloc(0);
    try {
      for await (const part of socket) {
        pending = Buffer.concat([pending, part as Buffer]);
        while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
          const length = pending.readUInt16BE(0);
          if (length > QUERY_BYTES_MAX) return;
          const response = await this.#respond(pending.subarray(2, 2 + length), 'tcp');
          pending = pending.subarray(2 + length);
          if (response === undefined) return;
          const hasRoom = socket.write(Buffer.concat([be16(response.length), response]));
          if (!hasRoom) await once(socket, 'drain');
        }
        if (pending.length >= 2 && pending.readUInt16BE(0) > QUERY_BYTES_MAX) return;
      }
    } catch {
      // The client has gone.
    } finally {
      socket.destroySoon();
    }
  }

  /** @returns undefined if the message deserves no answer */
  async #respond(bytes: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const parsed = parseQuery(bytes);
    switch (parsed.kind) {
      case 'ignore':
        return undefined;
      case 'fail':
        return parsed.response;
      case 'query': {
        const { query } = parsed;
        if (query.type === TYPE.axfr) return encodeFailure(query, RCODE.refused);
        const response = this.#zone.response(query.name, query.type);
        return response === undefined ? this.#outside(query, bytes) : encodeResponse(query, response, transport);
      }
    }
  }

  async #outside(query: Query, bytes: Buffer): Promise<Buffer> {
    const { forward, log } = this.#options;
    if (forward === undefined) return encodeFailure(query, RCODE.nxDomain);
    if (this.#forwarded >= FORWARDED_MAX) return encodeFailure(query, RCODE.servFail);
    this.#forwarded += 1;
    try {
      return await forward(bytes);
    } catch (error) {
      log.debug({ err: error, name: query.name.join('.') }, 'DNS query was not answered outside');
      return encodeFailure(query, RCODE.servFail);
    } finally {
      this.#forwarded -= 1;
    }
  }
}

async function listen({ address, port }: DnsOptions): Promise<{ udp: UdpSocket; tcp: Server }> {
  for (let attempt = 1; ; attempt += 1) {
    const udp = createSocket('udp4');
    const tcp = createServer();
    try {
      udp.bind(port, address);
      await once(udp, 'listening');
      tcp.listen(udp.address().port, address);
      await once(tcp, 'listening');
      return { udp, tcp };
    } catch (error) {
      udp.close();
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (!isTaken || port !== 0 || attempt >= PORT_ATTEMPTS) throw error;
    }
  }
}
