import type { Clock } from '#runtime/clock.ts';
import { differences, persisting, type Listed } from './drift.ts';

/** From one comparison to the next, on average. */
const PERIOD_MS = 5 * 60_000;

/** News that is on its way gets so long to arrive. */
const SETTLE_MS = 5_000;

export type DriftCheckOptions = {
  readonly clock: Clock;
  readonly random: () => number; // uniform in [0, 1)
  /** A fresh list of versions, bounded in time. */
  readonly list: () => Promise<Listed>;
  readonly held: () => ReadonlyMap<string, string>;
  /** Told the outcome of each comparison: objects that differ for good, mostly none. */
  readonly onChecked: (drifted: readonly string[]) => void;
  readonly onFailure: (error: unknown, nextMs: number) => void;
};

/**
 * Compares what an informer holds with the API server, from time to time: a change that was lost on the way is seen by nobody
 * else. One list of metadata in about five minutes, a second one only when something differs.
 */
export class DriftCheck implements Disposable {
  readonly #options: DriftCheckOptions;
  #timer: Disposable | undefined;
  #isDisposed = false;

  constructor(options: DriftCheckOptions) {
    this.#options = options;
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#timer?.[Symbol.dispose]();
  }

  /** @returns the delay: many informers, and many processes, must not list at the same time */
  #schedule(): number {
    const delayMs = PERIOD_MS * (0.5 + this.#options.random());
    if (!this.#isDisposed) this.#timer = this.#options.clock.after(delayMs, () => void this.#run());
    return delayMs;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    try {
      const drifted = await this.#compare();
      if (this.#isDisposed) return;
      this.#options.onChecked(drifted);
      this.#schedule();
    } catch (error) {
      if (!this.#isDisposed) this.#options.onFailure(error, this.#schedule());
    }
  }

  async #compare(): Promise<readonly string[]> {
    const { list, held, clock } = this.#options;
    const first = await list();
    const before = differences(held(), first);
    if (before.size === 0 || this.#isDisposed) return [];
    await new Promise<void>((resolve) => {
      this.#timer = clock.after(SETTLE_MS, resolve);
    });
    const second = await list();
    return persisting(before, differences(held(), second));
  }
}
