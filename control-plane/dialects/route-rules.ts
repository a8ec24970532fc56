import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { HostMatch } from '#model/match.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { trafficAnnotations, type TrafficAnnotations } from './annotations.ts';
import { routeRef, type CompiledRoute, type RefProblem, type RouteProblems } from './gateway-api.ts';
import { Problems, type Problem } from './problem.ts';
import { readHosts } from './route-parts.ts';

/** Annotations of a route, and of its parent. */
export type RouteAnnotations = { readonly own: TrafficAnnotations; readonly inherited: TrafficAnnotations };

/** Reads one rule and tells its problems. @param index  its place in `spec.rules` */
export type RuleReader<R> = (
  rule: JsonObject,
  index: number,
  annotations: RouteAnnotations,
  problems: RouteProblems,
) => R;

/** A rule of a route as it was read, with what is wrong with it alone. */
type ReadRule<R> = { readonly rule: R; readonly problems: RouteProblems };

const PROBLEMS_MAX = 8;

/**
 * Reads an HTTPRoute or a GRPCRoute.
 *
 * @param inherited  annotations of the parent, for what the route leaves open
 */
export function compileRoute<R>(
  object: CustomObject,
  inherited: TrafficAnnotations,
  ruleOf: RuleReader<R>,
): CompiledRoute<{ readonly ref: ResourceRef; readonly hosts: readonly HostMatch[]; readonly rules: readonly R[] }> {
  const head = new Problems();
  const own = trafficAnnotations(object.annotations, head);
  const rules = asList(object.spec['rules'] ?? [{}]).map((value, index): ReadRule<R> => {
    const problems: RouteProblems = { fatal: new Problems(), refs: [] };
    return { rule: ruleOf(asObject(value), index, { own, inherited }, problems), problems };
  });
  const hosts = readHosts(object.spec['hostnames'], 'spec.hostnames', head);
  return ofRules({ ref: routeRef(object), hosts }, rules, head.found);
}

/**
 * Puts a route together. Rules that are wrong are left out as long as others remain: Gateway API calls that "Dropped Rule", with
 * the condition PartiallyInvalid. What is wrong outside of rules, or with all of them, makes the whole route unusable.
 *
 * @param rest  of the route
 * @param head  what is wrong outside of its rules
 */
function ofRules<R, H extends object>(
  rest: H,
  read: readonly ReadRule<R>[],
  head: readonly Problem[],
): CompiledRoute<H & { readonly rules: readonly R[] }> {
  const good = read.filter(({ problems }) => problems.fatal.found.length === 0);
  const wrong = read.flatMap(({ problems }) => problems.fatal.found).slice(0, PROBLEMS_MAX);
  const isPartial = head.length === 0 && good.length > 0;
  const used = isPartial ? good : read;
  const refProblems = used.flatMap(({ problems }): readonly RefProblem[] => problems.refs).slice(0, PROBLEMS_MAX);
  return {
    route: { ...rest, rules: used.map(({ rule }) => rule) },
    problems: isPartial ? [] : [...head, ...wrong].slice(0, PROBLEMS_MAX),
    dropped: isPartial ? wrong : [],
    refProblems,
  };
}
