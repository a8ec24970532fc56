import type { Backoff } from './backoff.ts';

/** When an endpoint counts as failed and gets probes only. Source: linkerd2-proxy-api `outbound.FailureAccrual`. */
export type FailureAccrual =
  | {
      readonly kind: 'consecutive';
      readonly maxFailures: number; // >= 1, failures in a row
      readonly backoff: Backoff; // between probes
    }
  | {
      readonly kind: 'unified';
      readonly successRateThreshold: number; // 0..1; 0: only failures in a row count
      readonly windowMs: number; // >= 10, how long an answer counts
      readonly minRequests: number; // 0..1 000 000, in the window, before the rate says anything
      readonly maxConsecutiveFailures: number; // 0: only the rate counts
      readonly backoff: Backoff;
    };
