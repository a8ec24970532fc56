import { parseSimpleDurationMs } from '#runtime/duration.ts';
import type { Backoff } from '#model/backoff.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import {
  parseGrpcRetryCondition,
  parseStatusRange,
  REQUESTED_RETRY,
  type GrpcRetry,
  type HttpRetry,
} from '#model/retry.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { Problems } from './problem.ts';

type Annotations = Readonly<Record<string, string>>;

/** What the annotations of a Service or a route say about its requests. A group with a wrong value is left out as a whole. */
export type TrafficAnnotations = {
  readonly timeouts?: Timeouts;
  readonly httpRetry?: RetrySetting<HttpRetry>;
  readonly grpcRetry?: RetrySetting<GrpcRetry>;
};

/** Retries, or that there are none whatever the parent says. */
export type RetrySetting<R> = R | 'none';

/** The retries of a route: what it says itself, or else what its parent says. */
export function retryOf<R>(own: RetrySetting<R> | undefined, inherited: RetrySetting<R> | undefined): R | undefined {
  const setting = own ?? inherited;
  return setting === 'none' ? undefined : setting;
}

const ACCRUAL = 'balancer.linkerd.io/failure-accrual';
const ALPHA = 'balancer.alpha.linkerd.io/failure-accrual';

/** Reads `timeout.linkerd.io/*` and `retry.linkerd.io/*`. Source: linkerd2 `policy-controller` outbound index. */
export function trafficAnnotations(annotations: Annotations, problems: Problems): TrafficAnnotations {
  const timeouts = group(problems, (found) => readTimeouts(annotations, found));
  const http = group(problems, (found) => readRetry(annotations, found));
  if (http === undefined) return { ...(timeouts && { timeouts }) };
  if (http === 'none') return { ...(timeouts && { timeouts }), httpRetry: 'none', grpcRetry: 'none' };
  const { statuses, codes, ...rest } = http;
  return {
    ...(timeouts && { timeouts }),
    // A condition of the other protocol alone switches nothing on.
    ...((statuses !== undefined || codes === undefined) && { httpRetry: { ...rest, conditions: statuses ?? [] } }),
    ...((codes !== undefined || statuses === undefined) && { grpcRetry: { ...rest, conditions: codes ?? [] } }),
  };
}

/** Reads `balancer.linkerd.io/failure-accrual*` of a Service; nothing when there is none or it cannot be used. */
export function failureAccrual(annotations: Annotations, problems: Problems): FailureAccrual | undefined {
  return group(problems, (found) => readAccrual(annotations, found));
}

/** @returns nothing when the group has a problem */
function group<T>(problems: Problems, read: (problems: Problems) => T | undefined): T | undefined {
  const found = new Problems();
  const value = read(found);
  for (const { field, message } of found.found) problems.add(field, message);
  return found.found.length > 0 ? undefined : value;
}

function readTimeouts(annotations: Annotations, problems: Problems): Timeouts | undefined {
  const requestMs = durationOf(annotations, 'timeout.linkerd.io/request', problems);
  const responseMs = durationOf(annotations, 'timeout.linkerd.io/response', problems);
  const idleMs = durationOf(annotations, 'timeout.linkerd.io/idle', problems);
  if (requestMs === undefined && responseMs === undefined && idleMs === undefined) return undefined;
  // 0 is no limit, and says so against the parent's.
  return { ...(requestMs && { requestMs }), ...(responseMs && { responseMs }), ...(idleMs && { idleMs }) };
}

function readRetry(annotations: Annotations, problems: Problems) {
  const statuses = listOf(annotations, 'retry.linkerd.io/http', problems, parseStatusRange);
  const codes = listOf(annotations, 'retry.linkerd.io/grpc', problems, parseGrpcRetryCondition);
  const limit = integerOf(annotations, 'retry.linkerd.io/limit', problems, 0, 65_535);
  const timeoutMs = durationOf(annotations, 'retry.linkerd.io/timeout', problems);
  // Whoever writes 0 wants each request to be sent once. Linkerd takes it as not written, and sends twice.
  if (limit === 0) return 'none';
  if (statuses === undefined && codes === undefined && limit === undefined && timeoutMs === undefined) return undefined;
  return {
    statuses,
    codes,
    ...REQUESTED_RETRY,
    ...(limit !== undefined && { maxRetries: limit }),
    ...(timeoutMs !== undefined && timeoutMs > 0 && { timeoutMs }),
  };
}

function readAccrual(annotations: Annotations, problems: Problems): FailureAccrual | undefined {
  const mode = annotations[ACCRUAL];
  if (mode === undefined) {
    const lonely = Object.keys(annotations).find(
      (name) => name.startsWith(`${ACCRUAL}-`) || name.startsWith(`${ALPHA}-`),
    );
    return lonely === undefined ? undefined : problems.add(lonely, `has no effect without ${ACCRUAL}`);
  }
  if (mode !== 'consecutive' && mode !== 'unified') {
    return problems.add(ACCRUAL, `"${mode}" is not a way to judge endpoints: use consecutive or unified`);
  }
  const maxFailures = integerOf(annotations, `${ACCRUAL}-consecutive-max-failures`, problems, 1, 2 ** 31) ?? 7;
  const minMs = durationOf(annotations, `${ACCRUAL}-consecutive-min-penalty`, problems) ?? 1_000;
  const maxMs = durationOf(annotations, `${ACCRUAL}-consecutive-max-penalty`, problems) ?? 60_000;
  const jitterRatio = numberOf(annotations, `${ACCRUAL}-consecutive-jitter-ratio`, problems, 0, 100) ?? 0.5;
  if (minMs === 0) problems.add(`${ACCRUAL}-consecutive-min-penalty`, 'must be more than 0');
  if (maxMs < minMs) problems.add(`${ACCRUAL}-consecutive-max-penalty`, `is less than the least penalty, ${minMs} ms`);
  const backoff: Backoff = { minMs, maxMs, jitterRatio };
  if (mode === 'consecutive') return { kind: 'consecutive', maxFailures, backoff };
  const windowMs = durationOf(annotations, `${ALPHA}-window`, problems) ?? 10_000;
  if (windowMs < 10) problems.add(`${ALPHA}-window`, 'must be 10ms or more');
  return {
    kind: 'unified',
    successRateThreshold: numberOf(annotations, `${ALPHA}-success-rate-threshold`, problems, 0, 1) ?? 0.8,
    windowMs,
    minRequests: integerOf(annotations, `${ALPHA}-min-requests`, problems, 0, 1_000_000) ?? 5,
    maxConsecutiveFailures: maxFailures,
    backoff,
  };
}

function durationOf(annotations: Annotations, name: string, problems: Problems): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const durationMs = parseSimpleDurationMs(text);
  if (durationMs !== undefined) return durationMs;
  return problems.add(name, `"${text}" is not a duration: write an integer and a unit, such as 300ms, 10s or 5m`);
}

function integerOf(
  annotations: Annotations,
  name: string,
  problems: Problems,
  min: number,
  max: number,
): number | undefined {
  const value = numberOf(annotations, name, problems, min, max);
  if (value === undefined || Number.isInteger(value)) return value;
  return problems.add(name, `"${annotations[name]}" is not an integer`);
}

function numberOf(
  annotations: Annotations,
  name: string,
  problems: Problems,
  min: number,
  max: number,
): number | undefined {
  const text = annotations[name]?.trim();
  if (text === undefined) return undefined;
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  return problems.add(name, `"${text}" is not a number from ${min} to ${max}`);
}

function listOf<T>(
  annotations: Annotations,
  name: string,
  problems: Problems,
  parse: (text: string) => T | undefined,
): readonly T[] | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  return text.split(',').flatMap((part) => {
    const value = parse(part.trim());
    if (value === undefined) problems.add(name, `"${part.trim()}" is not a condition of retries`);
    return value === undefined ? [] : [value];
  });
}
