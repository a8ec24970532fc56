import type { Duration } from '#api/gen/google/protobuf/duration.ts';

/** @param durationMs  integer >= 0 */
export function encodeDuration(durationMs: number): Duration {
  return { seconds: BigInt(Math.floor(durationMs / 1000)), nanos: (durationMs % 1000) * 1_000_000 };
}
