/** How much of something a peer may do: so much at once, so much per second in the long run. */
export class Budget {
  readonly #max: number;
  readonly #perSecond: number;
  #left: number;
  #atMs: number;

  constructor(max: number, perSecond: number, nowMs: number) {
    this.#max = max;
    this.#perSecond = perSecond;
    this.#left = max;
    this.#atMs = nowMs;
  }

  /** @returns false when it is used up */
  take(nowMs: number): boolean {
    this.#left = Math.min(this.#max, this.#left + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
