import type { Timeouts as TimeoutsMessage } from '#api/gen/http_route.ts';
import type { Duration } from '#api/gen/google/protobuf/duration.ts';
import type {
  Backend as BackendMessage,
  GrpcRoute as GrpcRouteMessage,
  GrpcRoute_Retry,
  HttpRoute as HttpRouteMessage,
  HttpRoute_Retry,
  OpaqueRoute as OpaqueRouteMessage,
  TlsRoute as TlsRouteMessage,
} from '#api/gen/outbound.ts';
import type { Distribution, RouteBackend } from '#model/backend.ts';
import type { GrpcRetry, GrpcRetryCondition, HttpRetry, Retry, StatusRange } from '#model/retry.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute, TlsRoute } from '#model/route.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { decodeBackend, decodeRef } from './backend.ts';
import { decodeBackoff } from './backoff.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';
import { decodeGrpcFilter, decodeHttpFilter, decodeOpaqueFilter } from './filter.ts';
import { decodeGrpcMatch, decodeHost, decodeHttpMatch } from './match.ts';
import { decodeSessionPersistence } from './session-persistence.ts';

const MAX_RETRIES = 65_535;
const MAX_REQUEST_BYTES = 64 * 1024;

export function decodeHttpRoute(message: HttpRouteMessage, field: string): HttpRoute {
  return {
    ref: decodeRef(message.metadata, `${field}.metadata`),
    hosts: message.hosts.map((host, index) => decodeHost(host, `${field}.hosts[${index}]`)),
    rules: message.rules.map((rule, index) => {
      const at = `${field}.rules[${index}]`;
      return {
        matches: rule.matches.map((match, nth) => decodeHttpMatch(match, `${at}.matches[${nth}]`)),
        filters: rule.filters.map((filter, nth) => decodeHttpFilter(filter, `${at}.filters[${nth}]`)),
        distribution: decodeDistribution(rule.backends?.kind, decodeHttpFilter, `${at}.backends`),
        timeouts: decodeTimeouts(rule.timeouts, rule.requestTimeout, `${at}.timeouts`),
        allowsRequestHeaders: rule.allowL5dRequestHeaders,
        ...(rule.retry && { retry: decodeHttpRetry(rule.retry, `${at}.retry`) }),
        ...(rule.sessionPersistence && {
          session: decodeSessionPersistence(rule.sessionPersistence, `${at}.session_persistence`),
        }),
      };
    }),
  };
}

export function decodeGrpcRoute(message: GrpcRouteMessage, field: string): GrpcRoute {
  return {
    ref: decodeRef(message.metadata, `${field}.metadata`),
    hosts: message.hosts.map((host, index) => decodeHost(host, `${field}.hosts[${index}]`)),
    rules: message.rules.map((rule, index) => {
      const at = `${field}.rules[${index}]`;
      return {
        matches: rule.matches.map((match, nth) => decodeGrpcMatch(match, `${at}.matches[${nth}]`)),
        filters: rule.filters.map((filter, nth) => decodeGrpcFilter(filter, `${at}.filters[${nth}]`)),
        distribution: decodeDistribution(rule.backends?.kind, decodeGrpcFilter, `${at}.backends`),
        timeouts: decodeTimeouts(rule.timeouts, rule.requestTimeout, `${at}.timeouts`),
        allowsRequestHeaders: rule.allowL5dRequestHeaders,
        ...(rule.retry && { retry: decodeGrpcRetry(rule.retry, `${at}.retry`) }),
        ...(rule.sessionPersistence && {
          session: decodeSessionPersistence(rule.sessionPersistence, `${at}.session_persistence`),
        }),
      };
    }),
  };
}

/** Also of a TLS route, which holds the same and more. */
export function decodeOpaqueRoute(message: Pick<OpaqueRouteMessage, 'metadata' | 'rules'>, field: string): OpaqueRoute {
  const [rule] = message.rules;
  if (rule === undefined) throw new DecodeError(`${field}.rules`, 'empty');
  return {
    ref: decodeRef(message.metadata, `${field}.metadata`),
    filters: rule.filters.map((filter, nth) => decodeOpaqueFilter(filter, `${field}.rules[0].filters[${nth}]`)),
    distribution: decodeDistribution(rule.backends?.kind, decodeOpaqueFilter, `${field}.rules[0].backends`),
  };
}

export function decodeTlsRoute(message: TlsRouteMessage, field: string): TlsRoute {
  return {
    ...decodeOpaqueRoute(message, field),
    serverNames: message.snis.map((sni, index) => decodeHost(sni, `${field}.snis[${index}]`)),
  };
}

type RouteBackendMessage<G> = { readonly backend?: BackendMessage | undefined; readonly filters: readonly G[] };
type DistributionMessage<G> =
  | { readonly $case: 'empty'; readonly value: object }
  | { readonly $case: 'firstAvailable'; readonly value: { readonly backends: readonly RouteBackendMessage<G>[] } }
  | {
      readonly $case: 'randomAvailable';
      readonly value: {
        readonly backends: readonly {
          readonly backend?: RouteBackendMessage<G> | undefined;
          readonly weight: number;
        }[];
      };
    };

/** The three families of routes have messages of the same form. */
function decodeDistribution<F, G>(
  message: DistributionMessage<G> | undefined,
  decodeFilter: (filter: G, field: string) => F,
  field: string,
): Distribution<F> {
  if (message === undefined) throw new DecodeError(`${field}.kind`, 'missing or unknown');
  if (message.$case === 'empty') return { kind: 'empty' };
  const { backends } = message.value;
  if (backends.length === 0) throw new DecodeError(`${field}.${message.$case}.backends`, 'empty');
  const decode = (one: RouteBackendMessage<G> | undefined, at: string): RouteBackend<F> => ({
    backend: decodeBackend(one?.backend, `${at}.backend`),
    filters: (one?.filters ?? []).map((filter, nth) => decodeFilter(filter, `${at}.filters[${nth}]`)),
  });
  if (message.$case === 'firstAvailable') {
    const list = message.value.backends.map((one, index) => decode(one, `${field}.first_available[${index}]`));
    return { kind: 'first-available', backends: list };
  }
  const list = message.value.backends.map(({ backend, weight }, index) => ({
    ...decode(backend, `${field}.random_available[${index}]`),
    weight,
  }));
  return { kind: 'random-available', backends: list };
}

function decodeTimeouts(
  message: TimeoutsMessage | undefined,
  deprecated: Duration | undefined,
  field: string,
): Timeouts {
  const request = message?.request ?? deprecated;
  const { response, idle } = message ?? {};
  return {
    ...(request && { requestMs: decodeDurationMs(request, `${field}.request`) }),
    ...(response && { responseMs: decodeDurationMs(response, `${field}.response`) }),
    ...(idle && { idleMs: decodeDurationMs(idle, `${field}.idle`) }),
  };
}

function decodeRetry<C>(message: HttpRoute_Retry | GrpcRoute_Retry, conditions: C, field: string): Retry<C> {
  const { maxRetries, maxRequestBytes, timeout, backoff } = message;
  if (maxRetries > MAX_RETRIES) throw new DecodeError(`${field}.max_retries`, `more than ${MAX_RETRIES}`);
  return {
    maxRetries,
    maxRequestBytes: Math.min(maxRequestBytes, MAX_REQUEST_BYTES),
    conditions,
    ...(timeout && { timeoutMs: decodeDurationMs(timeout, `${field}.timeout`) }),
    ...(backoff && { backoff: decodeBackoff(backoff, `${field}.backoff`) }),
  };
}

function decodeHttpRetry(message: HttpRoute_Retry, field: string): HttpRetry {
  if (message.conditions === undefined) throw new DecodeError(`${field}.conditions`, 'missing');
  const ranges = message.conditions.statusRanges.map(({ start, end }, index): StatusRange => {
    if (start < 1 || end > 599 || start > end) {
      throw new DecodeError(`${field}.conditions.status_ranges[${index}]`, `${start}-${end} is not within 1-599`);
    }
    return { min: start, max: end };
  });
  return decodeRetry(message, ranges, field);
}

function decodeGrpcRetry(message: GrpcRoute_Retry, field: string): GrpcRetry {
  const { conditions } = message;
  if (conditions === undefined) throw new DecodeError(`${field}.conditions`, 'missing');
  const named: readonly (readonly [GrpcRetryCondition, boolean])[] = [
    ['cancelled', conditions.cancelled],
    ['deadline-exceeded', conditions.deadineExceeded],
    ['internal', conditions.internal],
    ['resource-exhausted', conditions.resourceExhausted],
    ['unavailable', conditions.unavailable],
  ];
  const list = named.filter(([, isSet]) => isSet).map(([name]) => name);
  return decodeRetry(message, list, field);
}
