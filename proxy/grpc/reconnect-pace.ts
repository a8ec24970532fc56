import { backoffMs } from './backoff.ts';

const RECONNECT_MS_MIN = 500;
const RECONNECT_MS_MAX = 3_000;

/** Over so long the proxies of a cluster spread their first attempts. */
const RESUME_SPREAD_MS = 2_000;

/** While the service cannot be reached the attempts to connect are paced; a second pause on top would only delay the news. */
const UNREACHABLE_PAUSE_MS = 250;

/**
 * When one client of a service comes back to it. Every proxy of a cluster loses the control plane at the same moment, and has to find it
 * within 10 s when it is back: so no pause is long, and no two are equal.
 */
export class ReconnectPace {
  readonly #now: () => number;
  readonly #random: () => number;
  #failures = 0; // attempts to connect, in a row
  #notBeforeMs = 0;
  #resumeMs = 0; // chosen for each connection

  /**
   * @param now     monotonic milliseconds
   * @param random  uniform samples in [0, 1)
   */
  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#random = random;
  }

  /** Attempts to connect that have failed since a connection stood. */
  get failures(): number {
    return this.#failures;
  }

  connected(): void {
    this.#failures = 0;
    this.#notBeforeMs = 0;
    this.#resumeMs = RESUME_SPREAD_MS * this.#random();
  }

  /** An attempt to connect has failed. */
  failed(): void {
    this.#failures += 1;
    const most = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(this.#failures - 1, 20));
    this.#notBeforeMs = this.#now() + most * (0.5 + this.#random() / 2);
  }

  /** How long the next attempt to connect has to wait. @returns milliseconds in [0, 3000) */
  get connectPauseMs(): number {
    return Math.max(0, this.#notBeforeMs - this.#now());
  }

  /**
   * How long a watch waits before it asks again. A new question does not wait.
   *
   * @param watchFailures  ends of its stream in a row, >= 1
   * @param isConnected    the connection stands: it was the stream alone that ended
   */
  watchPauseMs(watchFailures: number, isConnected: boolean): number {
    const pauseMs = backoffMs(watchFailures, this.#random());
    if (this.#failures > 0) return Math.min(pauseMs, UNREACHABLE_PAUSE_MS);
    return isConnected ? pauseMs : Math.max(pauseMs, this.#resumeMs);
  }
}
