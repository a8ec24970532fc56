import type { GrpcRetryCondition, StatusRange } from '#model/retry.ts';
import type { IsFailure } from './plan.ts';

const GRPC_CODES: Readonly<Record<GrpcRetryCondition, number>> = {
  cancelled: 1,
  'deadline-exceeded': 4,
  'resource-exhausted': 8,
  internal: 13,
  unavailable: 14,
};

/** Answers after which a request is sent again. */
export function retriedAnswers(ranges: readonly StatusRange[], conditions: readonly GrpcRetryCondition[]): IsFailure {
  const codes = new Set(conditions.map((condition) => GRPC_CODES[condition]));
  return (status, grpcStatus) =>
    ranges.some(({ min, max }) => status >= min && status <= max) ||
    (grpcStatus !== undefined && codes.has(grpcStatus));
}
