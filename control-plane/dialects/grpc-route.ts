import { asList, asObject, asText, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { GrpcFilter } from '#model/filter.ts';
import type { GrpcMatch } from '#model/match.ts';
import type { GrpcRoute, GrpcRule } from '#model/route.ts';
import { retryOf, type TrafficAnnotations } from './annotations.ts';
import { readBackends, readMirror, type CompiledRoute, type RouteContext, type RouteProblems } from './gateway-api.ts';
import { timeoutsOf } from './http-route.ts';
import type { Problems } from './problem.ts';
import { compileRoute, type RouteAnnotations } from './route-rules.ts';
import { readHeaderMatches, readModifier } from './route-parts.ts';
import { readSessionPersistence } from './session-persistence.ts';

const UNAVAILABLE = 14;

/**
 * Reads a GRPCRoute.
 *
 * @param inherited  annotations of the parent, for what the route leaves open
 */
export function compileGrpcRoute(
  object: CustomObject,
  context: RouteContext,
  inherited: TrafficAnnotations = {},
): CompiledRoute<GrpcRoute> {
  return compileRoute(object, inherited, (rule, index, annotations, problems) =>
    ruleOf(rule, index, object, context, annotations, problems),
  );
}

function ruleOf(
  rule: JsonObject,
  index: number,
  object: CustomObject,
  context: RouteContext,
  { own, inherited }: RouteAnnotations,
  problems: RouteProblems,
): GrpcRule {
  const field = `spec.rules[${index}]`;
  const retry = retryOf(own.grpcRetry, inherited.grpcRetry);
  const filtersOf = (filters: unknown, name: string): readonly GrpcFilter[] =>
    asList(filters).flatMap((one, nth) => {
      const at = `${name}[${nth}]`;
      const fields = asObject(one);
      if (fields['type'] !== 'RequestMirror') return readFilter(fields, at, problems.fatal) ?? [];
      return readMirror(fields['requestMirror'], `${at}.requestMirror`, object, context, problems) ?? [];
    });
  const failure = (message: string): GrpcFilter => ({ kind: 'failure', code: UNAVAILABLE, message });
  const matches = asList(rule['matches']);
  const session = readSessionPersistence(rule, field, index, object, problems.fatal);
  return {
    index,
    matches: (matches.length > 0 ? matches : [{}]).map((match, nth) =>
      readGrpcMatch(asObject(match), `${field}.matches[${nth}]`, problems.fatal),
    ),
    filters: filtersOf(rule['filters'], `${field}.filters`),
    distribution: readBackends(rule, field, object, context, problems, { filters: filtersOf, failure }),
    timeouts: timeoutsOf(own, inherited, {}),
    ...(retry && { retry }),
    allowsRequestHeaders: context.allowsRequestHeaders,
    ...(session && { session }),
  };
}

/** Reads one element of `rules[].matches` of a GRPCRoute. */
export function readGrpcMatch(fields: JsonObject, field: string, problems: Problems): GrpcMatch {
  const headers = readHeaderMatches(fields['headers'], `${field}.headers`, problems);
  if (fields['method'] === undefined) return { headers };
  const { type = 'Exact', service, method } = asObject(fields['method']);
  if (type !== 'Exact') problems.add(`${field}.method.type`, 'only Exact is supported');
  if (service === undefined && method === undefined) problems.add(`${field}.method`, 'needs a service or a method');
  return {
    ...(asText(service) !== undefined && { service: asText(service) ?? '' }),
    ...(asText(method) !== undefined && { method: asText(method) ?? '' }),
    headers,
  };
}

function readFilter(fields: JsonObject, field: string, problems: Problems): GrpcFilter | undefined {
  const type = asText(fields['type']) ?? '';
  const name = 'requestHeaderModifier';
  if (type === 'RequestHeaderModifier') {
    return { kind: 'request-headers', ...readModifier(fields[name], `${field}.${name}`, problems) };
  }
  return problems.add(`${field}.type`, `filters of type "${type}" are not supported`);
}
