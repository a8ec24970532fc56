import type { GrpcFilter, HttpFilter, Mirror } from '#model/filter.ts';
import {
  bestGrpcMatch,
  bestMatch,
  mostSpecific,
  prefixOf,
  withHost,
  type MatchesPattern,
  type Scored,
} from '#model/match.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { scoredRoutes, type ProfileRoute, type ResponseClass, type ResponseCondition } from '#model/profile-route.ts';
import { DEFAULT_RETRY_BUDGET, type Profile } from '#model/profile.ts';
import type { Retry } from '#model/retry.ts';
import { cookiePath } from '#model/session-persistence.ts';

import { formatResourceRef } from '#model/resource-ref.ts';
import { ProxyError } from '../errors.ts';
import { isGrpcFailure } from '../grpc/status.ts';
import type { RequestHead as HttpHead } from '../http/head.ts';
import { MatchedHead } from '../http/matched-head.ts';
import type { Backends } from './backends.ts';
import { ConnectionRoutes, refusals } from './connection-routes.ts';
import type { OutboundContext } from './context.ts';
import { chooser, distribute } from './distribute.ts';
import type { MirrorPlan } from './mirror.ts';
import type { IsFailure, Plan, PlanFilter, RetryPlan } from './plan.ts';
import { retriedAnswers } from './retried-answers.ts';
import { RetryBudget } from '../balance/retry-budget.ts';
import { Sessions } from './sessions.ts';
import { grpcLabels, httpLabels, PolicyRouteMetrics, ProfileRouteMetrics, type RouteMetrics } from './route-metrics.ts';

/** Retries of one request by a ServiceProfile, which names no number: only its budget bounds them. */
const PROFILE_RETRIES_MAX = 10;
const REPLAY_BYTES_MAX = 64 * 1024;

type PlannedRule = Scored & { readonly plan: Plan };

/** The routes of one target, ready for requests. Holds their backends; dispose of it when others take over. */
export class RouteTable implements Disposable {
  readonly backends: Backends;
  readonly #subject: string; // of the routes, for people
  readonly #rules: readonly PlannedRule[];
  readonly #metrics: readonly RouteMetrics[];
  /** A request that matches nothing; absent: 404. */
  readonly #otherwise: Plan | undefined;
  /** Where connections go that are not HTTP, or not looked into. Absent: to the target itself. */
  readonly connections: ConnectionRoutes | undefined;

  private constructor(
    subject: string,
    backends: Backends,
    rules: readonly PlannedRule[],
    metrics: readonly RouteMetrics[],
    otherwise?: Plan,
    connections?: ConnectionRoutes,
  ) {
    this.#subject = subject;
    this.backends = backends;
    this.#rules = rules;
    this.#metrics = metrics;
    this.#otherwise = otherwise;
    this.connections = connections;
  }

  /** Routes and targets of a ServiceProfile. @param name  `host:port` of the Service */
  static ofProfile(profile: Profile, name: string, backends: Backends, context: OutboundContext): RouteTable {
    const { targets = [{ authority: name, weight: 1 }], routes = [] } = profile;
    const budget = profile.retryBudget === undefined ? undefined : new RetryBudget(profile.retryBudget);
    const candidates = targets.map(({ authority, weight, ref }) =>
      backends.candidate({ kind: 'balancer', authority }, ref ?? profile.parent, [], weight),
    );
    const choose = chooser(candidates, true, context.random);
    const all: RouteMetrics[] = [];
    const planOf = (route: ProfileRoute | undefined): Plan => {
      const metrics = new ProfileRouteMetrics(context.metrics, name, route?.labels ?? {});
      all.push(metrics);
      const isFailure = classifier(route?.responseClasses ?? []);
      const retry: RetryPlan | undefined =
        route?.isRetryable === true && budget !== undefined
          ? {
              maxRetries: PROFILE_RETRIES_MAX,
              maxRequestBytes: REPLAY_BYTES_MAX,
              isFailure,
              budget,
            }
          : undefined;
      const timeouts = route?.timeoutMs === undefined ? {} : { requestMs: route.timeoutMs };
      return {
        ref: profile.ref,
        filters: [],
        timeouts,
        retry,
        budget,
        metrics,
        isFailure,
        overrideBudget: undefined,
        choose,
        prefix: '/',
        sessions: undefined,
      };
    };
    const rules = scoredRoutes(routes).map(({ route, score }) => ({ score, plan: planOf(route) }));
    const connections = profile.targets === undefined ? undefined : ConnectionRoutes.ofSplit(name, choose, profile.ref);
    return new RouteTable(name, backends, rules, all, planOf(undefined), connections);
  }

  /** @param target  that the client asked for */
  static ofPolicy(
    policy: OutboundPolicy,
    profile: Profile | undefined,
    backends: Backends,
    context: OutboundContext,
    target: { readonly address: string; readonly port: number },
  ): RouteTable {
    const { protocol } = policy;
    const subject = formatResourceRef(policy.ref);
    const connections = ConnectionRoutes.ofPolicy(policy, backends, context, target);
    const budget = new RetryBudget(profile?.retryBudget ?? DEFAULT_RETRY_BUDGET);
    const all: RouteMetrics[] = [];
    const rules: PlannedRule[] = [];
    if (protocol.kind === 'tls') return new RouteTable(subject, backends, rules, all, undefined, connections);
    if (protocol.kind === 'opaque') {
      const metrics = new PolicyRouteMetrics(
        context.metrics.outboundHttpRoutes,
        policy.ref,
        protocol.opaque.ref,
        httpLabels,
      );
      // Of connections that were served as HTTP when the policy became this one.
      const otherwise: Plan = {
        ref: protocol.opaque.ref,
        filters: refusals(protocol.opaque.filters, protocol.opaque.ref, policy.ref),
        timeouts: {},
        retry: undefined,
        budget,
        metrics,
        isFailure: isServerFailure,
        overrideBudget: undefined,
        choose: distribute(
          protocol.opaque.distribution,
          (filters) => refusals(filters, protocol.opaque.ref, policy.ref),
          backends,
          context.random,
        ).choose,
        prefix: '/',
        sessions: undefined,
      };
      return new RouteTable(subject, backends, rules, [metrics], otherwise, connections);
    }
    if (protocol.kind === 'grpc') {
      for (const route of protocol.routes) {
        const metrics = new PolicyRouteMetrics(context.metrics.outboundGrpcRoutes, policy.ref, route.ref, grpcLabels);
        all.push(metrics);
        const filtersOf = (filters: readonly GrpcFilter[]): readonly PlanFilter[] =>
          grpcFilters(filters, backends, metrics);
        for (const rule of route.rules) {
          const { choose, candidates } = distribute(rule.distribution, filtersOf, backends, context.random);
          const retry =
            rule.retry === undefined
              ? undefined
              : retryPlan(rule.retry, retriedAnswers([], rule.retry.conditions), budget);
          const filters = filtersOf(rule.filters);
          rules.push({
            score: (request) => withHost(route.hosts, request, bestGrpcMatch(rule.matches, request)),
            plan: {
              ref: route.ref,
              filters,
              timeouts: rule.timeouts,
              retry,
              budget,
              metrics,
              isFailure: isServerFailure,
              overrideBudget: rule.allowsRequestHeaders ? budget : undefined,
              choose,
              prefix: '/',
              sessions: rule.session && new Sessions(rule.session, candidates, () => '/', context),
            },
          });
        }
      }
      return new RouteTable(subject, backends, rules, all, undefined, connections);
    }
    for (const route of protocol.routes) {
      const metrics = new PolicyRouteMetrics(context.metrics.outboundHttpRoutes, policy.ref, route.ref, httpLabels);
      all.push(metrics);
      const filtersOf = (filters: readonly HttpFilter[]): readonly PlanFilter[] =>
        filters.map((filter) => (filter.kind === 'mirror' ? mirrorPlan(filter, backends, metrics) : filter));
      for (const rule of route.rules) {
        const { choose, candidates } = distribute(rule.distribution, filtersOf, backends, context.random);
        const ranges = rule.retry?.conditions ?? [];
        const retry = rule.retry === undefined ? undefined : retryPlan(rule.retry, retriedAnswers(ranges, []), budget);
        const { timeouts, matches, session } = rule;
        const filters = filtersOf(rule.filters);
        const cookiePathOf = (head: HttpHead): string =>
          cookiePath(matches, new MatchedHead(head, context.patterns.matches));
        rules.push({
          score: (request) => withHost(route.hosts, request, bestMatch(matches, request)),
          plan: {
            ref: route.ref,
            filters,
            timeouts,
            retry,
            budget,
            metrics,
            isFailure: isServerFailure,
            overrideBudget: rule.allowsRequestHeaders ? budget : undefined,
            choose,
            prefix: prefixOf(matches),
            sessions: session && new Sessions(session, candidates, cookiePathOf, context),
          },
        });
      }
    }
    return new RouteTable(subject, backends, rules, all, undefined, connections);
  }

  /** @throws ProxyError  `no-route` when nothing matches */
  find(head: HttpHead, matchesPattern: MatchesPattern): Plan {
    const request = new MatchedHead(head, matchesPattern);
    const plan = mostSpecific(this.#rules, request)?.plan ?? this.#otherwise;
    if (plan === undefined)
      throw new ProxyError('no-route', `no route of ${this.#subject} matches ${request.method} ${request.path}`);
    return plan;
  }

  [Symbol.dispose](): void {
    this.backends[Symbol.dispose]();
    for (const metrics of this.#metrics) metrics[Symbol.dispose]();
    this.connections?.[Symbol.dispose]();
  }
}

function grpcFilters(filters: readonly GrpcFilter[], backends: Backends, metrics: RouteMetrics): readonly PlanFilter[] {
  return filters.map((filter) => {
    if (filter.kind === 'mirror') return mirrorPlan(filter, backends, metrics);
    return filter.kind === 'failure' ? { ...filter, kind: 'grpc-failure' } : filter;
  });
}

function mirrorPlan({ backend, ratio }: Mirror, backends: Backends, metrics: RouteMetrics): MirrorPlan {
  return { kind: 'mirror', ref: backend.ref, ...(ratio && { ratio }), way: backends.mirror(backend), metrics };
}

const isServerFailure: IsFailure = (status, grpcStatus) => status >= 500 || isGrpcFailure(grpcStatus);

function retryPlan<C>(retry: Retry<C>, isFailure: RetryPlan['isFailure'], budget: RetryBudget): RetryPlan {
  const { maxRetries, maxRequestBytes, timeoutMs, backoff } = retry;
  return {
    maxRetries,
    maxRequestBytes,
    ...(timeoutMs !== undefined && timeoutMs > 0 && { timeoutMs }),
    ...(backoff && { backoff }),
    isFailure,
    budget,
  };
}

function classifier(classes: readonly ResponseClass[]): IsFailure {
  const parts = classes.map(({ condition, isFailure }) => ({ holds: responseCondition(condition), isFailure }));
  return (status, grpcStatus) =>
    parts.find(({ holds }) => holds(status))?.isFailure ?? isServerFailure(status, grpcStatus);
}

function responseCondition(condition: ResponseCondition): (status: number) => boolean {
  switch (condition.kind) {
    case 'all': {
      const parts = condition.conditions.map(responseCondition);
      return (status) => parts.every((part) => part(status));
    }
    case 'any': {
      const parts = condition.conditions.map(responseCondition);
      return (status) => parts.some((part) => part(status));
    }
    case 'not': {
      const part = responseCondition(condition.condition);
      return (status) => !part(status);
    }
    case 'status':
      return (status) => status >= condition.min && status <= condition.max;
  }
}
