import type { Socket } from 'node:net';
import { connect as connectTls, type DetailedPeerCertificate, type PeerCertificate, type TLSSocket } from 'node:tls';
import { formatSocketAddress } from '#model/address.ts';
import type { Endpoint, EndpointIdentity } from '#model/endpoint.ts';
import { parseHostPort } from '#model/service-target.ts';
import { openExemptSocket, type Exemption } from '#netlink/exemption.ts';
import { ProxyError } from '../errors.ts';
import type { Credentials } from '../identity/credentials.ts';
import { identityNames } from '../identity/peer-name.ts';
import { Connection, type ByteCounter } from './connection.ts';
import { encodeTransportHeader, TRANSPORT_ALPN, type TransportHeader } from './transport-header.ts';

export type ConnectOptions = {
  /** Keeps the connection out of this pod's own redirection. */
  readonly exemption: Exemption;
  readonly timeoutMs: number; // for TCP
  readonly keepAliveMs: number; // TCP keep-alive probes when idle
  /** One direction may end before the other. Default true; HTTP/2 sessions take an end as the end. */
  readonly allowHalfOpen?: boolean;
};

/** For the TLS handshake after TCP: long, because a busy peer is better waited for than flooded with retries. */
const HANDSHAKE_MS = 10_000;

/** @throws ProxyError  `connect-refused`, `connect-timeout` or `connect-failed` */
export function connectTcp(address: string, port: number, options: ConnectOptions): Promise<Socket> {
  const target = formatSocketAddress(address, port);
  return new Promise((resolve, reject) => {
    let socket: Socket;
    try {
      socket = openExemptSocket(options.exemption, address.includes(':'), {
        allowHalfOpen: options.allowHalfOpen ?? true,
      });
    } catch (error) {
      reject(new ProxyError('connect-failed', `no socket for ${target}: ${messageOf(error)}`, { cause: error }));
      return;
    }
    // One more look at the sockets first: after a busy moment the answer may be there, only not read yet.
    const timer = setTimeout(
      () =>
        setImmediate(() => {
          if (!socket.connecting || socket.destroyed) return;
          fail(new ProxyError('connect-timeout', `${target} did not answer within ${options.timeoutMs} ms`));
        }),
      options.timeoutMs,
    );
    const onError = (error: Error): void => {
      const isRefused = 'code' in error && error.code === 'ECONNREFUSED';
      fail(
        isRefused
          ? new ProxyError('connect-refused', `${target} refused the connection`)
          : new ProxyError('connect-failed', `cannot connect to ${target}: ${error.message}`, { cause: error }),
      );
    };
    const fail = (error: ProxyError): void => {
      clearTimeout(timer);
      socket.off('error', onError);
      socket.destroy();
      reject(error);
    };
    socket.on('error', ignore); // errors before and after the owner listens
    socket.on('error', onError);
    socket.connect({ host: address, port }, () => {
      clearTimeout(timer);
      socket.off('error', onError);
      socket.setNoDelay(true);
      if (options.keepAliveMs > 0) socket.setKeepAlive(true, options.keepAliveMs);
      resolve(socket);
    });
  });
}

/**
 * Mutual TLS over a connected socket, with a peer that must prove this identity.
 *
 * @throws ProxyError  `peer-identity` or `connect-timeout`
 */
export function handshake(
  socket: Socket,
  identity: Pick<EndpointIdentity, 'name' | 'serverName'>,
  credentials: Pick<Credentials, 'context'>,
  alpn: readonly string[],
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      secureContext: credentials.context,
      servername: identity.serverName,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) => checkName(identity.name, certificate),
    });
    // Node asks for everything about the whole chain, as objects: a twelfth of what a handshake costs. Only the leaf is looked at.
    tls.getPeerCertificate = () => ({ raw: tls.getPeerX509Certificate()?.raw }) as DetailedPeerCertificate;
    const timer = setTimeout(
      () => fail(new ProxyError('connect-timeout', `no TLS handshake within ${HANDSHAKE_MS} ms`)),
      HANDSHAKE_MS,
    );
    const fail = (error: ProxyError): void => {
      clearTimeout(timer);
      tls.destroy();
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void =>
      fail(new ProxyError('peer-identity', `TLS with ${identity.name} failed: ${error.message}`, { cause: error }));
    const onClose = (): void =>
      fail(new ProxyError('peer-identity', `${identity.name} closed the connection during TLS`));
    tls.on('error', ignore);
    tls.once('error', onError);
    tls.once('close', onClose);
    tls.once('secureConnect', () => {
      clearTimeout(timer);
      tls.off('error', onError);
      tls.off('close', onClose);
      resolve(tls);
    });
  });
}

export type MeshConnectOptions = ConnectOptions & {
  readonly credentials: Credentials;
  readonly session: 'http1' | 'http2' | undefined; // what will be spoken; absent: opaque bytes
};

/** A connection to the proxy of a meshed endpoint, with the transport header sent if the peer takes one. */
export async function connectMesh(
  endpoint: Endpoint & { readonly identity: EndpointIdentity },
  counter: ByteCounter | undefined,
  options: MeshConnectOptions,
): Promise<Connection> {
  const { opaqueTransportPort, authorityOverride } = endpoint;
  const socket = await connectTcp(endpoint.address, opaqueTransportPort ?? endpoint.port, options);
  const wantsHeader = opaqueTransportPort !== undefined || authorityOverride !== undefined;
  const tls = await handshake(socket, endpoint.identity, options.credentials, wantsHeader ? [TRANSPORT_ALPN] : []);
  const connection = new Connection(tls, counter, socket);
  // A peer that did not choose the protocol is too old for the header and serves the port that was dialled.
  if (tls.alpnProtocol === TRANSPORT_ALPN) {
    const session = options.session === undefined ? {} : { session: options.session };
    connection.write(encodeTransportHeader({ ...headerTarget(endpoint), ...session }));
  } else if (authorityOverride !== undefined) {
    connection.destroy();
    throw new ProxyError('connect-failed', `${endpoint.identity.name} takes no transport header: it is no gateway`);
  }
  return connection;
}

/** What the peer is to connect to: its own port, or behind a gateway a name and the port there. */
function headerTarget({ port, authorityOverride }: Endpoint): Pick<TransportHeader, 'port' | 'name'> {
  const behind = authorityOverride === undefined ? undefined : parseHostPort(authorityOverride);
  return behind === undefined ? { port } : { port: behind.port, name: behind.host };
}

function checkName(expected: string, { raw }: Partial<PeerCertificate>): Error | undefined {
  const names = raw === undefined ? [] : identityNames(raw);
  if (names.includes(expected)) return undefined;
  return new Error(`its certificate names ${names.length === 0 ? 'nobody' : names.join(', ')}`);
}

function ignore(): void {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
