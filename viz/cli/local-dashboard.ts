import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Cluster } from '../../cli/cluster.ts';
import { UsageError, type FlagValues } from '../../cli/command.ts';
import { METRICS_API_PORT } from '../config.ts';
import { assertTrustedHost } from '../metrics-api/host.ts';
import { metricsApiPod } from './client.ts';
import { openTap, type TapQuestion } from './tap-stream.ts';

const ADDRESS = '127.0.0.1';
const BODY_BYTES_MAX = 8192;
const ANSWER_TIMEOUT_MS = 15_000;
/** Of the page: more at a time is a mistake, and each is a stream through the API server. */
const CONNECTIONS_MAX = 64;
/** How the page shows that it was opened by who started this: others on the machine must not tap with his rights. */
const KEY_HEADER = 'x-tulle-key';

export type LocalDashboardOptions = {
  readonly cluster: Cluster;
  readonly flags: FlagValues;
  readonly key: string;
};

/**
 * The dashboard on this machine: what metrics-api serves, through port-forwards, and `POST /tap`, which taps with the rights
 * of the kubeconfig.
 */
export class LocalDashboard implements Disposable {
  readonly #options: LocalDashboardOptions;
  readonly #server: Server;
  #target: Promise<{ readonly namespace: string; readonly pod: string }> | undefined;

  constructor(options: LocalDashboardOptions) {
    this.#options = options;
    this.#server = createServer((incoming, outgoing) => {
      this.#answer(incoming, outgoing).catch((error: unknown) => fail(outgoing, error));
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /**
   * @param port   0: any that is free
   * @returns the port that it listens on
   * @throws NodeJS.ErrnoException
   */
  async listen(port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, ADDRESS, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  [Symbol.dispose](): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    assertTrustedHost(incoming.headers.host);
    const { method, url = '/' } = incoming;
    if (method === 'POST' && url === '/tap') return this.#tap(incoming, outgoing);
    if (method !== 'GET') throw new RequestError(405, 'only GET, and POST /tap');
    return this.#forward(url, incoming, outgoing);
  }

  async #forward(path: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { cluster, flags } = this.#options;
    try {
      this.#target ??= metricsApiPod(cluster, flags);
      const { namespace, pod } = await this.#target;
      const connection = await cluster.portForward(namespace, pod, METRICS_API_PORT);
      try {
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          const { 'if-none-match': etag } = incoming.headers;
          const headers = { connection: 'close', ...(etag === undefined ? {} : { 'if-none-match': etag }) };
          const options = { createConnection: () => connection, path, host: 'localhost', headers };
          const sent = request({ ...options, timeout: ANSWER_TIMEOUT_MS }, resolve);
          sent.on('timeout', () => sent.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)));
          sent.on('error', reject);
          sent.end();
        });
        const { connection: _hop, 'transfer-encoding': _coding, 'keep-alive': _keep, ...headers } = answer.headers;
        outgoing.writeHead(answer.statusCode ?? 502, headers);
        await pipeline(answer, outgoing);
      } finally {
        connection.destroy();
      }
    } catch (error) {
      this.#target = undefined; // the pod may be another one now
      throw new RequestError(502, error instanceof Error ? error.message : String(error));
    }
  }

  async #tap(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    if (!isSame(String(incoming.headers[KEY_HEADER] ?? ''), this.#options.key))
      throw new RequestError(403, 'open the address that `tulle viz dashboard` printed: it holds the key for tapping');
    const question = await readQuestion(incoming);
    const { cluster, flags } = this.#options;
    let tap;
    try {
      tap = await openTap(cluster, flags, question);
    } catch (error) {
      throw new RequestError(403, error instanceof Error ? error.message : String(error));
    }
    const { lines, connection } = tap;
    outgoing.once('close', () => connection.destroy());
    outgoing.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    await pipeline(lines, outgoing).catch(() => undefined); // the page went away
  }
}

class RequestError extends Error {
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

function fail(outgoing: ServerResponse, error: unknown): void {
  if (outgoing.headersSent) {
    outgoing.destroy();
    return;
  }
  const { statusCode = 500, message } = error as { statusCode?: number; message: string };
  outgoing.writeHead(statusCode, { 'content-type': 'application/json', connection: 'close' });
  outgoing.end(JSON.stringify({ statusCode, message }));
}

async function readQuestion(incoming: IncomingMessage): Promise<TapQuestion> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new RequestError(413, `the question is longer than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  let question: Partial<TapQuestion> | null;
  try {
    question = JSON.parse(Buffer.concat(chunks).toString()) as Partial<TapQuestion> | null;
  } catch {
    throw new RequestError(400, 'the question is not JSON');
  }
  // metrics-api judges the rest; the namespace is needed here.
  if (typeof question?.namespace !== 'string' || question.namespace === '')
    throw new RequestError(400, 'the question names no namespace');
  return question as TapQuestion;
}

function isSame(given: string, key: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(key)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** @throws UsageError */
export function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new UsageError(`--port is "${text}": use 1 to 65535, or 0 for any`);
  return port;
}
