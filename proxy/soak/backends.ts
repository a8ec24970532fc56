import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import { inNetns } from '#netlink/namespace.ts';

/** What an application does instead of answering. */
export type Misbehaviour = 'refuse' | 'reset' | 'truncate' | 'stall';

/** Ports of the applications; number n has the port plus n. */
export const PORTS = { http: 8100, http2: 8120, opaque: 8140 } as const;

/** Says of a 503 that the application was told to answer it. */
export const TOLD = 'x-told';
/** Identifies a request that must not be executed twice. */
export const ONCE = 'x-once';
const BODY_MAX = 1024 * 1024;

/** What all applications of a run have seen. */
export class Seen {
  requests = 0;
  /** Requests with `ONCE` that came a second time. */
  readonly twice: string[] = [];
  readonly #once = new Set<string>();

  request(once: string | undefined): void {
    this.requests += 1;
    if (once === undefined) return;
    if (this.#once.has(once)) this.twice.push(once);
    this.#once.add(once);
  }
}

/**
 * An application: HTTP/1.1 with WebSocket, HTTP/2 with gRPC, and bytes. Each sends back what it is sent. gRPC calls end with
 * trailers. Told to misbehave, it does so with every request and every connection.
 */
export class Backend {
  misbehaviour: Misbehaviour | undefined;
  readonly number: number;
  readonly #netns: number;
  readonly #seen: Seen;
  readonly #sockets = new Set<Socket>();
  #servers: readonly (Server | Http2Server | TcpServer)[] = [];

  constructor(netns: number, number: number, seen: Seen) {
    this.#netns = netns;
    this.number = number;
    this.#seen = seen;
  }

  async start(): Promise<void> {
    const http = createServer((request, response) => this.#answer(request, response));
    http.keepAliveTimeout = 600_000;
    const webSockets = new WebSocketServer({ noServer: true, maxPayload: BODY_MAX });
    http.on('upgrade', (request, socket, head) => {
      this.#seen.request(undefined);
      if (this.misbehaviour === 'reset') return void socket.destroy();
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => {}); // cut
        webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }));
      });
    });
    const http2 = createHttp2Server();
    http2.on('stream', (stream: ServerHttp2Stream, headers) => this.#answerStream(stream, headers));
    http2.on('sessionError', () => {});
    const opaque = createTcpServer({ allowHalfOpen: true }, (socket) => {
      if (this.misbehaviour === 'reset') socket.resetAndDestroy();
      else socket.pipe(socket);
    });
    this.#servers = [http, http2, opaque];
    for (const server of this.#servers)
      server.on('connection', (socket: Socket) => {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => this.#sockets.delete(socket));
      });
    const { http: one, http2: two, opaque: bytes } = PORTS;
    await Promise.all([
      this.#listen(http, one + this.number),
      this.#listen(http2, two + this.number),
      this.#listen(opaque, bytes + this.number),
    ]);
  }

  /** Ends like a killed process. */
  async kill(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => void server.close(() => resolve())));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await Promise.all(closed);
  }

  /** node:http2 does not let its socket be taken out of its hands. */
  #reset(remotePort: number | undefined): void {
    for (const socket of this.#sockets) if (socket.remotePort === remotePort) socket.resetAndDestroy();
  }

  #listen(server: Server | Http2Server | TcpServer, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      // Without an address: with one it would listen at home.
      inNetns(this.#netns, () => server.listen(port, resolve));
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const once = request.headers[ONCE];
    this.#seen.request(typeof once === 'string' ? once : undefined);
    request.on('error', () => {});
    response.on('error', () => {});
    switch (this.misbehaviour) {
      case 'refuse':
        request.resume();
        response.writeHead(503, { [TOLD]: 'yes' }).end();
        return;
      case 'reset':
        request.socket.resetAndDestroy();
        return;
      case 'stall':
        request.resume(); // until the proxy gives up
        return;
      case 'truncate':
        response.writeHead(200, { 'content-length': 1000 });
        response.write('half', () => request.socket.resetAndDestroy());
        return;
      case undefined:
    }
    const length = request.headers['content-length'];
    response.writeHead(200, length === undefined ? {} : { 'content-length': length });
    request.pipe(response);
  }

  #answerStream(stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>): void {
    const once = headers[ONCE];
    this.#seen.request(typeof once === 'string' ? once : undefined);
    const isGrpc = headers['content-type'] === 'application/grpc';
    stream.on('error', () => {});
    switch (this.misbehaviour) {
      case 'refuse':
        stream.resume();
        if (isGrpc)
          stream.respond(
            { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14', [TOLD]: 'yes' },
            { endStream: true },
          );
        else stream.respond({ ':status': 503, [TOLD]: 'yes' }, { endStream: true });
        return;
      case 'reset':
        this.#reset(stream.session?.socket.remotePort);
        return;
      case 'stall':
        stream.resume();
        return;
      case 'truncate':
        stream.respond({ ':status': 200, ...(isGrpc && { 'content-type': 'application/grpc' }) });
        stream.write('half', () => stream.destroy(new Error('told to'))); // INTERNAL_ERROR
        return;
      case undefined:
    }
    if (isGrpc) {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    } else stream.respond({ ':status': 200 });
    stream.pipe(stream);
  }
}
