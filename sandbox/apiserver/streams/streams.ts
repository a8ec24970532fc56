import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { asStatusError, badRequest, tooManyRequests } from '../status-error.ts';
import { parseAttach, serveAttach } from './attach.ts';
import { EXEC_PROTOCOLS, parseExec, serveExec } from './exec.ts';
import { CHANNEL_PROTOCOL, parsePorts, serveChannels, serveTunnel, TUNNEL_PROTOCOL } from './port-forward.ts';
import { refuseUpgrade } from './refusal.ts';
import type { Upgraded } from './upgraded.ts';

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

/** What serves one session, and which protocols it can speak, best first. */
type Session = {
  readonly protocols: readonly string[];
  serve(upgraded: Upgraded): Promise<void>;
};

/** The streaming subresources of pods, over WebSocket. */
export class Streams implements Disposable {
  readonly #sessions = new Set<WebSocket>();
  readonly #heartbeatMs: number;

  constructor(heartbeatMs = HEARTBEAT_MS) {
    this.#heartbeatMs = heartbeatMs;
  }

  /** Upgrades the connection, or answers with a Status. Never throws. */
  handle(stream: StreamRequest): void {
    try {
      if (this.#sessions.size >= SESSIONS_MAX) throw tooManyRequests('too many streaming sessions', 1);
      const session = sessionOf(stream);
      this.#upgrade(stream, session, chooseProtocol(stream.request, session.protocols));
    } catch (error) {
      refuseUpgrade(stream.socket, asStatusError(error));
    }
  }

  /** Ends all sessions: upgraded connections are not among those that the HTTP server closes. */
  [Symbol.dispose](): void {
    for (const socket of this.#sessions) socket.terminate();
  }

  #upgrade({ request, socket, head }: StreamRequest, session: Session, protocol: string): void {
    if (socket instanceof Socket) socket.setKeepAlive(true, KEEP_ALIVE_MS).setNoDelay(true);
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MESSAGE_BYTES_MAX,
    });
    // The tunnel's protocol has a slash in its name, which the library refuses: it must not see the header.
    delete request.headers['sec-websocket-protocol'];
    server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
    server.handleUpgrade(request, socket, head, (webSocket) => {
      const gone = new AbortController();
      socket.once('close', () => gone.abort());
      this.#track(webSocket);
      session
        .serve({ socket: webSocket, protocol, gone: gone.signal })
        .catch((error: unknown) => webSocket.close(1011, asStatusError(error).message.slice(0, 100)));
    });
  }

  /** A ping to a client that is gone makes the connection fail, also while nothing is read from it. */
  #track(webSocket: WebSocket): void {
    const heartbeat = setInterval(() => webSocket.ping(), this.#heartbeatMs);
    heartbeat.unref();
    this.#sessions.add(webSocket);
    webSocket.once('close', () => {
      clearInterval(heartbeat);
      this.#sessions.delete(webSocket);
    });
    webSocket.on('error', () => webSocket.terminate()); // a broken frame or a lost connection ends the session
  }
}

function sessionOf({ kind, pod, query, agent, request }: StreamRequest): Session {
  switch (kind) {
    case 'exec': {
      const exec = parseExec(pod, query);
      return { protocols: EXEC_PROTOCOLS, serve: (upgraded) => serveExec(upgraded, agent, pod, exec) };
    }
    case 'attach': {
      const container = parseAttach(pod, query);
      return { protocols: EXEC_PROTOCOLS, serve: (upgraded) => serveAttach(upgraded, agent, pod, container) };
    }
    case 'portforward': {
      if (offeredProtocols(request).includes(TUNNEL_PROTOCOL)) {
        return { protocols: [TUNNEL_PROTOCOL], serve: (upgraded) => serveTunnel(upgraded, agent, pod) };
      }
      const ports = parsePorts(query);
      return { protocols: [CHANNEL_PROTOCOL], serve: (upgraded) => serveChannels(upgraded, agent, pod, ports) };
    }
  }
}

function offeredProtocols(request: IncomingMessage): readonly string[] {
  const header = request.headers['sec-websocket-protocol'] ?? '';
  return header.split(',').map((protocol) => protocol.trim());
}

/** kubectl falls back to SPDY when a WebSocket is refused with 400; here the message must say what is missing. */
function chooseProtocol(request: IncomingMessage, protocols: readonly string[]): string {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
    throw badRequest('streaming needs a WebSocket: only GET with "Upgrade: websocket" is served, not SPDY');
  }
  const offered = offeredProtocols(request);
  const protocol = protocols.find((candidate) => offered.includes(candidate));
  if (protocol === undefined) {
    throw badRequest(`none of the WebSocket protocols is served: use one of ${protocols.join(', ')}`);
  }
  return protocol;
}
