import type { Terminal } from '../../cli/command.ts';

const REFRESH_MS = 200;

/** Tells what is going on: one line for each step, with a live note on a terminal and the time it took. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #isLive: boolean;

  constructor(terminal: Terminal, isLive: boolean) {
    this.#terminal = terminal;
    this.#isLive = isLive;
  }

  /**
   * Runs one step.
   *
   * @param note  what the step is waiting for right now; shown on a terminal, and in the error
   * @throws what the step throws, after its line is marked as failed
   */
  async step<T>(title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T> {
    const startMs = performance.now();
    let note = '';
    const live = this.#isLive
      ? setInterval(() => this.#terminal.err(`\r\u001b[K… ${title}${note === '' ? '' : ` (${note})`}`), REFRESH_MS)
      : undefined;
    const finish = (symbol: string): void => {
      clearInterval(live);
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
      this.#terminal.err(`${this.#isLive ? '\r\u001b[K' : ''}${symbol} ${title} (${seconds} s)\n`);
    };
    try {
      const result = await work((text) => (note = text));
      finish('√');
      return result;
    } catch (error) {
      finish('×');
      throw error;
    }
  }
}
