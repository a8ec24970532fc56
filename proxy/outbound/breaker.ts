import type { Backoff } from '#model/backoff.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import { SlidingCount } from '../balance/retry-budget.ts';

export type Outcome = 'success' | 'failure' | 'throttled'; // throttled: 429

/** @param attempt  0 for the first pause */
export function pauseMs({ minMs, maxMs, jitterRatio }: Backoff, attempt: number, random: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(attempt, 30)) * (1 + jitterRatio * random);
}

/**
 * Takes an endpoint that fails out of the choice. After a pause one request is let through as a probe: its success
 * brings the endpoint back, its failure doubles the pause. Source: linkerd2-proxy `app/outbound/src/http/breaker`.
 */
export class Breaker {
  readonly accrual: FailureAccrual;
  readonly #random: () => number;
  readonly #failures: SlidingCount;
  readonly #all: SlidingCount;
  #consecutive = 0;
  #pauses = 0; // in a row
  #openUntilMs: number | undefined; // absent: closed, everything passes
  #isProbing = false;

  constructor(accrual: FailureAccrual, random: () => number) {
    this.accrual = accrual;
    this.#random = random;
    const windowMs = accrual.kind === 'unified' ? Math.max(10, accrual.windowMs) : 10_000;
    this.#failures = new SlidingCount(windowMs);
    this.#all = new SlidingCount(windowMs);
  }

  /** No request may be sent now. */
  isOpen(nowMs: number): boolean {
    if (this.#openUntilMs === undefined) return false;
    return this.#isProbing || nowMs < this.#openUntilMs;
  }

  /** A request is sent. */
  admit(): void {
    if (this.#openUntilMs !== undefined) this.#isProbing = true;
  }

  /** Nothing is in flight any more. */
  idle(): void {
    this.#isProbing = false;
  }

  record(outcome: Outcome, nowMs: number): void {
    if (this.#openUntilMs !== undefined) {
      if (!this.#isProbing) return; // of a request from before
      if (outcome === 'success') this.#close();
      else this.#open(nowMs);
      return;
    }
    if (outcome === 'failure') this.#consecutive += 1;
    else if (outcome === 'success') this.#consecutive = 0;
    if (this.#hasFailed(outcome, nowMs)) this.#open(nowMs);
  }

  #hasFailed(outcome: Outcome, nowMs: number): boolean {
    const { accrual } = this;
    if (accrual.kind === 'consecutive') return this.#consecutive >= accrual.maxFailures;
    if (accrual.maxConsecutiveFailures > 0 && this.#consecutive >= accrual.maxConsecutiveFailures) return true;
    if (accrual.successRateThreshold === 0) return false;
    this.#all.add(nowMs);
    if (outcome !== 'success') this.#failures.add(nowMs);
    const all = this.#all.total(nowMs);
    return (
      all >= Math.max(1, accrual.minRequests) && 1 - this.#failures.total(nowMs) / all < accrual.successRateThreshold
    );
  }

  #open(nowMs: number): void {
    this.#openUntilMs = nowMs + pauseMs(this.accrual.backoff, this.#pauses, this.#random());
    this.#pauses += 1;
    this.#isProbing = false;
  }

  #close(): void {
    this.#openUntilMs = undefined;
    this.#isProbing = false;
    this.#consecutive = 0;
    this.#pauses = 0;
  }
}
