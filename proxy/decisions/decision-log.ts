import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import { detached } from '../http/field-text.ts';
import type { Decision, FailedAttempt, FailedRequest, Origin } from './decision.ts';

/** Decisions that are kept: with texts of the lengths below, 2 MiB at most, usually 0.4. */
const DECISIONS_MAX = 1_000;
const TEXT_MAX = 256;
const REASON_MAX = 512;
/** Failed attempts that are told of one request. */
export const ATTEMPTS_MAX = 8;

/** What is asked of the log. */
export type DecisionQuery = {
  readonly sinceMs: number; // Unix; later ones
  readonly code?: string;
  readonly limit: number; // the last ones
};

/** A failure in the words of `l5d-proxy-error`. */
type Failure = { readonly code: string; readonly status: number; readonly message: string };

export type DecisionLogOptions = {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Counts what the proxy itself has failed or denied. */
  readonly count: (origin: Origin, protocol: Decision['protocol'], code: string) => void;
};

/** The last failures and denials, in a ring. While nothing fails it costs nothing. */
export class DecisionLog {
  readonly #ring: Decision[] = [];
  readonly #max: number;
  readonly #options: DecisionLogOptions;
  #next = 0;

  constructor(options: DecisionLogOptions, max = DECISIONS_MAX) {
    this.#options = options;
    this.#max = max;
  }

  /** A request that the proxy answers itself, or whose connection it ends. */
  request(origin: Origin, failure: Failure, failed: FailedRequest | undefined): void {
    this.#options.count(origin, 'http', failure.code);
    this.#addRequest(origin, failure, failed);
  }

  /**
   * A response that says itself why it is none of the application's: of a peer proxy, or of a filter.
   *
   * @param proxyError  `code: reason`
   */
  response(origin: Origin, proxyError: string, status: number, failed: FailedRequest): void {
    const colon = proxyError.indexOf(':');
    const code = colon < 0 ? 'unknown' : detached(proxyError.slice(0, colon), TEXT_MAX);
    this.#addRequest(origin, { code, status, message: proxyError.slice(colon + 1).trim() }, failed);
  }

  /** A connection that is reset. */
  connection(origin: Origin, code: string, reason: string, refs: readonly ResourceRef[] = []): void {
    this.#options.count(origin, 'tcp', code);
    this.#add({
      ...origin,
      timeMs: Date.now(),
      protocol: 'tcp',
      decidedBy: namesOf(refs),
      code,
      reason: detached(reason, REASON_MAX),
      attempts: [],
      latencyMs: 0,
    });
  }

  /** @returns oldest first */
  read({ sinceMs, code, limit }: DecisionQuery): readonly Decision[] {
    const inOrder = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    const wanted = inOrder.filter((one) => one.timeMs >= sinceMs && (code === undefined || one.code === code));
    return wanted.slice(-limit);
  }

  #addRequest(origin: Origin, { code, status, message }: Failure, failed: FailedRequest | undefined): void {
    const head = failed?.head;
    const target = head?.target ?? '';
    const question = target.indexOf('?');
    this.#add({
      ...origin,
      timeMs: Date.now(),
      protocol: 'http',
      ...(head !== undefined && { method: detached(head.method, TEXT_MAX) }),
      ...(head?.authority !== undefined && { authority: detached(head.authority, TEXT_MAX) }),
      ...(head !== undefined && { path: detached(question < 0 ? target : target.slice(0, question), TEXT_MAX) }),
      decidedBy: namesOf(failed?.refs ?? []),
      code,
      status,
      reason: detached(message, REASON_MAX),
      attempts: (failed?.attempts ?? []).slice(0, ATTEMPTS_MAX).map(shortened),
      latencyMs: failed === undefined ? 0 : Math.round((this.#options.now() - failed.startedMs) * 10) / 10,
    });
  }

  #add(decision: Decision): void {
    this.#ring[this.#next] = decision;
    this.#next = (this.#next + 1) % this.#max;
  }
}

function namesOf(refs: readonly ResourceRef[]): readonly string[] {
  return [...new Set(refs.map(formatResourceRef))];
}

function shortened({ endpoint, backend, outcome }: FailedAttempt): FailedAttempt {
  return { endpoint, ...(backend !== undefined && { backend }), outcome: detached(outcome, TEXT_MAX) };
}
