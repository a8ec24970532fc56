import { DurationError, parseDurationMs } from '#runtime/duration.ts';
import type { PageAnswer } from '../admin.ts';
import type { Decision } from './decision.ts';
import type { DecisionLog } from './decision-log.ts';

const LIMIT_MAX = 1_000;
const PARAMETERS = new Set(['since', 'code', 'limit']);
const CODE = /^[a-z0-9-]{1,64}$/;

/**
 * The admin page of the decisions: one JSON object in each line, oldest first.
 *
 * @param query  `since` (a duration, back from now), `code`, `limit` (the last ones)
 */
export function decisionsPage(log: DecisionLog, query: URLSearchParams, nowMs: number): PageAnswer {
  for (const name of query.keys()) if (!PARAMETERS.has(name)) return wrong(`${name}: use since, code or limit`);
  const code = query.get('code') ?? undefined;
  if (code !== undefined && !CODE.test(code)) return wrong('code: use one such as unauthorized');
  const limitText = query.get('limit') ?? String(LIMIT_MAX);
  const limit = /^\d{1,4}$/.test(limitText) ? Number(limitText) : 0;
  if (limit < 1 || limit > LIMIT_MAX) return wrong(`limit: use a whole number from 1 to ${LIMIT_MAX}`);
  const since = query.get('since');
  let sinceMs = 0;
  try {
    if (since !== null) sinceMs = nowMs - parseDurationMs(since.slice(0, 32));
  } catch (error) {
    if (error instanceof DurationError) return wrong(`since: ${error.message}`);
    throw error;
  }
  const decisions = log.read({ sinceMs, ...(code !== undefined && { code }), limit });
  return { status: 200, contentType: 'application/x-ndjson', body: decisions.map(lineOf).join('') };
}

function lineOf({ timeMs, ...decision }: Decision): string {
  return `${JSON.stringify({ time: new Date(timeMs).toISOString(), ...decision })}\n`;
}

function wrong(reason: string): PageAnswer {
  return { status: 400, contentType: 'text/plain; charset=utf-8', body: `${reason}\n` };
}
