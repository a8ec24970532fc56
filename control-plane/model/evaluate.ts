import type { Client } from './authorization.ts';
import type { Distribution } from './backend.ts';
import type { GrpcFilter, HttpFilter, OpaqueFilter } from './filter.ts';
import { authorizeConnection, authorizeRequest, type InboundServer, type MatchedFilters } from './inbound.ts';
import {
  bestGrpcMatch,
  bestMatch,
  mostSpecific,
  mostSpecificHost,
  withHost,
  type RequestHead,
  type Scored,
} from './match.ts';
import type { OutboundPolicy, OutboundProtocol } from './outbound.ts';
import { scoredRoutes } from './profile-route.ts';
import { decidesRoutes, type Profile, type WeightedTarget } from './profile.ts';
import { limitsOfClient, type ClientLimits } from './rate-limit.ts';
import { formatResourceRef, type ResourceRef } from './resource-ref.ts';
import type { GrpcRetry, HttpRetry } from './retry.ts';
import type { SessionPersistence } from './session-persistence.ts';
import type { Timeouts } from './timeouts.ts';

/** The object that decided, and where in it. */
export type Decider = {
  readonly ref: ResourceRef;
  readonly rule?: number; // of spec.rules or spec.routes; absent: the whole object, or not known
  readonly target?: ResourceRef; // whose built-in route decides; absent where the route is of an object
};

/** What the proxy of a server does with a connection or a request. */
export type InboundVerdict = {
  readonly isAllowed: boolean;
  readonly decider: Decider; // the authorization that lets in, or else what denies
  readonly reason: string;
  readonly isAudited: boolean; // a policy in audit mode lets in what it would deny
  readonly route?: Decider; // that the request matched
  readonly filters?: MatchedFilters;
  readonly rateLimit?: { readonly ref: ResourceRef; readonly limits: ClientLimits };
};

/**
 * What happens to a client at a port: the decision of the proxy itself, with the objects that made it.
 *
 * @param request  absent: a connection whose requests are not looked at
 */
export function evaluateInbound(server: InboundServer, client: Client, request?: RequestHead): InboundVerdict {
  const { protocol } = server;
  const { verdict, route, rule, filters } =
    request === undefined || protocol.kind === 'opaque' || protocol.kind === 'tls'
      ? { verdict: authorizeConnection(server, client) }
      : authorizeRequest(server, client, request);
  const limit = 'rateLimit' in protocol && request !== undefined ? protocol.rateLimit : undefined;
  const identity = client.tls.kind === 'mesh' ? client.tls.identity : undefined;
  return {
    isAllowed: verdict.isAllowed,
    decider: { ref: verdict.isAllowed ? verdict.authorization : verdict.server },
    reason: verdict.isAllowed ? `${formatResourceRef(verdict.authorization)} lets the client in` : verdict.reason,
    isAudited: verdict.isAllowed && verdict.isAudited,
    ...(route && { route: { ref: route, ...(rule !== undefined && { rule }) } }),
    ...(verdict.isAllowed && filters && { filters }),
    ...(verdict.isAllowed && limit && { rateLimit: { ref: limit.ref, limits: limitsOfClient(limit, identity) } }),
  };
}

/** What a proxy knows about a target; both may be absent, then connections go where they were meant to. */
export type OutboundKnowledge = {
  readonly profile?: Profile;
  readonly policy?: OutboundPolicy;
  /** Why a target of the profile can have no endpoints. Absent: that is not known, and all are taken to have some. */
  readonly absenceOf?: (target: WeightedTarget) => string | undefined;
};

/** Where a share of what a rule matches goes. */
export type Share = {
  readonly ref?: ResourceRef; // absent: `authority`, or else the address itself
  readonly authority?: string; // host:port, of a target that names no object
  readonly ratio: number; // 0..1, of what reaches the backends
  readonly failure?: string; // why it fails there
  readonly absence?: string; // why it gets nothing, and the others what it would have
};

/** What the proxy of a client does with a connection or a request. */
export type OutboundVerdict =
  | {
      readonly kind: 'routed';
      readonly decider?: Decider; // absent: nothing is known about the target
      readonly filters: readonly (HttpFilter | GrpcFilter | OpaqueFilter)[];
      readonly shares: readonly Share[]; // empty: it fails, or a filter answers
      readonly timeouts: Timeouts;
      readonly retry?: HttpRetry | GrpcRetry | 'budget'; // of a ServiceProfile: as often as its budget allows
      readonly session?: SessionPersistence; // requests of a session go where it is, whatever the shares
    }
  | { readonly kind: 'no-route'; readonly decider: Decider; readonly reason: string };

type Candidate = Scored & { readonly outcome: Extract<OutboundVerdict, { readonly kind: 'routed' }> };

/** What happens to a request for a target. */
export function evaluateOutbound(known: OutboundKnowledge, request: RequestHead): OutboundVerdict {
  const { profile, policy } = known;
  if (profile?.isOpaque === true) return evaluateConnection(known);
  if (decidesRoutes(profile)) return ofProfile(profile, known, request);
  if (policy === undefined) return { ...UNROUTED, ...fallback(profile) };
  const { protocol } = policy;
  if (protocol.kind === 'opaque' || protocol.kind === 'tls') return evaluateConnection(known);
  const found = mostSpecific(candidatesOf(policy.ref, protocol), request);
  if (found !== undefined) return found.outcome;
  const reason = `no route of ${formatResourceRef(policy.ref)} matches ${request.method} ${request.path}`;
  return { kind: 'no-route', decider: { ref: policy.ref }, reason };
}

/**
 * What happens to a connection that is not HTTP, or not looked into.
 *
 * @param serverName  of TLS, in lower case; absent: the client has shown none
 */
export function evaluateConnection(known: OutboundKnowledge, serverName?: string): OutboundVerdict {
  const { profile, policy } = known;
  if (decidesRoutes(profile)) {
    const decider = profile.ref ?? profile.parent;
    return { ...UNROUTED, ...(decider && { decider: { ref: decider } }), shares: targetShares(profile, known) };
  }
  const protocol = policy?.protocol;
  if (policy === undefined || protocol === undefined) return { ...UNROUTED, ...fallback(profile) };
  if (protocol.kind === 'tls') {
    const route = serverName && mostSpecificHost(protocol.routes, ({ serverNames }) => serverNames, serverName);
    if (route) return ofConnectionRoute(policy.ref, route);
    const reason = serverName
      ? `no route matches the server name ${serverName}`
      : 'the routes go by the server name of TLS (SNI), and the client has shown none';
    return { kind: 'no-route', decider: { ref: policy.ref }, reason };
  }
  // A port that is declared HTTP is not looked into either: what is not HTTP goes to the Service itself.
  return 'opaque' in protocol
    ? ofConnectionRoute(policy.ref, protocol.opaque)
    : { ...UNROUTED, ...fallback(profile, policy) };
}

const UNROUTED = { kind: 'routed', filters: [], shares: [], timeouts: {} } as const;

function fallback(profile: Profile | undefined, policy?: OutboundPolicy): { readonly shares: readonly Share[] } {
  const ref = profile?.parent ?? policy?.ref;
  return { shares: [{ ...(ref && { ref }), ratio: 1 }] };
}

function ofProfile(profile: Profile, known: OutboundKnowledge, request: RequestHead): OutboundVerdict {
  const routes = profile.routes ?? [];
  const found = mostSpecific(scoredRoutes(routes), request)?.route;
  const ref = profile.ref ?? profile.parent;
  const rule = found === undefined ? undefined : routes.indexOf(found);
  const isRetried = found?.isRetryable === true && profile.retryBudget !== undefined;
  return {
    ...UNROUTED,
    ...(ref && { decider: { ref, ...(rule !== undefined && { rule }) } }),
    shares: targetShares(profile, known),
    timeouts: found?.timeoutMs === undefined ? {} : { requestMs: found.timeoutMs },
    ...(isRetried && { retry: 'budget' as const }),
  };
}

/** What share each target of a profile gets: as the proxy chooses, that is of those that have endpoints, or of all when none has. */
export function targetShares(
  { targets, parent }: Profile,
  { absenceOf }: Pick<OutboundKnowledge, 'absenceOf'>,
): readonly Share[] {
  if (targets === undefined) return [{ ...(parent && { ref: parent }), ratio: 1 }];
  const judged = targets.map((target) => ({ target, absence: absenceOf?.(target) }));
  const isServed = judged.some(({ target, absence }) => target.weight > 0 && absence === undefined);
  return shares(
    judged.map(({ target: { ref, authority, weight }, absence }) => ({
      ...(ref === undefined ? { authority } : { ref }),
      weight: absence !== undefined && isServed ? 0 : weight,
      ...(absence !== undefined && (isServed ? { absence } : { failure: absence })),
    })),
  );
}

function candidatesOf(
  target: ResourceRef,
  protocol: Exclude<OutboundProtocol, { readonly kind: 'opaque' | 'tls' }>,
): readonly Candidate[] {
  if (protocol.kind === 'grpc') {
    return protocol.routes.flatMap(({ ref, hosts, rules }) =>
      rules.map((rule) => ({
        score: (request: RequestHead) => withHost(hosts, request, bestGrpcMatch(rule.matches, request)),
        outcome: ofRule(target, ref, rule),
      })),
    );
  }
  return protocol.routes.flatMap(({ ref, hosts, rules }) =>
    rules.map((rule) => ({
      score: (request: RequestHead) => withHost(hosts, request, bestMatch(rule.matches, request)),
      outcome: ofRule(target, ref, rule),
    })),
  );
}

function ofRule(
  target: ResourceRef,
  ref: ResourceRef,
  rule: {
    readonly index?: number;
    readonly filters: readonly (HttpFilter | GrpcFilter)[];
    readonly distribution: Distribution<HttpFilter> | Distribution<GrpcFilter>;
    readonly timeouts: Timeouts;
    readonly retry?: HttpRetry | GrpcRetry;
    readonly session?: SessionPersistence;
  },
): Candidate['outcome'] {
  const { index, filters, distribution, timeouts, retry, session } = rule;
  const decider = { ...decidedBy(target, ref), ...(index !== undefined && { rule: index }) };
  return {
    kind: 'routed',
    decider,
    filters,
    shares: distributed(distribution),
    timeouts,
    ...(retry && { retry }),
    ...(session && { session }),
  };
}

function ofConnectionRoute(
  target: ResourceRef,
  route: {
    readonly ref: ResourceRef;
    readonly filters: readonly OpaqueFilter[];
    readonly distribution: Distribution<OpaqueFilter>;
  },
): OutboundVerdict {
  const { ref, filters, distribution } = route;
  return { ...UNROUTED, decider: decidedBy(target, ref), filters, shares: distributed(distribution) };
}

/** A route that is built in says little without what it is of, such as an EgressNetwork that denies. */
function decidedBy(target: ResourceRef, ref: ResourceRef): Decider {
  return ref.type === 'default' && target.type === 'resource' ? { ref, target } : { ref };
}

/** What share each backend of a rule gets. Of backends that are tried in order the first gets everything, as long as it can answer. */
export function distributed(distribution: Distribution<HttpFilter | GrpcFilter | OpaqueFilter>): readonly Share[] {
  if (distribution.kind === 'empty') return [];
  const isRandom = distribution.kind === 'random-available';
  return shares(
    distribution.backends.map((one, index) => {
      const failing = one.filters.find(({ kind }) => kind === 'failure' || kind === 'invalid' || kind === 'forbidden');
      const failure = failing === undefined ? undefined : 'message' in failing ? failing.message : 'it is forbidden';
      const weight = 'weight' in one && isRandom ? one.weight : index === 0 ? 1 : 0;
      return { ref: one.backend.ref, weight, ...(failure !== undefined && { failure }) };
    }),
  );
}

function shares(weighted: readonly (Omit<Share, 'ratio'> & { readonly weight: number })[]): readonly Share[] {
  const sum = weighted.reduce((total, { weight }) => total + weight, 0);
  return weighted.map(({ weight, ...share }) => ({ ...share, ratio: sum === 0 ? 0 : weight / sum }));
}
