/** Parameters that linkerd2-proxy uses for balancers. */
const DEFAULT_RTT_MS = 30;
const DECAY_MS = 10_000;

/**
 * Peak-sensitive moving average of response times: a slow response counts at once, fast ones are believed only gradually.
 * Source: finagle's peak EWMA, with linkerd2-proxy's 30 ms start and 10 s decay.
 */
export class PeakEwma {
  #rttMs = DEFAULT_RTT_MS;
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** @param rttMs  time to the first part of a response, >= 0 */
  observe(rttMs: number, nowMs: number): void {
    if (rttMs >= this.#rttMs) this.#rttMs = rttMs;
    else {
      const weight = Math.exp(-Math.max(0, nowMs - this.#atMs) / DECAY_MS);
      this.#rttMs = this.#rttMs * weight + rttMs * (1 - weight);
    }
    this.#atMs = nowMs;
  }

  /** What is expected of the next request; without news an estimate fades, so that a slow endpoint gets another chance. */
  estimateMs(nowMs: number): number {
    return this.#rttMs * Math.exp(-Math.max(0, nowMs - this.#atMs) / DECAY_MS);
  }
}
