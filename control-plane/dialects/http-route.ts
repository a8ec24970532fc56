import { asList, asObject, asText, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { HttpFilter } from '#model/filter.ts';
import type { HttpRetry } from '#model/retry.ts';
import type { HttpRoute, HttpRule } from '#model/route.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { retryOf, type TrafficAnnotations } from './annotations.ts';
import {
  readBackends,
  readMirror,
  readTimeouts,
  type CompiledRoute,
  type RouteContext,
  type RouteProblems,
} from './gateway-api.ts';
import type { Problems } from './problem.ts';
import { readRetry } from './route-retry.ts';
import { compileRoute, type RouteAnnotations } from './route-rules.ts';
import { readHttpMatch, readModifier, readRedirect, readRewrite } from './route-parts.ts';
import { readSessionPersistence } from './session-persistence.ts';

/** Gateway API: what a rule means whose `matches` are left out. */
export const EVERYTHING = [{ path: { type: 'PathPrefix', value: '/' } }];

/**
 * Reads an HTTPRoute of group `gateway.networking.k8s.io` or `policy.linkerd.io`.
 *
 * @param inherited  annotations of the parent, for what the route leaves open
 */
export function compileHttpRoute(
  object: CustomObject,
  context: RouteContext,
  inherited: TrafficAnnotations = {},
): CompiledRoute<HttpRoute> {
  return compileRoute(object, inherited, (rule, index, annotations, problems) =>
    ruleOf(rule, index, object, context, annotations, problems),
  );
}

function ruleOf(
  rule: JsonObject,
  index: number,
  object: CustomObject,
  context: RouteContext,
  annotations: RouteAnnotations,
  problems: RouteProblems,
): HttpRule {
  const field = `spec.rules[${index}]`;
  const filtersOf = (values: unknown, name: string): readonly HttpFilter[] => {
    const read = asList(values).flatMap((one, nth) => {
      const at = `${name}[${nth}]`;
      const fields = asObject(one);
      if (fields['type'] !== 'RequestMirror') return readFilter(fields, at, problems.fatal) ?? [];
      return readMirror(fields['requestMirror'], `${at}.requestMirror`, object, context, problems) ?? [];
    });
    checkRewrite(read, rule, name, problems.fatal);
    return read;
  };
  const failure = (message: string): HttpFilter => ({ kind: 'failure', status: 500, message });
  const matches = asList(rule['matches']);
  const filters = filtersOf(rule['filters'], `${field}.filters`);
  const isAnswered = filters.some(({ kind }) => kind === 'redirect');
  const { attemptMs, ...timeouts } = readTimeouts(rule, field, problems.fatal);
  const session = readSessionPersistence(rule, field, index, object, problems.fatal);
  return {
    index,
    matches: (matches.length > 0 ? matches : EVERYTHING).map((match, nth) =>
      readHttpMatch(asObject(match), `${field}.matches[${nth}]`, problems.fatal),
    ),
    filters,
    distribution: isAnswered
      ? { kind: 'empty' }
      : readBackends(rule, field, object, context, problems, { filters: filtersOf, failure }),
    ...limitsOf(rule, field, annotations, timeouts, attemptMs, problems.fatal),
    allowsRequestHeaders: context.allowsRequestHeaders,
    ...(session && { session }),
  };
}

/**
 * Timeouts and retries of a rule: annotations of the route, then what the rule says, then annotations of the parent, each
 * group as a whole. Source: linkerd2 `policy-controller/grpc/src/outbound/http.rs`.
 */
function limitsOf(
  rule: JsonObject,
  field: string,
  annotations: RouteAnnotations,
  given: Timeouts,
  attemptMs: number | undefined,
  problems: Problems,
): { readonly timeouts: Timeouts; readonly retry?: HttpRetry } {
  const { own, inherited } = annotations;
  const ofRule = readRetry(rule, `${field}.retry`, problems);
  const retry = retryOf(own.httpRetry ?? ofRule, inherited.httpRetry);
  // An attempt has its own limit only where there can be more than one.
  if (retry === undefined) return { timeouts: timeoutsOf(own, inherited, limitedTo(attemptMs, given)) };
  const withLimit =
    retry.timeoutMs === undefined && attemptMs !== undefined ? { ...retry, timeoutMs: attemptMs } : retry;
  return { timeouts: timeoutsOf(own, inherited, given), retry: withLimit };
}

/** `backendRequest` limits the only attempt of a rule without retries like the whole request. */
function limitedTo(attemptMs: number | undefined, given: Timeouts): Timeouts {
  return attemptMs === undefined ? given : { ...given, requestMs: Math.min(attemptMs, given.requestMs ?? attemptMs) };
}

/** Each group counts as a whole. @param rule  what the rule itself says */
export function timeoutsOf(own: TrafficAnnotations, inherited: TrafficAnnotations, rule: Timeouts): Timeouts {
  if (own.timeouts !== undefined) return own.timeouts;
  return Object.keys(rule).length > 0 ? rule : (inherited.timeouts ?? {});
}

/** What the schema of Gateway API demands, for API servers that have an older one. */
export function checkRewrite(
  filters: readonly HttpFilter[],
  rule: JsonObject,
  field: string,
  problems: Problems,
): void {
  const [rewrite, second] = filters.filter((filter) => filter.kind === 'rewrite');
  const redirect = filters.find((filter) => filter.kind === 'redirect');
  if (second !== undefined) problems.add(field, 'URLRewrite can be used only once');
  if (rewrite !== undefined && redirect !== undefined) {
    problems.add(field, 'URLRewrite and RequestRedirect cannot be used together');
  }
  if (rewrite?.path?.kind !== 'prefix' && redirect?.path?.kind !== 'prefix') return;
  const [match, other] = asList(rule['matches'] ?? EVERYTHING).map(asObject);
  const type = asText(asObject(match?.['path'])['type']) ?? 'PathPrefix';
  if (other !== undefined || type !== 'PathPrefix') {
    problems.add(field, 'ReplacePrefixMatch needs exactly one match, of type PathPrefix');
  }
}

function readFilter(fields: JsonObject, field: string, problems: Problems): HttpFilter | undefined {
  const type = asText(fields['type']) ?? '';
  switch (type) {
    case 'RequestHeaderModifier': {
      const name = 'requestHeaderModifier';
      return { kind: 'request-headers', ...readModifier(fields[name], `${field}.${name}`, problems) };
    }
    case 'ResponseHeaderModifier': {
      const name = 'responseHeaderModifier';
      return { kind: 'response-headers', ...readModifier(fields[name], `${field}.${name}`, problems) };
    }
    case 'RequestRedirect':
      return { kind: 'redirect', ...readRedirect(fields['requestRedirect'], `${field}.requestRedirect`, problems) };
    case 'URLRewrite':
      return { kind: 'rewrite', ...readRewrite(fields['urlRewrite'], `${field}.urlRewrite`, problems) };
    default:
      return problems.add(`${field}.type`, `filters of type "${type}" are not supported`);
  }
}
