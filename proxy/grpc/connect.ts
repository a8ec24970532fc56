import type { Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import type { Exemption } from '#netlink/exemption.ts';
import { identityNames } from '../identity/peer-name.ts';
import { connectTcp } from '../transport/connect.ts';
import { Connection } from '../transport/connection.ts';
import type { ControlAddress } from './address.ts';

const CONNECT_MS = 2000;
const HANDSHAKE_MS = 5000;
const TCP_KEEP_ALIVE_MS = 10_000;

export type ControlConnectOptions = {
  readonly exemption: Exemption;
  /** For the next handshake: with this workload's certificate once there is one. */
  readonly context: () => SecureContext;
};

/**
 * A connection to one address of a control-plane service, over TLS 1.3 with a server that proved its identity.
 *
 * Not grpc-js's channel: that opens its sockets itself, and the proxy's own connections have to be marked before they
 * connect, or this pod's redirection would catch them.
 */
export async function connectControl(
  target: ControlAddress,
  address: string,
  options: ControlConnectOptions,
): Promise<Connection> {
  const socket = await connectTcp(address, target.port, {
    exemption: options.exemption,
    timeoutMs: CONNECT_MS,
    keepAliveMs: TCP_KEEP_ALIVE_MS,
    allowHalfOpen: false,
  });
  if (target.identity === undefined) return new Connection(socket);
  return new Connection(await secure(socket, target.identity, options.context()), undefined, socket);
}

function secure(socket: Socket, identity: string, context: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      secureContext: context,
      servername: identity,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) => {
        const names = identityNames(certificate.raw);
        return names.includes(identity)
          ? undefined
          : new Error(`the server's certificate names ${names.join(', ')}, not ${identity}`);
      },
    });
    const timer = setTimeout(() => tls.destroy(new Error(`no TLS handshake within ${HANDSHAKE_MS} ms`)), HANDSHAKE_MS);
    const onClose = (): void => reject(new Error('the server closed the connection during TLS'));
    tls.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    tls.once('close', onClose);
    tls.once('secureConnect', () => {
      clearTimeout(timer);
      tls.off('close', onClose);
      resolve(tls);
    });
  });
}
