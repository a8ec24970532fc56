import { DecodeError } from '#api/decode/decode-error.ts';
import { TapService, type ObserveRequest } from '#api/gen/tap.ts';
import type { Logger } from '#runtime/log.ts';
import { toProxyError, type ProxyError } from '../errors.ts';
import { frameMessage, MessageError, MessageReader } from '../grpc/messages.ts';
import type { RequestHead } from '../http/head.ts';
import { afterPart, checkComplete, malformedRequest } from '../http/malformed.ts';
import { ErrorCode } from '../http2/errors.ts';
import type { Field } from '../http/field.ts';
import { readRequestHead, readTrailers } from '../http2/head.ts';
import type { ServedHandler, Session } from '../http2/session.ts';
import type { Stream } from '../http2/stream.ts';
import type { TapHub } from './hub.ts';
import { compileMatch, MatchError, type Predicate } from './match.ts';

const STREAMS_MAX = 16; // of one connection
const REQUEST_BYTES_MAX = 64 * 1024;
/** Events that wait for the observer to read; more are dropped and counted. Source: linkerd2-proxy. */
const EVENTS_PENDING_MAX = 400;
const LIMIT_MAX = 1_000_000;

/** gRPC status codes of refusals. Source: grpc `doc/statuscodes.md`. */
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;

export type TapCallOptions = {
  /** The one identity that is served. */
  readonly client: string;
  readonly hub: TapHub;
  readonly log: Logger;
};

/** One call of `Observe`: refused, or a tap until its limit is reached or the observer goes. */
export class TapCall implements ServedHandler {
  readonly #session: Session;
  readonly #options: TapCallOptions;
  readonly #identity: string | undefined;
  readonly #reader = new MessageReader(REQUEST_BYTES_MAX);
  readonly startedMs: number;
  #stream: Stream | undefined;
  #left: number | undefined; // bytes of the request still to come, if it said how many
  #bytes = 0; // of the request
  #hasHead = false;
  #refusal: { readonly status: number; readonly message: string } | undefined;
  #tap: Disposable | undefined;
  #isAnswered = false;
  #hasRoom = true;
  readonly #pending: Buffer[] = [];
  #isDone = false; // nothing comes after what is pending
  #isOver = false; // the stream is gone
  #dropped = 0;

  /** @param startedMs  monotonic */
  constructor(session: Session, options: TapCallOptions, identity: string | undefined, startedMs: number) {
    this.#session = session;
    this.#options = options;
    this.#identity = identity;
    this.startedMs = startedMs;
  }

  /** It is not clear yet what the call asks for. */
  get isWaiting(): boolean {
    return !this.#isAnswered && !this.#isOver;
  }

  attach(stream: Stream): void {
    this.#stream = stream;
  }

  onFields(fields: readonly Field[], isEnd: boolean): void {
    if (this.#isAnswered) return;
    try {
      if (this.#hasHead) {
        if (!isEnd) throw malformedRequest('trailers before the end');
        readTrailers(fields, 'client');
      } else {
        const { head, contentLength } = readRequestHead(fields, isEnd, false);
        this.#hasHead = true;
        this.#left = contentLength;
        this.#refusal = this.#refusalOf(head);
      }
      if (isEnd) this.#onEnd();
    } catch (error) {
      this.#reject(toProxyError(error, 'client-malformed'));
    }
  }

  /** A refusal waits for the end of the request, which may turn out to be malformed. */
  onData(bytes: Buffer, isEnd: boolean): boolean {
    if (this.#isAnswered) return true;
    try {
      this.#bytes += bytes.length;
      this.#left = afterPart(this.#left, bytes.length, malformedRequest);
      if (this.#bytes > REQUEST_BYTES_MAX)
        this.#refuse(RESOURCE_EXHAUSTED, `the request has more than ${REQUEST_BYTES_MAX} bytes`);
      else if (this.#refusal === undefined) {
        const [message] = this.#reader.read(bytes);
        if (message !== undefined) this.#observe(message);
      }
      if (isEnd) this.#onEnd();
    } catch (error) {
      if (error instanceof MessageError) this.#refuse(INVALID_ARGUMENT, `the request is ${error.message}`);
      else this.#reject(toProxyError(error, 'client-malformed'));
    }
    return true;
  }

  /** The request takes too long. */
  giveUp(): void {
    if (this.isWaiting) this.#refuse(DEADLINE_EXCEEDED, 'the request did not arrive in time');
  }

  onDrain(): void {
    this.#hasRoom = true;
    while (this.#hasRoom && this.#pending.length > 0) this.#send(this.#pending.shift());
    if (this.#isDone && this.#pending.length === 0) this.#end();
  }

  onReset(): void {
    this.#isOver = true;
    this.#stop();
  }

  onBatchEnd(): void {}

  #refusalOf({ target }: RequestHead): { readonly status: number; readonly message: string } | undefined {
    const { client, log } = this.#options;
    if (this.#session.streams.size > STREAMS_MAX) {
      // At once: these must not add up.
      this.#refuse(RESOURCE_EXHAUSTED, `a connection may have ${STREAMS_MAX} taps`);
      return undefined;
    }
    if (target !== TapService.observe.path) return { status: UNIMPLEMENTED, message: `there is no ${target} here` };
    if (this.#identity === client) return undefined;
    const name = this.#identity ?? 'no identity';
    log.warn({ client: name }, 'tap refused: the client is not the tap service');
    return { status: UNAUTHENTICATED, message: `Unauthorized client: ${name} may not tap this workload` };
  }

  /** @throws ProxyError */
  #onEnd(): void {
    checkComplete(this.#left, malformedRequest);
    if (this.#isAnswered) return;
    const { status, message } = this.#refusal ?? { status: INVALID_ARGUMENT, message: 'there is no request' };
    this.#refuse(status, message);
  }

  /** A malformed request ends its stream (RFC 9113 section 8.1.1). */
  #reject(error: ProxyError): void {
    this.#isAnswered = true;
    this.#stream?.reset(ErrorCode.PROTOCOL_ERROR);
    this.#session.blame(error.code === 'head-too-large');
  }

  #observe(message: Buffer): void {
    let request: ObserveRequest;
    let matches: Predicate;
    try {
      request = TapService.observe.requestDeserialize(message);
      if (request.limit < 1 || request.limit > LIMIT_MAX) throw new MatchError(`limit must be 1 to ${LIMIT_MAX}`);
      matches = compileMatch(request.match);
    } catch (error) {
      const isExplained = error instanceof MatchError || error instanceof DecodeError;
      this.#refuse(INVALID_ARGUMENT, isExplained ? error.message : 'the request cannot be read');
      return;
    }
    this.#answer('', false);
    this.#tap = this.#options.hub.observe({
      matches,
      limit: request.limit,
      hasHeaders: request.extract?.extract?.value.extract?.$case === 'headers',
      emit: (event) => this.#emit(frameMessage(TapService.observe.responseSerialize(event))),
      onDone: () => {
        this.#isDone = true;
        this.#stop();
        if (this.#pending.length === 0) this.#end();
      },
    });
  }

  #emit(event: Buffer): void {
    if (this.#hasRoom) this.#send(event);
    else if (this.#pending.length < EVENTS_PENDING_MAX) this.#pending.push(event);
    else this.#dropped += 1;
  }

  #send(event: Buffer | undefined): void {
    this.#hasRoom = this.#stream?.sendData(event, false) ?? true;
  }

  #end(): void {
    this.#stream?.sendData(undefined, true, 'grpc-status: 0\r\n');
  }

  #stop(): void {
    this.#tap?.[Symbol.dispose]();
    this.#tap = undefined;
    if (this.#dropped > 0)
      this.#options.log.warn({ dropped: this.#dropped }, 'tap: events dropped, the observer read too slowly');
    this.#dropped = 0;
  }

  #refuse(status: number, message: string): void {
    if (this.#isAnswered) return;
    this.#answer(`grpc-status: ${status}\r\ngrpc-message: ${encodeURIComponent(message)}\r\n`, true);
    if (this.#stream?.isClosed === false) this.#stream.reset(ErrorCode.NO_ERROR); // the rest of the request is not wanted
  }

  /** @param fields  further ones, each with its CRLF */
  #answer(fields: string, isEnd: boolean): void {
    this.#isAnswered = true;
    const stream = this.#stream;
    if (stream === undefined) return;
    const encoder = this.#session.beginHead();
    encoder.field(':status', '200');
    encoder.field('content-type', 'application/grpc');
    encoder.lines(fields);
    this.#session.sendHead(stream, isEnd);
  }
}
