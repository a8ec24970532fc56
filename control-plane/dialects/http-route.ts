import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { HttpFilter } from '#model/filter.ts';
import type { HttpRetry } from '#model/retry.ts';
import type { HttpRoute, HttpRule } from '#model/route.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { trafficAnnotations, type TrafficAnnotations } from './annotations.ts';
import {
  readBackends,
  readTimeouts,
  routeRef,
  type CompiledRoute,
  type RouteContext,
  type RouteProblems,
} from './gateway-api.ts';
import { Problems } from './problem.ts';
import { readHosts, readHttpMatch, readModifier, readRedirect } from './route-parts.ts';

/** Gateway API: what a rule means whose `matches` are left out. */
const EVERYTHING = [{ path: { type: 'PathPrefix', value: '/' } }];

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
  const problems: RouteProblems = { fatal: new Problems(), refs: [] };
  const own = trafficAnnotations(object.annotations, problems.fatal);
  const rules = asList(object.spec['rules'] ?? [{}]).map((value, index): HttpRule => {
    const rule = asObject(value);
    const field = `spec.rules[${index}]`;
    const filtersOf = (filters: unknown, name: string): readonly HttpFilter[] =>
      asList(filters).flatMap((one, nth) => readFilter(one, `${name}[${nth}]`, problems.fatal) ?? []);
    const failure = (message: string): HttpFilter => ({ kind: 'failure', status: 500, message });
    const matches = asList(rule['matches']);
    const filters = filtersOf(rule['filters'], `${field}.filters`);
    const isAnswered = filters.some(({ kind }) => kind === 'redirect');
    const { attemptMs, ...timeouts } = readTimeouts(rule, field, problems.fatal);
    return {
      matches: (matches.length > 0 ? matches : EVERYTHING).map((match, nth) =>
        readHttpMatch(asObject(match), `${field}.matches[${nth}]`, problems.fatal),
      ),
      filters,
      distribution: isAnswered
        ? { kind: 'empty' }
        : readBackends(rule, field, object, context, problems, { filters: filtersOf, failure }),
      ...limitsOf(own, inherited, timeouts, attemptMs),
      allowsRequestHeaders: context.allowsRequestHeaders,
    };
  });
  const hosts = readHosts(object.spec['hostnames'], 'spec.hostnames', problems.fatal);
  return { route: { ref: routeRef(object), hosts, rules }, problems: problems.fatal.found, refProblems: problems.refs };
}

/**
 * Timeouts and retries of a rule: annotations of the route, then what the rule says, then annotations of the parent, each
 * group as a whole. Source: linkerd2 `policy-controller/grpc/src/outbound/http.rs`.
 */
function limitsOf(
  own: TrafficAnnotations,
  inherited: TrafficAnnotations,
  rule: Timeouts,
  attemptMs: number | undefined,
): { readonly timeouts: Timeouts; readonly retry?: HttpRetry } {
  const timeouts = timeoutsOf(own, inherited, rule, attemptMs);
  const retry = own.httpRetry ?? inherited.httpRetry;
  if (retry === undefined) return { timeouts };
  // An attempt has its own limit only where there can be more than one.
  const withLimit =
    retry.timeoutMs === undefined && attemptMs !== undefined ? { ...retry, timeoutMs: attemptMs } : retry;
  return { timeouts, retry: withLimit };
}

/** `backendRequest` limits the only attempt of a rule without retries like the whole request. */
export function timeoutsOf(
  own: TrafficAnnotations,
  inherited: TrafficAnnotations,
  rule: Timeouts,
  attemptMs: number | undefined,
): Timeouts {
  const hasRetry = (own.httpRetry ?? own.grpcRetry ?? inherited.httpRetry ?? inherited.grpcRetry) !== undefined;
  const limit = hasRetry ? undefined : attemptMs;
  const fromRule = limit === undefined ? rule : { ...rule, requestMs: Math.min(limit, rule.requestMs ?? limit) };
  if (own.timeouts !== undefined) return own.timeouts;
  return Object.keys(fromRule).length > 0 ? fromRule : (inherited.timeouts ?? {});
}

function readFilter(value: unknown, field: string, problems: Problems): HttpFilter | undefined {
  const fields = asObject(value);
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
    default:
      return problems.add(`${field}.type`, `filters of type "${type}" are not supported`);
  }
}
