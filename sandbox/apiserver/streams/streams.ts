import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { asStatusError, badRequest, tooManyRequests } from '../status-error.ts';
import { refuseUpgrade } from './refusal.ts';
import { attachSession, execSession, forwardSession, type Session } from './sessions.ts';
import { acceptSpdy, wantsSpdy } from './spdy/upgrade.ts';

const SESSIONS_MAX = 256;
const MESSAGE_BYTES_MAX = 1024 * 1024; // kubectl sends at most 32 KiB at once
const KEEP_ALIVE_MS = 30_000;
const HEARTBEAT_MS = 15_000;

/** A request for an upgrade that has passed authentication and authorization, and its pod exists. */
export type StreamRequest = {
  readonly kind: 'exec' | 'attach' | 'portforward';
  readonly pod: KubeObject;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer; // bytes that came behind the request
  readonly agent: NodeAgent;
};

/** The streaming subresources of pods: over WebSocket, and over SPDY for clients of before Kubernetes 1.31. */
export class Streams implements Disposable {
  readonly #connections = new Set<Duplex>();
  readonly #heartbeatMs: number;

  constructor(heartbeatMs = HEARTBEAT_MS) {
    this.#heartbeatMs = heartbeatMs;
  }

  /** Upgrades the connection, or answers with a Status. Never throws. */
  handle(stream: StreamRequest): void {
    const { request, socket } = stream;
    try {
      if (this.#connections.size >= SESSIONS_MAX) throw tooManyRequests('too many streaming sessions', 1);
      const session = sessionOf(stream);
      if (wantsSpdy(request)) this.#serveSpdy(stream, session);
      else this.#serveWebSocket(stream, session, chooseProtocol(request, session.webSocket.protocols));
    } catch (error) {
      refuseUpgrade(socket, asStatusError(error));
    }
  }

  /** Ends all sessions: upgraded connections are not among those that the HTTP server closes. */
  [Symbol.dispose](): void {
    for (const socket of this.#connections) socket.destroy();
  }

  #serveSpdy({ request, socket, head }: StreamRequest, { spdy }: Session): void {
    acceptSpdy(request, socket, head, spdy.protocol);
    const gone = this.#track(socket);
    spdy.serve(socket, gone).catch(() => socket.destroy());
  }

  #serveWebSocket({ request, socket, head }: StreamRequest, { webSocket }: Session, protocol: string): void {
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MESSAGE_BYTES_MAX,
    });
    // The tunnel's protocol has a slash in its name, which the library refuses: it must not see the header.
    delete request.headers['sec-websocket-protocol'];
    server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
    server.handleUpgrade(request, socket, head, (upgraded) => {
      const gone = this.#track(socket);
      // A ping to a client that is gone makes the connection fail, also while nothing is read from it.
      const heartbeat = setInterval(() => upgraded.ping(), this.#heartbeatMs);
      heartbeat.unref();
      gone.addEventListener('abort', () => clearInterval(heartbeat));
      upgraded.on('error', () => upgraded.terminate()); // a broken frame or a lost connection ends the session
      webSocket
        .serve({ socket: upgraded, protocol, gone })
        .catch((error: unknown) => upgraded.close(1011, asStatusError(error).message.slice(0, 100)));
    });
  }

  /** @returns aborted when the connection is gone */
  #track(socket: Duplex): AbortSignal {
    if (socket instanceof Socket) socket.setKeepAlive(true, KEEP_ALIVE_MS).setNoDelay(true);
    const gone = new AbortController();
    this.#connections.add(socket);
    socket.once('close', () => {
      this.#connections.delete(socket);
      gone.abort();
    });
    return gone.signal;
  }
}

function sessionOf({ kind, pod, query, agent, request }: StreamRequest): Session {
  switch (kind) {
    case 'exec':
      return execSession(agent, pod, query);
    case 'attach':
      return attachSession(agent, pod, query);
    case 'portforward':
      return forwardSession(agent, pod, query, offeredProtocols(request));
  }
}

function offeredProtocols(request: IncomingMessage): readonly string[] {
  const header = request.headers['sec-websocket-protocol'] ?? '';
  return header.split(',').map((protocol) => protocol.trim());
}

/** kubectl falls back to SPDY when a WebSocket is refused with 400. */
function chooseProtocol(request: IncomingMessage, protocols: readonly string[]): string {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
    throw badRequest('streaming needs GET with "Upgrade: websocket" or POST with "Upgrade: SPDY/3.1"');
  }
  const offered = offeredProtocols(request);
  const protocol = protocols.find((candidate) => offered.includes(candidate));
  if (protocol === undefined) {
    throw badRequest(`none of the WebSocket protocols is served: use one of ${protocols.join(', ')}`);
  }
  return protocol;
}
