import type { ExponentialBackoff } from '#api/gen/outbound.ts';
import type { Backoff } from '#model/backoff.ts';
import { encodeDuration } from './duration.ts';

export function encodeBackoff({ minMs, maxMs, jitterRatio }: Backoff): ExponentialBackoff {
  return {
    minBackoff: encodeDuration(minMs),
    maxBackoff: encodeDuration(maxMs),
    jitterRatio,
    respectRetryAfterHint: false,
  };
}
