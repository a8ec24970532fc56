import type { Timeouts as TimeoutsMessage } from '#api/gen/http_route.ts';
import type {
  Backend as BackendMessage,
  GrpcRoute as GrpcRouteMessage,
  GrpcRoute_Retry,
  HttpRoute as HttpRouteMessage,
  HttpRoute_Distribution_Empty,
  HttpRoute_Retry,
  OpaqueRoute as OpaqueRouteMessage,
  TlsRoute as TlsRouteMessage,
} from '#api/gen/outbound.ts';
import type { Backend, Distribution } from '#model/backend.ts';
import type { GrpcRetry, HttpRetry, Retry } from '#model/retry.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute, TlsRoute } from '#model/route.ts';
import type { Timeouts } from '#model/timeouts.ts';
import { encodeBackend } from './backend.ts';
import { encodeBackoff } from './backoff.ts';
import { encodeDuration } from './duration.ts';
import { encodeGrpcFilter, encodeHttpFilter, encodeOpaqueFilter } from './filter.ts';
import { encodeGrpcMatch, encodeHost, encodeHttpMatch } from './match.ts';
import { encodeResourceRef } from './meta.ts';
import { encodeSessionPersistence } from './session-persistence.ts';

export function encodeHttpRoute(route: HttpRoute): HttpRouteMessage {
  return {
    metadata: encodeResourceRef(route.ref),
    hosts: route.hosts.map(encodeHost),
    rules: route.rules.map((rule) => ({
      matches: rule.matches.map(encodeHttpMatch),
      filters: rule.filters.map(encodeHttpFilter),
      backends: { kind: encodeDistribution(rule.distribution, encodeHttpFilter) },
      requestTimeout: undefined,
      timeouts: encodeTimeouts(rule.timeouts),
      retry: rule.retry && encodeHttpRetry(rule.retry),
      allowL5dRequestHeaders: rule.allowsRequestHeaders,
      sessionPersistence: rule.session && encodeSessionPersistence(rule.session),
    })),
  };
}

export function encodeGrpcRoute(route: GrpcRoute): GrpcRouteMessage {
  return {
    metadata: encodeResourceRef(route.ref),
    hosts: route.hosts.map(encodeHost),
    rules: route.rules.map((rule) => ({
      matches: rule.matches.map(encodeGrpcMatch),
      filters: rule.filters.map(encodeGrpcFilter),
      backends: { kind: encodeDistribution(rule.distribution, encodeGrpcFilter) },
      requestTimeout: undefined,
      timeouts: encodeTimeouts(rule.timeouts),
      retry: rule.retry && encodeGrpcRetry(rule.retry),
      allowL5dRequestHeaders: rule.allowsRequestHeaders,
      sessionPersistence: rule.session && encodeSessionPersistence(rule.session),
    })),
  };
}

export function encodeOpaqueRoute(route: OpaqueRoute): OpaqueRouteMessage {
  return {
    metadata: encodeResourceRef(route.ref),
    rules: [
      {
        backends: { kind: encodeDistribution(route.distribution, encodeOpaqueFilter) },
        filters: route.filters.map(encodeOpaqueFilter),
      },
    ],
  };
}

export function encodeTlsRoute(route: TlsRoute): TlsRouteMessage {
  return { ...encodeOpaqueRoute(route), snis: route.serverNames.map(encodeHost) };
}

type RouteBackendMessage<G> = { backend: BackendMessage; filters: G[]; requestTimeout: undefined };
type DistributionMessage<G> =
  | { $case: 'empty'; value: HttpRoute_Distribution_Empty }
  | { $case: 'firstAvailable'; value: { backends: RouteBackendMessage<G>[] } }
  | { $case: 'randomAvailable'; value: { backends: { backend: RouteBackendMessage<G>; weight: number }[] } };

/** The three families of routes have messages of the same form. */
function encodeDistribution<F, G>(
  distribution: Distribution<F>,
  encodeFilter: (filter: F) => G,
): DistributionMessage<G> {
  const encode = ({ backend, filters }: { backend: Backend; filters: readonly F[] }): RouteBackendMessage<G> => ({
    backend: encodeBackend(backend),
    filters: filters.map(encodeFilter),
    requestTimeout: undefined,
  });
  switch (distribution.kind) {
    case 'empty':
      return { $case: 'empty', value: {} };
    case 'first-available':
      return { $case: 'firstAvailable', value: { backends: distribution.backends.map(encode) } };
    case 'random-available': {
      const backends = distribution.backends.map((one) => ({ backend: encode(one), weight: one.weight }));
      return { $case: 'randomAvailable', value: { backends } };
    }
  }
}

function encodeTimeouts({ requestMs, responseMs, idleMs }: Timeouts): TimeoutsMessage {
  const encode = (ms: number | undefined) => (ms === undefined ? undefined : encodeDuration(ms));
  return { request: encode(requestMs), response: encode(responseMs), idle: encode(idleMs) };
}

function encodeRetry<C>(retry: Retry<C>) {
  return {
    maxRetries: retry.maxRetries,
    maxRequestBytes: retry.maxRequestBytes,
    timeout: retry.timeoutMs === undefined ? undefined : encodeDuration(retry.timeoutMs),
    backoff: retry.backoff && encodeBackoff(retry.backoff),
  };
}

function encodeHttpRetry(retry: HttpRetry): HttpRoute_Retry {
  const statusRanges = retry.conditions.map(({ min, max }) => ({ start: min, end: max }));
  return { ...encodeRetry(retry), conditions: { statusRanges } };
}

function encodeGrpcRetry(retry: GrpcRetry): GrpcRoute_Retry {
  const conditions = {
    cancelled: retry.conditions.includes('cancelled'),
    deadineExceeded: retry.conditions.includes('deadline-exceeded'),
    resourceExhausted: retry.conditions.includes('resource-exhausted'),
    internal: retry.conditions.includes('internal'),
    unavailable: retry.conditions.includes('unavailable'),
  };
  return { ...encodeRetry(retry), conditions };
}
