import {
  parseGrpcRetryCondition,
  parseStatusRange,
  REQUESTED_RETRY,
  type GrpcRetryCondition,
  type StatusRange,
} from '#model/retry.ts';
import { parseSimpleDurationMs } from '#runtime/duration.ts';
import type { Plan, RetryPlan } from './plan.ts';
import { retriedAnswers } from './retried-answers.ts';
import type { RetryBudget } from '../balance/retry-budget.ts';

const RETRIES_MAX = 65_535;

/** What the fields of a request say about its timeouts and retries; what is absent is left to the rule. */
export type Overrides = {
  readonly requestMs?: number; // 0: no limit
  readonly responseMs?: number; // 0: no limit
  readonly retry?: {
    readonly maxRetries?: number; // 0: none
    readonly timeoutMs?: number;
    readonly statuses?: readonly StatusRange[];
    readonly codes?: readonly GrpcRetryCondition[];
  };
};

/**
 * Reads `l5d-request-timeout` (or `l5d-timeout`), `l5d-response-timeout` and `l5d-retry-*`, whose values are those of the
 * annotations `timeout.linkerd.io/*` and `retry.linkerd.io/*`. Of fields with the same name the first counts.
 * Source: linkerd2-proxy `app/outbound/src/http/logical/policy/route/`.
 *
 * @param lines  fields, names in lower case, each with its CRLF
 * @returns also the fields that cannot be read, which do not count
 */
export function readOverrides(lines: string): { readonly overrides: Overrides; readonly ignored: readonly string[] } {
  const values = new Map<string, string>();
  for (const line of lines.split('\r\n').slice(0, -1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    if (!values.has(name)) values.set(name, line.slice(colon + 1).trim());
  }
  const ignored: string[] = [];
  const read = <T>(name: string, parse: (text: string) => T | undefined): T | undefined => {
    const text = values.get(name);
    const value = text === undefined ? undefined : parse(text);
    if (text !== undefined && value === undefined) ignored.push(`${name}: ${text.slice(0, 100)}`);
    return value;
  };
  const requestMs = read(
    values.has('l5d-request-timeout') ? 'l5d-request-timeout' : 'l5d-timeout',
    parseSimpleDurationMs,
  );
  const responseMs = read('l5d-response-timeout', parseSimpleDurationMs);
  const maxRetries = read('l5d-retry-limit', parseLimit);
  const timeoutMs = read('l5d-retry-timeout', parseSimpleDurationMs);
  const statuses = read('l5d-retry-http', (text) => parseList(text, parseStatusRange));
  const codes = read('l5d-retry-grpc', (text) => parseList(text, parseGrpcRetryCondition));
  const retry = {
    ...(maxRetries !== undefined && { maxRetries }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(statuses && { statuses }),
    ...(codes && { codes }),
  };
  const overrides = {
    ...(requestMs !== undefined && { requestMs }),
    ...(responseMs !== undefined && { responseMs }),
    ...(Object.keys(retry).length > 0 && { retry }),
  };
  return { overrides, ignored };
}

/** The plan of a request that asks for something else than its rule. @param budget  of retries */
export function overridden(plan: Plan, { requestMs, responseMs, retry }: Overrides, budget: RetryBudget): Plan {
  const timeouts = {
    ...plan.timeouts,
    ...(requestMs !== undefined && { requestMs }),
    ...(responseMs !== undefined && { responseMs }),
  };
  return { ...plan, timeouts, retry: retry === undefined ? plan.retry : requestedRetry(plan.retry, retry, budget) };
}

function requestedRetry(
  rule: RetryPlan | undefined,
  { maxRetries, timeoutMs, statuses, codes }: NonNullable<Overrides['retry']>,
  budget: RetryBudget,
): RetryPlan | undefined {
  if (maxRetries === 0) return undefined;
  const isConditional = statuses !== undefined || codes !== undefined || rule === undefined;
  return {
    ...(rule ?? REQUESTED_RETRY),
    ...(maxRetries !== undefined && { maxRetries }),
    ...(timeoutMs !== undefined && timeoutMs > 0 && { timeoutMs }),
    isFailure: isConditional ? retriedAnswers(statuses ?? [], codes ?? []) : rule.isFailure,
    budget,
  };
}

function parseLimit(text: string): number | undefined {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return value <= RETRIES_MAX ? value : undefined;
}

/** @returns nothing when an element cannot be read */
function parseList<T>(text: string, parse: (part: string) => T | undefined): readonly T[] | undefined {
  const list = text.split(',').map((part) => parse(part.trim()));
  return list.every((one) => one !== undefined) ? list : undefined;
}
