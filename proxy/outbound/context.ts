import type { Exemption } from '#netlink/exemption.ts';
import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import type { Patterns } from '#runtime/pattern.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { TapHub } from '../tap/hub.ts';
import type { Tracer } from '../tracing/tracer.ts';
import type { DecisionLog } from '../decisions/decision-log.ts';
import type { TrafficMetrics } from '../metrics/registry.ts';

/** What every part of the outbound side needs. One per proxy; nothing lives in modules. */
export type OutboundContext = {
  readonly log: Logger;
  readonly metrics: TrafficMetrics;
  readonly decisions: DecisionLog;
  readonly tracer: Tracer | undefined; // absent: requests are not traced
  readonly tap: TapHub;
  readonly patterns: Patterns;
  /** The certificate of this workload, if there is a valid one now. */
  readonly credentials: () => Credentials | undefined;
  readonly exemption: Exemption;
  /** Addresses of this pod: endpoints there are reached without TLS. */
  readonly ownAddresses: ReadonlySet<string>;
  readonly connectTimeoutMs: number;
  readonly connectKeepAliveMs: number;
  readonly poolIdleMs: number;
  readonly poolIdleMax: number;
  readonly waitingMax: number; // requests that wait for a connection to one endpoint
  readonly failFastMs: number; // how long a request waits for a service to have an endpoint
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  /** Of the machine: for times that other proxies read. */
  readonly clock: Clock;
};
