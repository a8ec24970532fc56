import type { InboundServer } from '#model/inbound.ts';
import type { Exemption } from '#netlink/exemption.ts';
import type { Logger } from '#runtime/log.ts';
import type { Patterns } from '#runtime/pattern.ts';
import type { GrpcClient } from '../grpc/client.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { TapHub } from '../tap/hub.ts';
import type { Tracer } from '../tracing/tracer.ts';
import type { DecisionLog } from '../decisions/decision-log.ts';
import type { TrafficMetrics } from '../metrics/registry.ts';

/** What every part of the inbound side needs. One per proxy. */
export type InboundContext = {
  readonly log: Logger;
  readonly metrics: TrafficMetrics;
  readonly decisions: DecisionLog;
  readonly tracer: Tracer | undefined; // absent: requests are not traced
  readonly tap: TapHub;
  readonly patterns: Patterns;
  readonly identity: string; // of this workload
  readonly credentials: () => Credentials | undefined;
  readonly exemption: Exemption;
  readonly policy: { readonly client: GrpcClient; readonly workload: string };
  /** How a port is served until the policy API has answered. */
  readonly defaultServer: (port: number) => InboundServer;
  readonly connectTimeoutMs: number;
  readonly poolIdleMs: number;
  readonly poolIdleMax: number;
  readonly waitingMax: number; // requests that wait for a connection to one port
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
};
