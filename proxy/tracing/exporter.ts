import {
  Span_SpanKind,
  Status_StatusCode,
  TraceServiceService,
  type ExportTraceServiceRequest,
  type KeyValue,
  type Span as SpanMessage,
} from '#api/gen/otlp_trace.ts';
import type { GrpcClient } from '../grpc/client.ts';
import type { Exposition } from '../metrics/exposition.ts';
import type { Span } from './span.ts';

/** Spans that wait. Source: linkerd2-proxy, as the next. About 1 KiB each. */
const QUEUE_MAX = 1_000;
const INTERVAL_MS = 5_000;
const BATCH_MAX = 512;
const EXPORT_MS = 10_000;
/** Known to be remote, and remote: the parent is always somebody else. Source: opentelemetry-proto `SpanFlags`. */
const REMOTE_PARENT = 0x300;

export type SpanExporterOptions = {
  readonly client: GrpcClient;
  readonly attributes: Readonly<Record<string, string>>; // of this proxy
  readonly version: string;
  readonly exposition: Exposition;
};

/** Sends spans to a collector in batches. What does not fit, or is not taken, is dropped and counted: traffic never waits. */
export class SpanExporter implements Disposable {
  readonly #client: GrpcClient;
  readonly #envelope: (spans: readonly Span[]) => ExportTraceServiceRequest;
  readonly #dropped = new Map<'queue_full' | 'rejected' | 'not_sent', number>();
  readonly #timer: NodeJS.Timeout;
  #queue: Span[] = [];
  #exported = 0;
  #requests = 0;
  #running: Promise<void> | undefined;

  constructor({ client, attributes, version, exposition }: SpanExporterOptions) {
    this.#client = client;
    const resource = { attributes: keyValues(attributes) };
    const scope = { name: 'tulle-proxy', version };
    this.#envelope = (spans) => ({
      resourceSpans: [{ resource, scopeSpans: [{ scope, spans: spans.map(encodeSpan) }] }],
    });
    const prefix = 'opentelemetry_span';
    exposition.addReading(
      { name: `${prefix}_exports_total`, help: 'Spans that the collector has taken.', type: 'counter' },
      () => this.#exported,
    );
    exposition.addReading(
      { name: `${prefix}_export_requests_total`, help: 'Batches that were sent to the collector.', type: 'counter' },
      () => this.#requests,
    );
    exposition.addReading(
      { name: `${prefix}s_dropped_total`, help: 'Spans that no collector has got.', type: 'counter' },
      () => [...this.#dropped].map(([reason, spans]) => [{ reason }, spans]),
    );
    this.#timer = setInterval(() => void this.flush(), INTERVAL_MS);
    this.#timer.unref();
  }

  add(span: Span): void {
    if (this.#queue.length >= QUEUE_MAX) {
      this.#drop('queue_full', 1);
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= BATCH_MAX) void this.flush();
  }

  /** Sends what is there now, one batch at a time. Never fails. */
  flush(): Promise<void> {
    this.#running ??= this.#send().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #drop(reason: 'queue_full' | 'rejected' | 'not_sent', spans: number): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + spans);
  }

  async #send(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_MAX);
      this.#queue = this.#queue.slice(BATCH_MAX);
      this.#requests += 1;
      try {
        const answer = await this.#client.unary(TraceServiceService.export, this.#envelope(batch), EXPORT_MS);
        const rejected = Math.min(batch.length, Number(answer.partialSuccess?.rejectedSpans ?? 0n));
        this.#exported += batch.length - rejected;
        if (rejected > 0) this.#drop('rejected', rejected);
      } catch {
        // The client says in the log when the collector is away and when it is back.
        this.#drop('not_sent', batch.length);
      }
    }
  }
}

function encodeSpan(span: Span): SpanMessage {
  const { traceId, spanId, parentId, state, kind, name, startMs, endMs, attributes, error } = span;
  return {
    traceId: Buffer.from(traceId, 'hex'),
    spanId: Buffer.from(spanId, 'hex'),
    traceState: state,
    parentSpanId: Buffer.from(parentId, 'hex'),
    name,
    kind: kind === 'server' ? Span_SpanKind.SPAN_KIND_SERVER : Span_SpanKind.SPAN_KIND_CLIENT,
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(endMs),
    attributes: keyValues(attributes),
    status: error === undefined ? undefined : { message: error, code: Status_StatusCode.STATUS_CODE_ERROR },
    flags: REMOTE_PARENT,
  };
}

/** Microseconds are all that a double holds of today's date. */
function nanos(ms: number): bigint {
  return BigInt(Math.round(ms * 1000)) * 1000n;
}

function keyValues(attributes: Readonly<Record<string, string | number>>): KeyValue[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: {
      value: typeof value === 'number' ? { $case: 'intValue', value: BigInt(value) } : { $case: 'stringValue', value },
    },
  }));
}
