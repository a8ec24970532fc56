import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { tlsOptions, type TestAuthority } from '#pki/testing.ts';
import { identityOf, meshed, TestMesh } from '../../testing/mesh.ts';
import { encodeTransportHeader, TRANSPORT_ALPN } from '../../transport/transport-header.ts';

/** Where the proxy takes HTTP/2, as a port of this machine that speaks it in plain text. */
export type Listener = {
  readonly name: string;
  readonly port: number;
  /** Tests that fail there, by title, each with the reason. */
  readonly exceptions?: Readonly<Record<string, string>>;
};

const NO_DATA = 'it waits for DATA, and an answer of gRPC that is a refusal has none: its HEADERS end the stream';

/** h2spec calls nothing that a tap server has, and so each call of it is refused. */
const REFUSED_CALLS: Readonly<Record<string, string>> = {
  'generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream': NO_DATA,
  'generic/2: Sends a PRIORITY frame on half-closed (remote) stream': NO_DATA,
  'http2/5.1.2: Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded':
    'it counts on calls that last, and a refused one is over at once: there are never as many as the limit',
};

/** A pair of proxies in front of an application, and every way in which HTTP/2 gets into one. */
export class Listeners implements AsyncDisposable {
  readonly all: readonly Listener[];
  readonly #stack: AsyncDisposableStack;

  private constructor(all: readonly Listener[], stack: AsyncDisposableStack) {
    this.all = all;
    this.#stack = stack;
  }

  static async open(): Promise<Listeners> {
    const stack = new AsyncDisposableStack();
    // Only a whole request is answered: one that turns out to be malformed must not have been.
    const application = createHttp2Server((request, response) => {
      request.on('error', () => {});
      request.resume();
      request.on('end', () => response.end('what the application answers'));
    });
    application.on('sessionError', () => {});
    const port = await listen(application);
    stack.defer(() => void application.close());
    const mesh = stack.use(await TestMesh.start());
    const server = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port } });
    const tap = { CONTROL_LISTEN_ADDR: '127.0.0.1:0', TAP_SVC_NAME: identityOf('client') };
    const direct = await mesh.proxy({ name: 'web', env: tap });
    const client = await mesh.proxy({ name: 'client' });
    mesh.serve([meshed('web', port, direct)]);
    const { authority } = mesh.control;
    const overTls = async (to: number, alpn: string | undefined, first: Buffer): Promise<number> => {
      const relay = createServer((socket) => relayOverTls(socket, authority, to, alpn, first));
      stack.defer(() => void relay.close());
      return listen(relay);
    };
    const header = encodeTransportHeader({ port, session: 'http2' });
    return new Listeners(
      [
        { name: 'outbound (4140)', port: client.outboundPort },
        { name: 'inbound (4143), plain text', port: server.inboundPort },
        { name: 'inbound (4143), mutual TLS', port: await overTls(server.inboundPort, undefined, Buffer.alloc(0)) },
        { name: 'inbound (4143), from a peer proxy', port: await overTls(direct.inboundPort, TRANSPORT_ALPN, header) },
        { name: 'tap (4190), plain text', port: direct.controlPort, exceptions: REFUSED_CALLS },
        {
          name: 'tap (4190), mutual TLS',
          port: await overTls(direct.controlPort, 'h2', Buffer.alloc(0)),
          exceptions: REFUSED_CALLS,
        },
      ],
      stack,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** h2spec has no name of our identity to ask for, and no header to send before. */
function relayOverTls(
  socket: Socket,
  authority: TestAuthority,
  port: number,
  alpn: string | undefined,
  first: Buffer,
): void {
  const tls: TLSSocket = connectTls({
    port,
    host: '127.0.0.1',
    servername: identityOf('web'),
    ca: authority.anchorsPem,
    checkServerIdentity: () => undefined,
    ...tlsOptions(authority.leaf(identityOf('client'))),
    ...(alpn !== undefined && { ALPNProtocols: [alpn] }),
  });
  if (first.length > 0) tls.write(first);
  socket.pipe(tls).pipe(socket);
  socket.on('error', () => tls.destroy());
  tls.on('error', () => socket.destroy());
}
