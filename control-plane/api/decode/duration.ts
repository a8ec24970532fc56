import type { Duration } from '#api/gen/google/protobuf/duration.ts';
import { DecodeError } from './decode-error.ts';

/** @returns whole milliseconds, rounded */
export function decodeDurationMs(message: Duration | undefined, field: string): number {
  if (message === undefined) throw new DecodeError(field, 'missing');
  const durationMs = Number(message.seconds) * 1000 + Math.round(message.nanos / 1_000_000);
  if (!Number.isSafeInteger(durationMs) || durationMs < 0) throw new DecodeError(field, 'not a duration of 0 or more');
  return durationMs;
}
