import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Credentials } from '../identity/credentials.ts';
import { identityNames } from '../identity/peer-name.ts';

export type AcceptedTls = {
  readonly socket: TLSSocket;
  /** The client's identity; absent when it showed no certificate. */
  readonly clientIdentity: string | undefined;
  readonly alpn: string | undefined;
};

/** A TLS connection that was refused, with the reason. */
export class TlsAcceptError extends Error {
  override readonly name = 'TlsAcceptError';
}

/**
 * Terminates mesh TLS on an accepted connection. A client certificate is asked for and may be absent; one that does not
 * lead to the trust anchors, is not valid now, or names nobody ends the connection before a byte of it is used.
 *
 * @param socket  with the ClientHello still unread (or put back by `unshift`)
 * @throws TlsAcceptError
 */
export function acceptTls(
  socket: Socket,
  credentials: Credentials,
  alpn: readonly string[],
  timeoutMs: number,
): Promise<AcceptedTls> {
  return new Promise((resolve, reject) => {
    const tls = new TLSSocket(socket, {
      isServer: true,
      secureContext: credentials.context,
      requestCert: true,
      rejectUnauthorized: false, // decided below: OpenSSL's check cannot tell "none" from "bad"
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    });
    const fail = (reason: string): void => {
      clearTimeout(timer);
      tls.destroy();
      socket.destroy();
      reject(new TlsAcceptError(reason));
    };
    const timer = setTimeout(() => fail(`no TLS handshake within ${timeoutMs} ms`), timeoutMs);
    const onClose = (): void => fail('the client closed the connection during the handshake');
    const onError = (error: Error): void => fail(error.message);
    tls.on('error', () => {});
    socket.on('error', () => {});
    tls.once('error', onError);
    tls.once('_tlsError', onError);
    tls.once('close', onClose);
    tls.once('secure', () => {
      clearTimeout(timer);
      tls.off('error', onError);
      tls.off('_tlsError', onError);
      tls.off('close', onClose);
      const client = clientOf(tls);
      if ('refused' in client) fail(client.refused);
      else resolve({ socket: tls, clientIdentity: client.identity, alpn: tls.alpnProtocol || undefined });
    });
  });
}

/** The part of Node's TLS handle that says how OpenSSL judged the client's certificate. */
type VerifyingHandle = { verifyError?: () => Error | null | undefined };

function clientOf(tls: TLSSocket): { readonly identity: string | undefined } | { readonly refused: string } {
  if (tls.isSessionReused()) return { refused: 'TLS sessions are not resumed' };
  const certificate = tls.getPeerX509Certificate();
  if (certificate === undefined) return { identity: undefined };
  // `authorized` is only kept for sockets of a tls.Server; this is where that takes it from.
  const handle = (tls as unknown as { readonly _handle?: VerifyingHandle })._handle;
  if (typeof handle?.verifyError !== 'function') return { refused: 'the client certificate cannot be checked' };
  const error = handle.verifyError();
  if (error !== null && error !== undefined) {
    return { refused: `the client certificate is not trusted: ${error.message}` };
  }
  const [identity] = identityNames(certificate.raw);
  return identity === undefined ? { refused: 'the client certificate names nobody' } : { identity };
}
