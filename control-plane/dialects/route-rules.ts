import type { CompiledRoute, RefProblem, RouteProblems } from './gateway-api.ts';
import { Problems, type Problem } from './problem.ts';

/** A rule of a route as it was read, with what is wrong with it alone. */
type ReadRule<R> = { readonly rule: R; readonly problems: RouteProblems };

const PROBLEMS_MAX = 8;

/** @param read  reads one rule, and tells its problems */
export function readRule<R>(read: (problems: RouteProblems) => R): ReadRule<R> {
  const problems: RouteProblems = { fatal: new Problems(), refs: [] };
  return { rule: read(problems), problems };
}

/**
 * Puts a route together. Rules that are wrong are left out as long as others remain: Gateway API calls that "Dropped Rule", with
 * the condition PartiallyInvalid. What is wrong outside of rules, or with all of them, makes the whole route unusable.
 *
 * @param rest  of the route
 * @param head  what is wrong outside of its rules
 */
export function ofRules<R, H extends object>(
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
