/** Jittered exponential backoff. Source: linkerd2-proxy-api `outbound.ExponentialBackoff`. */
export type Backoff = {
  readonly minMs: number; // > 0
  readonly maxMs: number; // >= minMs
  readonly jitterRatio: number; // 0..100, share of the delay that may be added at random
};
