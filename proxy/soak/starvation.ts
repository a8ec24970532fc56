import { STARVED, type Fault } from './faults.ts';

const TICK_MS = 100;
/** So long without a turn changes what clients and applications do. */
const STARVED_MS = 1_000;

/**
 * Notes when this process, which holds clients, applications and control plane, did nothing for long: a machine that is busy
 * with something else makes requests time out, which says nothing about proxies.
 */
export class Starvation implements Disposable {
  readonly faults: Fault[] = [];
  readonly #timer: NodeJS.Timeout;
  #lastMs = performance.now();

  constructor() {
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      if (nowMs - this.#lastMs > STARVED_MS) this.faults.push({ kind: STARVED, fromMs: this.#lastMs, untilMs: nowMs });
      this.#lastMs = nowMs;
    }, TICK_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
