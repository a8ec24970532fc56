import type { Client } from '#model/authorization.ts';
import type { ResponseSink } from '../http/exchange.ts';
import type { RequestHead } from '../http/head.ts';
import { fieldValue } from '../http/matched-head.ts';
import { ObservedExchange } from '../http/observed-exchange.ts';
import type { SocketAddress } from '../tap/match.ts';

export const ACCESS_LOG_FORMATS = ['apache', 'json'] as const;
export type AccessLogFormat = (typeof ACCESS_LOG_FORMATS)[number];

/** Who names the trace of a request, in this order. */
const TRACE_FIELDS = ['x-b3-traceid', 'x-request-id', 'x-amzn-trace-id'];

/** Longest target and user agent that are written. */
const TEXT_MAX = 2048;

/** Writes one line for each request of a client. Source: linkerd2-proxy `http/access-log`. */
export class AccessLog {
  readonly #format: AccessLogFormat;
  readonly #write: (line: string) => void;
  readonly #now: () => number;

  /** @param now  monotonic milliseconds */
  constructor(format: AccessLogFormat, write: (line: string) => void, now: () => number) {
    this.#format = format;
    this.#write = write;
    this.#now = now;
  }

  begin(head: RequestHead, client: Client, source: SocketAddress, response: ResponseSink): ObservedExchange {
    const identity = client.tls.kind === 'mesh' ? client.tls.identity : undefined;
    const startedMs = this.#now();
    const timestamp = new Date().toISOString();
    return new ObservedExchange(response, ({ status, bytes }) => {
      const version = head.isHttp2 ? 'HTTP/2.0' : head.isHttp11 ? 'HTTP/1.1' : 'HTTP/1.0';
      const address = `${source.address}:${source.port}`;
      const uri = uriOf(head).slice(0, TEXT_MAX);
      if (this.#format === 'apache') {
        const request = `${head.method} ${uri} ${version}`.replaceAll('"', '\\"');
        this.#write(`${address} ${identity ?? '-'} - [${timestamp}] "${request}" ${status} ${bytes}\n`);
        return;
      }
      const fields = {
        'client.addr': address,
        'client.id': identity ?? '-',
        host: head.authority ?? '',
        method: head.method,
        request_bytes: head.body === 'length' ? String(head.bodyBytes) : '',
        response_bytes: String(bytes),
        status,
        timestamp,
        total_ns: String(Math.round((this.#now() - startedMs) * 1e6)),
        trace_id: TRACE_FIELDS.map((name) => fieldValue(head.lines, name)).find((id) => id !== undefined) ?? '',
        uri,
        user_agent: (fieldValue(head.lines, 'user-agent') ?? '').slice(0, TEXT_MAX),
        version,
      };
      this.#write(`${JSON.stringify(fields)}\n`);
    });
  }
}

/** Absolute, as requests between proxies of Linkerd are: the form of Apache names the host nowhere else. */
function uriOf({ target, authority }: RequestHead): string {
  return target.startsWith('/') && authority !== undefined ? `http://${authority}${target}` : target;
}
