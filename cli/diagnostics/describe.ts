import { formatNetwork } from '#model/address.ts';
import type { Authentication, Authorization } from '#model/authorization.ts';
import type { Decider, InboundVerdict, Share } from '#model/evaluate.ts';
import type { GrpcMatch, HostMatch, HttpMatch, PathMatch } from '#model/match.ts';
import type { RequestCondition } from '#model/profile-route.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import type { GrpcRetry, HttpRetry } from '#model/retry.ts';
import type { SessionPersistence } from '#model/session-persistence.ts';
import type { Timeouts } from '#model/timeouts.ts';

/** `httproute.gateway.networking.k8s.io shop/web rule 1`, `egressnetwork.policy.linkerd.io shop/all:443 (default:tls-egress-deny)`. */
export function describeDecider({ ref, rule, target }: Decider): string {
  if (target !== undefined) return `${formatResourceRef(target)} (${formatResourceRef(ref)})`;
  return `${formatResourceRef(ref)}${rule === undefined ? '' : ` rule ${rule}`}`;
}

export function describeHttpMatch({ method, path, headers, queryParams }: HttpMatch): string {
  const parts = [
    method ?? '',
    path === undefined ? '' : describePath(path),
    ...headers.map(({ name, value }) => `${name}:${valueOf(value)}`),
    ...queryParams.map(({ name, value }) => `?${name}=${valueOf(value)}`),
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'any' : parts.join(' ');
}

/** `=/a`, `/a[/*]` for what is `/a` or below it, `~/a.*`: a prefix is of whole elements, so `/a*` would say too much. */
function describePath(path: PathMatch): string {
  switch (path.kind) {
    case 'exact':
      return `=${path.value}`;
    case 'prefix':
      return path.value.endsWith('/') ? `${path.value}*` : `${path.value}[/*]`;
    case 'regex':
      return `~${path.pattern}`;
  }
}

export function describeGrpcMatch({ service = '*', method = '*', headers }: GrpcMatch): string {
  return [`/${service}/${method}`, ...headers.map(({ name, value }) => `${name}:${valueOf(value)}`)].join(' ');
}

function valueOf(value: HttpMatch['headers'][number]['value']): string {
  return value.kind === 'exact' ? value.value : `~${value.pattern}`;
}

export function describeHosts(hosts: readonly HostMatch[]): string {
  if (hosts.length === 0) return '*';
  return hosts
    .map((host) => (host.kind === 'exact' ? host.host : `*.${host.reverseLabels.toReversed().join('.')}`))
    .join(',');
}

export function describeCondition(condition: RequestCondition): string {
  switch (condition.kind) {
    case 'all':
    case 'any':
      return `${condition.kind}(${condition.conditions.map(describeCondition).join(', ')})`;
    case 'not':
      return `not(${describeCondition(condition.condition)})`;
    case 'path':
      return `~${condition.pattern}`;
    case 'method':
      return condition.method;
  }
}

export function describeShares(shares: readonly Share[]): string {
  if (shares.length === 0) return 'none';
  return shares
    .map(({ ref, authority = 'the address itself', ratio, failure, absence }) => {
      const name = ref === undefined ? authority : formatResourceRef(ref);
      const why = [
        ...(failure === undefined ? [] : [` (fails: ${failure})`]),
        ...(absence === undefined ? [] : [` (gets nothing: ${absence})`]),
      ];
      return `${name} ${(ratio * 100).toFixed(shares.length === 1 ? 0 : 1)}%${why.join('')}`;
    })
    .join(', ');
}

export function describeTimeouts({ requestMs, responseMs, idleMs }: Timeouts): string {
  const parts = [
    requestMs === undefined ? '' : `request=${requestMs}ms`,
    responseMs === undefined ? '' : `response=${responseMs}ms`,
    idleMs === undefined ? '' : `idle=${idleMs}ms`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? '-' : parts.join(' ');
}

/** What a client sees that no route is for. @param what  it sends, as far as the proxy sees that */
export function describeUnrouted(what: 'connection' | 'request' | 'grpc'): string {
  const answers = {
    connection: 'is reset',
    request: 'is answered 404',
    grpc: 'is answered with status 12 of gRPC (UNIMPLEMENTED; what is no gRPC with 404)',
  };
  return answers[what];
}

/** `2 more after 500-599 or no answer within 400ms`: what is retried, since without conditions no response is. */
export function describeRetry(retry: HttpRetry | GrpcRetry | 'budget' | undefined): string {
  if (retry === undefined) return '-';
  if (retry === 'budget') return 'within the budget';
  const { maxRetries, conditions, timeoutMs } = retry;
  const answers = conditions.map((one) =>
    typeof one === 'string' ? one : one.min === one.max ? `${one.min}` : `${one.min}-${one.max}`,
  );
  const silence = timeoutMs === undefined ? 'no answer' : `no answer within ${timeoutMs}ms`;
  return `${maxRetries} more after ${[answers.join(', '), silence].filter((part) => part !== '').join(' or ')}`;
}

/** What keeps requests of one client together. */
export function describeSession(session: SessionPersistence | undefined): string {
  if (session === undefined) return '-';
  const { carrier, absoluteTimeoutMs, idleTimeoutMs } = session;
  return [
    `${carrier.kind} ${carrier.name}`,
    ...(absoluteTimeoutMs === undefined ? [] : [`absolute=${absoluteTimeoutMs}ms`]),
    ...(idleTimeoutMs === undefined ? [] : [`idle=${idleTimeoutMs}ms`]),
    ...(carrier.kind === 'cookie' && carrier.isPermanent ? ['permanent'] : []),
  ].join(' ');
}

/** Who is let in. */
export function describeClients({ networks, authentication }: Authorization): string {
  const from = networks.map(({ network, except }) =>
    [formatNetwork(network), ...except.map((hole) => `!${formatNetwork(hole)}`)].join(' '),
  );
  const isEverywhere = from.includes('0.0.0.0/0');
  return `${describeAuthentication(authentication)}${isEverywhere ? '' : ` from ${from.join(', ')}`}`;
}

function describeAuthentication(authentication: Authentication): string {
  switch (authentication.kind) {
    case 'unauthenticated':
      return 'everybody';
    case 'mesh-tls':
      return 'any mesh TLS';
    case 'identities': {
      const suffixes = authentication.suffixes.map((labels) => (labels.length === 0 ? '*' : `*.${labels.join('.')}`));
      return [...authentication.names, ...suffixes].join(', ') || 'nobody';
    }
  }
}

/** `1000 of all clients together, 1 of each client, 10 of a.shop…, any number of b.shop…`: requests per second. */
export function describeRateLimit({ total, identity, overrides }: RateLimit): string {
  return [
    ...(total === undefined ? [] : [`${total} of all clients together`]),
    ...(identity === undefined ? [] : [`${identity} of each client`]),
    ...overrides.map(
      ({ requestsPerSecond, identities }) =>
        `${requestsPerSecond === 0 ? 'any number' : requestsPerSecond} of ${identities.join(' and of ')}`,
    ),
  ].join(', ');
}

/** The same for one client. @param limit  absent: nothing limits */
export function describeClientLimits(limit: InboundVerdict['rateLimit']): string {
  if (limit === undefined) return '-';
  const { total, client } = limit.limits;
  const parts = [
    ...(client === undefined ? [] : [`${client} of this client`]),
    ...(total === undefined ? [] : [`${total} of all clients together`]),
  ];
  return `${parts.join(', ') || 'any number'} (${formatResourceRef(limit.ref)})`;
}
