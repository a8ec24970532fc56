import { randomBytes, randomUUID } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { inNetns } from '#netlink/namespace.ts';
import { openTcpSocket } from '#netlink/tcp-socket.ts';
import { SERVICE_HOST, SERVICE_IP, SERVICE_PORTS } from '../bench/service.ts';
import { ONCE, TOLD } from './backends.ts';
import type { Failure } from './faults.ts';

export const KINDS = ['http1', 'http2', 'grpc', 'websocket', 'opaque'] as const;
export type Kind = (typeof KINDS)[number];

/** So many of each are begun in a second; of WebSockets messages, all others requests or connections. */
const PER_SECOND: Readonly<Record<Kind, number>> = { http1: 40, http2: 25, grpc: 15, websocket: 12, opaque: 8 };
const IN_FLIGHT_MAX = 100; // of each kind; more are not begun
const LATE_MS = 15_000;
const LONG_LIVED_MS = 30_000; // an HTTP/2 connection, a WebSocket
const WEB_SOCKETS = 4;
const BYTES = randomBytes(1024 * 1024);
/** Share of the requests that the client gives up on the way. */
const ABORTED = 0.01;

/** A request or connection that failed, with when it was under way (`performance.now()`). */
export type Failed = {
  readonly kind: Kind;
  readonly failure: Failure;
  readonly detail: string;
  readonly startMs: number;
  readonly endMs: number;
};

export type Count = { sent: number; answered: number; succeeded: number; aborted: number; skipped: number };

type Verdict = { readonly failure: Failure; readonly detail: string } | 'ok' | 'aborted';

class PodAgent extends Agent {
  readonly #connect: () => Socket;

  constructor(connect: () => Socket, isKeepingAlive: boolean) {
    super({ keepAlive: isKeepingAlive, maxSockets: isKeepingAlive ? 8 : 64 });
    this.#connect = connect;
  }

  override createConnection(): Duplex {
    return this.#connect();
  }
}

/** Clients in a pod that use the Service in every way, at a low steady rate, and look at every answer. */
export class Clients {
  readonly counts = Object.fromEntries(
    KINDS.map((kind) => [kind, { sent: 0, answered: 0, succeeded: 0, aborted: 0, skipped: 0 }]),
  ) as Readonly<Record<Kind, Count>>;
  readonly failed: Failed[] = [];
  /** Requests for WebSockets, which are requests to the proxy too. */
  readonly upgrades: Count = { sent: 0, answered: 0, succeeded: 0, aborted: 0, skipped: 0 };
  readonly #netns: number;
  readonly #random: () => number;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #inFlight: Record<Kind, number> = { http1: 0, http2: 0, grpc: 0, websocket: 0, opaque: 0 };
  readonly #agents: readonly [keeping: PodAgent, closing: PodAgent];
  readonly #webSockets = new Set<WebSocket>();
  #session: ClientHttp2Session | undefined;
  #isOver = false;

  constructor(netns: number, random: () => number) {
    this.#netns = netns;
    this.#random = random;
    const connect = (): Socket => this.#connect(SERVICE_PORTS.http);
    this.#agents = [new PodAgent(connect, true), new PodAgent(connect, false)];
  }

  start(): void {
    this.#begin('http1', () => this.#http1());
    this.#begin('http2', () => this.#http2(false));
    this.#begin('grpc', () => this.#http2(true));
    this.#begin('opaque', () => this.#opaque());
    for (let number = 0; number < WEB_SOCKETS; number += 1) void this.#keepWebSocket();
    this.#timers.push(setInterval(() => this.#session?.close(), LONG_LIVED_MS));
  }

  /** Begins nothing any more, waits for what is under way, and closes all connections. */
  async stop(): Promise<void> {
    this.#isOver = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#webSockets) socket.close();
    const deadlineMs = performance.now() + LATE_MS * 2;
    while (Object.values(this.#inFlight).some((count) => count > 0) && performance.now() < deadlineMs) await sleep(50);
    for (const agent of this.#agents) agent.destroy();
    this.#session?.close();
  }

  /** Requests so far that the proxy has to have counted at least, and at most. */
  get requests(): { readonly least: number; readonly most: number } {
    const { http1, http2, grpc } = this.counts;
    const all = [http1, http2, grpc, this.upgrades];
    return {
      least: all.reduce((sum, { answered }) => sum + answered, 0),
      most: all.reduce((sum, { sent }) => sum + sent, 0),
    };
  }

  #begin(kind: Kind, run: () => Promise<Verdict>): void {
    const once = (): void => {
      if (this.#inFlight[kind] < IN_FLIGHT_MAX) void this.#observe(kind, run);
      else this.counts[kind].skipped += 1;
    };
    this.#timers.push(setInterval(once, 1000 / PER_SECOND[kind]));
  }

  async #observe(kind: Kind, run: () => Promise<Verdict>): Promise<void> {
    const count = this.counts[kind];
    const startMs = performance.now();
    count.sent += 1;
    this.#inFlight[kind] += 1;
    const verdict = await run();
    this.#inFlight[kind] -= 1;
    if (verdict === 'ok') count.succeeded += 1;
    else if (verdict === 'aborted') count.aborted += 1;
    else this.failed.push({ kind, ...verdict, startMs, endMs: performance.now() });
  }

  #connect(port: number): Socket {
    const socket = inNetns(this.#netns, () => openTcpSocket(false, { allowHalfOpen: port === SERVICE_PORTS.opaque }));
    return socket.connect({ host: SERVICE_IP, port });
  }

  #body(): Buffer {
    const dice = this.#random();
    const most = dice < 0.3 ? 0 : dice < 0.9 ? 4096 : dice < 0.98 ? 65_536 : BYTES.length;
    const start = Math.floor(this.#random() * 1000);
    return BYTES.subarray(start, Math.min(start + Math.floor(this.#random() * most), BYTES.length));
  }

  #http1(): Promise<Verdict> {
    const body = this.#body();
    const dice = this.#random();
    const isOnce = dice < 0.2;
    const isChunked = dice > 0.7;
    const isAborted = this.#random() < ABORTED;
    return new Promise((resolve) => {
      const request = httpRequest({
        agent: this.#agents[this.#random() < 0.05 ? 1 : 0],
        method: body.length === 0 && !isOnce ? 'GET' : 'POST',
        path: isOnce ? '/once' : '/',
        headers: {
          host: SERVICE_HOST,
          ...(isOnce && { [ONCE]: randomUUID() }),
          ...(!isChunked && body.length > 0 && { 'content-length': body.length }),
        },
        signal: AbortSignal.timeout(LATE_MS),
      });
      const end = (error: Error): void => resolve(isAborted ? 'aborted' : failureOf(error));
      request.on('error', end);
      request.on('response', (response) => {
        this.counts.http1.answered += 1;
        if (isAborted) {
          request.destroy();
          resolve('aborted');
          return;
        }
        const chunks: Uint8Array[] = [];
        response.on('error', end);
        response.on('data', (chunk: Uint8Array) => chunks.push(chunk));
        response.on('end', () => resolve(judge(response.statusCode, response.headers, Buffer.concat(chunks), body)));
      });
      if (isAborted) setTimeout(() => request.destroy(), this.#random() * 5);
      request.end(body);
    });
  }

  #http2(isGrpc: boolean): Promise<Verdict> {
    const count = this.counts[isGrpc ? 'grpc' : 'http2'];
    const body = isGrpc ? Buffer.concat(Array.from({ length: 3 }, () => grpcMessage(this.#body()))) : this.#body();
    const isAborted = this.#random() < ABORTED;
    return new Promise((resolve) => {
      const end = (error: Error): void => resolve(isAborted ? 'aborted' : failureOf(error));
      let stream: ReturnType<ClientHttp2Session['request']>;
      try {
        stream = this.#openSession().request(
          {
            ':method': 'POST',
            ':path': isGrpc ? '/test.Echo/All' : '/',
            ':authority': SERVICE_HOST,
            ...(isGrpc && { 'content-type': 'application/grpc', te: 'trailers' }),
          },
          { signal: AbortSignal.timeout(LATE_MS) },
        );
      } catch (error) {
        end(error as Error); // the connection ended at this moment
        return;
      }
      const chunks: Uint8Array[] = [];
      let head: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      stream.on('response', (headers) => {
        count.answered += 1;
        head = headers;
        if (isAborted) stream.close(8); // CANCEL
      });
      stream.on('trailers', (fields) => {
        trailers = fields;
      });
      let hasEnded = false;
      stream.on('error', end);
      stream.on('data', (chunk: Uint8Array) => chunks.push(chunk));
      stream.on('end', () => {
        hasEnded = true;
      });
      stream.on('close', () => {
        if (isAborted) return resolve('aborted');
        // A stream that the server resets without an error ends like a good one.
        if (stream.aborted || head[':status'] === undefined) return resolve(cut('the stream was reset'));
        if (!hasEnded) return resolve(cut('the connection was closed'));
        const fields = { ...head, ...trailers };
        const grpcStatus = isGrpc ? fields['grpc-status'] : '0';
        if (grpcStatus === undefined) return resolve(cut('the call ended without a status'));
        const status = grpcStatus === '0' ? Number(head[':status']) : -1;
        resolve(judge(status, fields, Buffer.concat(chunks), body, String(grpcStatus)));
      });
      stream.end(body);
    });
  }

  #openSession(): ClientHttp2Session {
    let session = this.#session;
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    session = connectHttp2(`http://${SERVICE_HOST}`, { createConnection: () => this.#connect(SERVICE_PORTS.http2) });
    session.on('error', () => {}); // its streams say so
    session.on('goaway', () => session.close());
    this.#session = session;
    return session;
  }

  #opaque(): Promise<Verdict> {
    const body = Buffer.concat([Buffer.from([0]), this.#body()]); // never taken for HTTP
    return new Promise((resolve) => {
      const socket = this.#connect(SERVICE_PORTS.opaque);
      const chunks: Uint8Array[] = [];
      let length = 0;
      socket.setTimeout(LATE_MS, () => socket.destroy(timeout()));
      socket.on('error', (error) => resolve(failureOf(error)));
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
      });
      socket.on('end', () => {
        this.counts.opaque.answered += 1;
        if (length < body.length) resolve(cut(`${length} of ${body.length} bytes`));
        else resolve(sameBytes(Buffer.concat(chunks), body));
      });
      socket.end(body);
    });
  }

  async #keepWebSocket(): Promise<void> {
    while (!this.#isOver) {
      await this.#useWebSocket();
      await sleep(300);
    }
  }

  /** One connection after another, and on it one message after another. */
  async #useWebSocket(): Promise<void> {
    const { websocket: count } = this.counts;
    const fail = (verdict: Exclude<Verdict, string>, startMs: number): void =>
      void this.failed.push({ kind: 'websocket', ...verdict, startMs, endMs: performance.now() });
    const openedMs = performance.now();
    this.upgrades.sent += 1;
    this.#inFlight.websocket += 1;
    const socket = new WebSocket(`ws://${SERVICE_HOST}/`, {
      createConnection: () => this.#connect(SERVICE_PORTS.http),
      perMessageDeflate: false,
      handshakeTimeout: LATE_MS,
    });
    this.#webSockets.add(socket);
    const pending: { body: Buffer; startMs: number }[] = [];
    let ending = 'unknown' as 'unknown' | 'told' | 'late';
    socket.on('unexpected-response', (request, response: IncomingMessage) => {
      this.upgrades.answered += 1;
      this.upgrades.aborted += 1;
      const verdict = judge(response.statusCode, response.headers, BYTES, BYTES);
      if (typeof verdict !== 'string') fail(verdict, openedMs);
      ending = 'told';
      request.destroy();
    });
    const timer = setInterval(
      () => {
        if (socket.readyState !== WebSocket.OPEN) return;
        if (performance.now() - openedMs > LONG_LIVED_MS || this.#isOver) {
          if (pending.length === 0) socket.close();
          return;
        }
        const body = this.#body();
        count.sent += 1;
        pending.push({ body, startMs: performance.now() });
        socket.send(body);
        if (performance.now() - (pending[0]?.startMs ?? Infinity) > LATE_MS) {
          ending = 'late';
          socket.terminate();
        }
      },
      (1000 * WEB_SOCKETS) / PER_SECOND.websocket,
    );
    socket.on('open', () => {
      this.upgrades.answered += 1;
      this.upgrades.succeeded += 1;
    });
    socket.on('message', (data: Buffer) => {
      const first = pending.shift();
      const verdict = first === undefined ? ('wrong' as const) : sameBytes(data, first.body);
      count.answered += 1;
      if (verdict === 'ok') count.succeeded += 1;
      else fail({ failure: 'wrong', detail: 'another message came back' }, openedMs);
    });
    socket.on('error', () => {}); // `close` follows
    await new Promise<void>((resolve) => void socket.once('close', () => resolve()));
    clearInterval(timer);
    this.#webSockets.delete(socket);
    this.#inFlight.websocket -= 1;
    const isOrderly = pending.length === 0 && (this.#isOver || performance.now() - openedMs > LONG_LIVED_MS);
    if (isOrderly || ending === 'told') return;
    const verdict = ending === 'late' ? failureOf(timeout()) : cut('the WebSocket ended');
    fail(verdict, pending[0]?.startMs ?? performance.now());
  }
}

function grpcMessage(body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function judge(
  status: number | undefined,
  fields: IncomingHttpHeaders,
  body: Buffer,
  expected: Buffer,
  grpcStatus = '',
): Verdict {
  if (status === 200) return sameBytes(body, expected);
  const detail = `status ${status} ${grpcStatus} ${String(fields['l5d-proxy-error'] ?? '')}`;
  if (fields[TOLD] !== undefined) return { failure: 'app-503', detail };
  const code = /^([a-z0-9-]+):/.exec(String(fields['l5d-proxy-error'] ?? ''))?.[1];
  return { failure: code === undefined ? 'status' : `proxy:${code}`, detail };
}

function sameBytes(body: Buffer, expected: Buffer): Verdict {
  if (body.equals(expected)) return 'ok';
  return { failure: 'wrong', detail: `${body.length} bytes that are not the ${expected.length} sent` };
}

function cut(detail: string): { readonly failure: Failure; readonly detail: string } {
  return { failure: 'cut', detail };
}

function timeout(): Error {
  return Object.assign(new Error('no answer'), { name: 'TimeoutError' });
}

function failureOf(error: Error): { readonly failure: Failure; readonly detail: string } {
  const isLate = error.name === 'TimeoutError' || (error.cause as Error | undefined)?.name === 'TimeoutError';
  return { failure: isLate ? 'late' : 'cut', detail: error.message };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
