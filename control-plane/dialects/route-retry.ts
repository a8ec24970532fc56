import { asList, asNumber, asObject, asText, isObject, type JsonObject } from '#k8s/json.ts';
import { REQUESTED_RETRY, type HttpRetry } from '#model/retry.ts';
import { readGatewayDuration } from './gateway-api.ts';
import type { Problems } from './problem.ts';

const ATTEMPTS_MAX = 65_535; // of the wire format
/** How much longer the longest wait is than the shortest. */
const BACKOFF_GROWTH = 10;

/**
 * Reads `retry` of a rule: attempts after the first one for the given status codes, and always for connections that fail. `backoff`
 * is the least wait. Source: Gateway API, GEP-1731.
 *
 * @returns `none` where the rule wants no retries; nothing where it does not say
 */
export function readRetry(rule: JsonObject, field: string, problems: Problems): HttpRetry | 'none' | undefined {
  const { retry } = rule;
  if (!isObject(retry)) return undefined;
  const attempts = asNumber(retry['attempts']) ?? REQUESTED_RETRY.maxRetries;
  if (!Number.isInteger(attempts) || attempts < 0 || attempts > ATTEMPTS_MAX)
    return problems.add(`${field}.attempts`, `${attempts} is not an integer from 0 to ${ATTEMPTS_MAX}`);
  const conditions = asList(retry['codes']).flatMap((value, index) => {
    const code = asNumber(value);
    if (code !== undefined && Number.isInteger(code) && code >= 400 && code <= 599) return [{ min: code, max: code }];
    problems.add(`${field}.codes[${index}]`, `${JSON.stringify(value)} is no status code from 400 to 599`);
    return [];
  });
  const text = asText(asObject(retry)['backoff']);
  const minMs = text === undefined ? undefined : readGatewayDuration(text, `${field}.backoff`, problems);
  if (attempts === 0) return 'none';
  const backoff = minMs ? { minMs, maxMs: minMs * BACKOFF_GROWTH, jitterRatio: 1 } : REQUESTED_RETRY.backoff;
  return { ...REQUESTED_RETRY, maxRetries: attempts, conditions, backoff };
}
