import type {
  Authn,
  Authz,
  GrpcRoute,
  HttpLocalRateLimit,
  HttpRoute,
  Network as NetworkMessage,
  ProxyProtocol,
  Server,
} from '#api/gen/inbound.ts';
import type { Authentication, Authorization, NetworkMatch } from '#model/authorization.ts';
import type { InboundGrpcRoute, InboundProtocol, InboundRoute, InboundServer } from '#model/inbound.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { encodeDuration } from './duration.ts';
import { encodeInboundFilter, encodeInboundGrpcFilter } from './filter.ts';
import { encodeGrpcMatch, encodeHost, encodeHttpMatch } from './match.ts';
import { encodeResourceRef } from './meta.ts';
import { encodeNetwork } from './net.ts';

export function encodeInboundServer(server: InboundServer): Server {
  return {
    protocol: encodeProtocol(server.protocol),
    serverIps: [],
    authorizations: server.authorizations.map(encodeAuthorization),
    labels: encodeLabels(server.ref),
  };
}

/** A group that is empty with kind `default` marks something built in. */
function encodeLabels(ref: ResourceRef): Record<string, string> {
  if (ref.type === 'default') return { group: '', kind: 'default', name: ref.name };
  return { group: ref.group, kind: ref.kind, name: ref.name };
}

function encodeProtocol(protocol: InboundProtocol): ProxyProtocol {
  switch (protocol.kind) {
    case 'detect': {
      const httpRoutes = protocol.routes.map(encodeRoute);
      const timeout = encodeDuration(protocol.timeoutMs);
      const httpLocalRateLimit = protocol.rateLimit && encodeRateLimit(protocol.rateLimit);
      return { kind: { $case: 'detect', value: { timeout, httpRoutes, httpLocalRateLimit } } };
    }
    case 'http1':
    case 'http2': {
      const routes = protocol.routes.map(encodeRoute);
      const localRateLimit = protocol.rateLimit && encodeRateLimit(protocol.rateLimit);
      return { kind: { $case: protocol.kind, value: { routes, localRateLimit } } };
    }
    case 'grpc':
      return { kind: { $case: 'grpc', value: { routes: protocol.routes.map(encodeGrpcRoute) } } };
    case 'opaque':
    case 'tls':
      return { kind: { $case: protocol.kind, value: {} } };
  }
}

function encodeRateLimit({ ref, total, identity, overrides }: RateLimit): HttpLocalRateLimit {
  return {
    metadata: encodeResourceRef(ref),
    total: total === undefined ? undefined : { requestsPerSecond: total },
    identity: identity === undefined ? undefined : { requestsPerSecond: identity },
    overrides: overrides.map(({ requestsPerSecond, identities }) => ({
      limit: { requestsPerSecond },
      clients: { identities: identities.map((name) => ({ name })) },
    })),
  };
}

function encodeRoute(route: InboundRoute): HttpRoute {
  return {
    metadata: encodeResourceRef(route.ref),
    hosts: route.hosts.map(encodeHost),
    authorizations: route.authorizations.map(encodeAuthorization),
    rules: route.rules.map(({ matches, filters = [] }) => ({
      matches: matches.map(encodeHttpMatch),
      filters: filters.map(encodeInboundFilter),
    })),
  };
}

function encodeGrpcRoute(route: InboundGrpcRoute): GrpcRoute {
  return {
    metadata: encodeResourceRef(route.ref),
    hosts: route.hosts.map(encodeHost),
    authorizations: route.authorizations.map(encodeAuthorization),
    rules: route.rules.map(({ matches, filters = [] }) => ({
      matches: matches.map(encodeGrpcMatch),
      filters: filters.map(encodeInboundGrpcFilter),
    })),
  };
}

/** Old proxies read the labels, new ones the metadata. */
export function encodeAuthorization(authorization: Authorization): Authz {
  return {
    networks: authorization.networks.map(encodeNetworkMatch),
    authentication: encodeAuthentication(authorization.authentication),
    labels: encodeLabels(authorization.ref),
    metadata: encodeResourceRef(authorization.ref),
  };
}

function encodeNetworkMatch({ network, except }: NetworkMatch): NetworkMessage {
  return { net: encodeNetwork(network), except: except.map(encodeNetwork) };
}

function encodeAuthentication(authentication: Authentication): Authn {
  switch (authentication.kind) {
    case 'unauthenticated':
      return { permit: { $case: 'unauthenticated', value: {} } };
    case 'mesh-tls':
      return { permit: { $case: 'meshTLS', value: { clients: { $case: 'unauthenticated', value: {} } } } };
    case 'identities': {
      const identities = authentication.names.map((name) => ({ name }));
      const suffixes = authentication.suffixes.map((parts) => ({ parts: [...parts] }));
      const clients = { $case: 'identities', value: { identities, suffixes } } as const;
      return { permit: { $case: 'meshTLS', value: { clients } } };
    }
  }
}
