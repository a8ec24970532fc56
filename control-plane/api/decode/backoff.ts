import type { ExponentialBackoff } from '#api/gen/outbound.ts';
import type { Backoff } from '#model/backoff.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';

export function decodeBackoff(message: ExponentialBackoff | undefined, field: string): Backoff {
  if (message === undefined) throw new DecodeError(field, 'missing');
  const minMs = decodeDurationMs(message.minBackoff, `${field}.min_backoff`);
  const maxMs = decodeDurationMs(message.maxBackoff, `${field}.max_backoff`);
  const jitterRatio = Math.round(message.jitterRatio * 1e6) / 1e6; // the wire has single precision
  if (maxMs === 0 || maxMs < minMs) throw new DecodeError(`${field}.max_backoff`, 'must be above 0 and not below min');
  if (!(jitterRatio >= 0 && jitterRatio <= 100)) throw new DecodeError(`${field}.jitter_ratio`, 'not within 0..100');
  return { minMs, maxMs, jitterRatio };
}
