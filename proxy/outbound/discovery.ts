import { DecodeError } from '#api/decode/decode-error.ts';
import type { Logger } from '#runtime/log.ts';
import type { GrpcClient } from '../grpc/client.ts';

/** How discovery is asked. */
export type Discovery = {
  readonly client: GrpcClient;
  readonly contextToken: string;
  /** How long a connection waits for a first answer before it is forwarded as it is. */
  readonly patienceMs: number;
  /** Who answers for outbound policies; absent: there are none. */
  readonly policy?: { readonly client: GrpcClient; readonly workload: string };
};

/** What the message says; nothing, and a line in the log, when it makes no sense: then the last good answer stays. */
export function readable<T>(decode: () => T, target: string, log: Logger): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    log.warn({ target, err: error }, 'discovery sent an answer that cannot be used');
    return undefined;
  }
}

/**
 * Waits for the answer to a question, until the patience is over. When it is asked again, what is known from before may be out of
 * date, so that the new answer is waited for, but not while nobody can be asked: an outage delays nothing that is known.
 */
export class Answer {
  readonly #patienceMs: number;
  readonly #client: GrpcClient | undefined;
  #isKnown = false;
  #wait: Wait;

  /** @param client  who is asked; absent: nobody, and nothing is waited for */
  constructor(patienceMs: number, client: GrpcClient | undefined) {
    this.#patienceMs = patienceMs;
    this.#client = client;
    this.#wait = this.#begin();
  }

  /** Of the question asked last. */
  get promise(): Promise<void> {
    return this.#wait.promise;
  }

  get isOver(): boolean {
    return this.#wait.isOver;
  }

  askedAgain(): void {
    this.#wait.end();
    this.#wait = this.#begin();
  }

  arrived(): void {
    this.#isKnown = true;
    this.#wait.end();
  }

  /** Whoever is asked is gone: what is known stays. */
  interrupted(): void {
    if (this.#isKnown) this.#wait.end();
  }

  #begin(): Wait {
    const wait = new Wait(this.#patienceMs);
    if (this.#client === undefined || (this.#isKnown && !this.#client.isReachable)) wait.end();
    return wait;
  }
}

class Wait {
  readonly promise: Promise<void>;
  isOver = false;
  #resolve: () => void = () => {};
  readonly #timer: NodeJS.Timeout;

  constructor(patienceMs: number) {
    this.promise = new Promise((resolve) => {
      this.#resolve = () => {
        this.isOver = true;
        resolve();
      };
    });
    this.#timer = setTimeout(() => this.#resolve(), patienceMs);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#resolve();
  }
}
