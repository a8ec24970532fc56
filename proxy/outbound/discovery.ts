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
 * The first answer to a question that is asked now.
 *
 * @param isKnown  an answer is known from before. It may be out of date, so that the new one is waited for, but not when nobody
 *     can be asked: an outage delays nothing that is known
 */
export function firstAnswer(discovery: Discovery, client: GrpcClient, isKnown: boolean): FirstAnswer {
  const answer = new FirstAnswer(discovery.patienceMs);
  if (isKnown && !client.isReachable) answer.arrived();
  return answer;
}

/** Waits until something has happened or the patience is over. */
export class FirstAnswer {
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

  arrived(): void {
    clearTimeout(this.#timer);
    this.#resolve();
  }
}
