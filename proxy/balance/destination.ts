import type { EndpointMeta } from '../tap/hub.ts';
import type { RequestMetrics } from '../metrics/requests.ts';
import type { Candidate } from './p2c.ts';
import type { RequestPool } from './pool.ts';
import type { RetryBudget } from './retry-budget.ts';

/** One address that can answer a request. */
export interface ServerEndpoint extends Candidate {
  readonly pool: RequestPool;
  readonly requests: RequestMetrics;
  /** Identity that every connection to it has proved; absent: plain text. */
  readonly verifiedIdentity: string | undefined;
  /** What a tap shows of it. */
  readonly meta?: EndpointMeta;
  /** A request begins and ends here: what the load is made of. */
  begin(): void;
  end(): void;
  /** @param rttMs  from sending a request to the first bytes of its response */
  observe(rttMs: number, nowMs: number): void;
  /** A connection could not be made, or the proxy there could not reach its application. */
  markUnreachable(nowMs: number): void;
}

/** Where the requests of a target go. */
export interface Destination<E extends ServerEndpoint = ServerEndpoint> {
  readonly name: string;
  /** More endpoints may appear: a request that finds none waits. */
  readonly isDynamic: boolean;
  readonly endpoints: readonly E[];
  /** What may be sent again after it may have reached an application, when no route says so. */
  readonly repeats: RetryBudget;
  /** @returns undefined when every endpoint is in `avoid`, or there is none */
  pick(avoid: ReadonlySet<ServerEndpoint> | undefined): E | undefined;
  /** Calls once, after the next change of the endpoints. */
  onChange(listener: () => void): Disposable;
}
