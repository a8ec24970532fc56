import type { Client } from '#model/authorization.ts';
import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import type { Logger } from '#runtime/log.ts';

/** Lines for one port in each interval: a client is told of once, and the others after these are counted. */
const LINES_MAX = 50;
const INTERVAL_MS = 60_000;

/** Says whom a policy in audit mode lets in that it would deny, so that a log can be read before the policy is made to. */
export class AuditLog {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #told = new Set<string>();
  #beganMs = -Infinity;
  #untold = 0;

  /** @param now  monotonic milliseconds */
  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** @param what  is let in: `the connection`, or `the request of httproute…` */
  add(client: Client, port: number, server: ResourceRef, what: string): void {
    const nowMs = this.#now();
    const isNext = nowMs - this.#beganMs >= INTERVAL_MS;
    if (isNext) {
      this.#told.clear();
      this.#beganMs = nowMs;
    }
    const identity = client.tls.kind === 'mesh' ? client.tls.identity : undefined;
    const key = JSON.stringify([identity ?? client.address, server, what]);
    if (this.#told.has(key)) return;
    if (this.#told.size >= LINES_MAX) {
      this.#untold += 1;
      return;
    }
    this.#told.add(key);
    const more = isNext && this.#untold > 0 ? { untold: this.#untold } : {};
    if (isNext) this.#untold = 0;
    this.#log.info(
      { client, port, ...more },
      `audit: ${formatResourceRef(server)} lets in ${what} that no authorization allows`,
    );
  }
}
