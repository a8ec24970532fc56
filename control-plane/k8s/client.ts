import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import type { Connection, Credentials } from './connection.ts';
import { asObject, asText } from './json.ts';
import { KubeError } from './kube-error.ts';

export type KubeRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string; // absolute, without query
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown; // sent as JSON
  readonly contentType?: string; // default application/json
  readonly accept?: string; // default application/json
  readonly signal?: AbortSignal;
};

const REQUEST_TIMEOUT_MS = 30_000;
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

/** TCP probes of an idle connection, so that a watch notices a peer that is gone. */
const KEEP_ALIVE_MS = 15_000;

/** Speaks JSON with an API server. One connection per running request, kept for the next one. */
export class KubeClient implements Disposable {
  readonly #connection: Connection;
  #agent: { readonly tls: Credentials['tls']; readonly agent: HttpAgent | HttpsAgent } | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Sends a request and reads the whole answer.
   *
   * @returns the JSON of a successful answer
   * @throws KubeError  on any other answer, or when there is none within 30 s
   */
  async request(request: KubeRequest): Promise<unknown> {
    const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const signal = request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]);
    const response = await this.#send(request, signal);
    const text = await this.#read(response, request);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw this.#refused(request, response, text);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new KubeError(`${describe(request)}: the answer is not JSON`, { status, reason: 'InvalidAnswer', cause });
    }
  }

  /**
   * Sends a GET and hands over the body as it comes, for watches and logs.
   *
   * @throws KubeError  when the answer is not a success, or does not begin within 30 s
   */
  async stream(request: Omit<KubeRequest, 'method'>): Promise<IncomingMessage> {
    const get: KubeRequest = { ...request, method: 'GET' };
    const isLate = new AbortController();
    const timer = setTimeout(() => isLate.abort(new Error('no answer in time')), REQUEST_TIMEOUT_MS);
    const signal = request.signal === undefined ? isLate.signal : AbortSignal.any([request.signal, isLate.signal]);
    try {
      const response = await this.#send(get, signal);
      const status = response.statusCode ?? 0;
      if (status < 200 || status > 299) throw this.#refused(get, response, await this.#read(response, get));
      return response;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the connections. Requests that run fail. */
  [Symbol.dispose](): void {
    this.#agent?.agent.destroy();
    this.#agent = undefined;
  }

  async #send(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { server } = this.#connection;
    const url = new URL(`${server.pathname.replace(/\/$/, '')}${request.path}`, server);
    for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    try {
      const credentials = await this.#connection.credentials();
      const options = {
        method: request.method,
        agent: this.#agentFor(credentials.tls),
        signal,
        headers: {
          accept: request.accept ?? 'application/json',
          'user-agent': 'tulle',
          ...credentials.headers,
          ...(body && { 'content-type': request.contentType ?? 'application/json', 'content-length': body.length }),
        },
      };
      return await new Promise<IncomingMessage>((resolve, reject) => {
        const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
        const outgoing = send(url, options, resolve);
        outgoing.once('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
        outgoing.once('error', reject);
        outgoing.end(body);
      });
    } catch (cause) {
      throw this.#unreachable(request, cause);
    }
  }

  /** Agents hold the connections; another CA or client certificate needs a new one. */
  #agentFor(tls: Credentials['tls']): HttpAgent | HttpsAgent {
    if (this.#agent === undefined || !isDeepStrictEqual(this.#agent.tls, tls)) {
      this.#agent?.agent.destroy();
      const isTls = this.#connection.server.protocol === 'https:';
      const agent = isTls ? new HttpsAgent({ keepAlive: true, ...tls }) : new HttpAgent({ keepAlive: true });
      this.#agent = { tls, agent };
    }
    return this.#agent.agent;
  }

  async #read(response: IncomingMessage, request: KubeRequest): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`);
        chunks.push(chunk);
      }
    } catch (cause) {
      throw this.#unreachable(request, cause);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #unreachable(request: KubeRequest, cause: unknown): KubeError {
    // An aborted request only says that it was; the signal knows why.
    const isAborted = cause instanceof Error && cause.name === 'AbortError' && cause.cause instanceof Error;
    const reason = isAborted ? cause.cause : cause;
    const problem = reason instanceof Error ? reason.message || reason.name : String(reason);
    return new KubeError(`${describe(request)}: ${problem}`, { reason: 'Unreachable', cause });
  }

  #refused(request: KubeRequest, response: IncomingMessage, text: string): KubeError {
    const status = response.statusCode ?? 0;
    const retryAfterMs = retryAfter(response.headers['retry-after']);
    if (status === 401) this.#connection.refresh();
    const answer = parseStatus(text);
    const message = asText(answer['message']) ?? text.slice(0, 200);
    return new KubeError(`${describe(request)}: ${status} ${message}`, {
      status,
      reason: asText(answer['reason']) ?? 'Unknown',
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }
}

function parseStatus(text: string): ReturnType<typeof asObject> {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return {};
  }
}

/** Seconds are the only form that API servers use. Source: RFC 9110, section 10.2.3. */
function retryAfter(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) * 1000 : undefined;
}

function describe({ method, path }: KubeRequest): string {
  return `${method} ${path}`;
}
