import type { Logger } from '#runtime/log.ts';
import { applyTables, removeTables } from '#netlink/nftables.ts';
import { Netlink } from '#netlink/socket.ts';

import type { ServiceIndex } from './service-index.ts';
import { DEFAULT_ADDRESSES, type ClusterAddresses } from './addresses.ts';
import { frontendsOf, serviceTable } from './service-tables.ts';

/** Changes come in bursts, as pods of a deployment do: one application for all within this time. */
const SETTLE_MS = 10;
/** Share of the time that may go into applying, since it keeps the process from doing anything else. */
const BUSY_RATIO = 0.1;
const RETRY_MS = 1000;

/**
 * Makes Services work in the network namespace it is made in, by replacing one nftables table when they or their
 * endpoints change. Connections that exist keep their endpoint; new ones see the old or the new program, never none.
 *
 * Cluster IPs and node ports (on the node's address), TCP and UDP; session affinity is ignored. A Service without
 * endpoints, and an address of the Service range that no Service has, are refused at once.
 */
export class ServiceTranslation implements Disposable {
  readonly #netlink = new Netlink('netfilter');
  readonly #index: ServiceIndex;
  readonly #local: readonly string[];
  readonly #log: Logger;
  readonly #addresses: ClusterAddresses;
  readonly #subscription: Disposable;
  #timer: NodeJS.Timeout | undefined;
  #applied = '';
  #lastTookMs = 0;

  /**
   * @param local  addresses in the Service range that programs of the node itself listen on
   * @throws NetlinkError, SystemCallError  if the kernel refuses the first program; see `nftablesRemedy`
   */
  constructor(
    index: ServiceIndex,
    local: readonly string[],
    log: Logger,
    addresses: ClusterAddresses = DEFAULT_ADDRESSES,
  ) {
    this.#addresses = addresses;
    this.#index = index;
    this.#local = local;
    this.#log = log;
    this.#subscription = index.subscribe(() => this.#schedule(Math.max(SETTLE_MS, this.#lastTookMs / BUSY_RATIO)));
    try {
      this.#apply();
    } catch (error) {
      this.#subscription[Symbol.dispose]();
      this.#netlink[Symbol.dispose]();
      throw error;
    }
  }

  /** Applies what is pending now instead of shortly. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#apply();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#subscription[Symbol.dispose]();
    removeTables(this.#netlink, [serviceTable([])]);
    this.#netlink[Symbol.dispose]();
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#apply();
      } catch (error) {
        // The old program is still in force.
        this.#log.error({ err: error }, 'the kernel refused the Services, trying again');
        this.#schedule(RETRY_MS);
      }
    }, delayMs);
  }

  #apply(): void {
    const frontends = frontendsOf(this.#index, this.#addresses);
    const wanted = JSON.stringify(frontends);
    if (wanted === this.#applied) return;
    const startedAtMs = performance.now();
    applyTables(this.#netlink, [serviceTable(frontends, this.#local, this.#addresses)]);
    this.#applied = wanted;
    this.#lastTookMs = performance.now() - startedAtMs;
    this.#log.debug({ frontends: frontends.length, tookMs: Math.round(this.#lastTookMs) }, 'Services are in force');
  }
}
