import type {
  Authn,
  Authz,
  HttpLocalRateLimit,
  HttpRoute,
  Network as NetworkMessage,
  ProxyProtocol,
  Server,
} from '#api/gen/inbound.ts';
import type { Authentication, Authorization, NetworkMatch } from '#model/authorization.ts';
import type { InboundProtocol, InboundRoute, InboundServer } from '#model/inbound.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';
import { decodeInboundFilter, decodeInboundGrpcFilter } from './filter.ts';
import { decodeGrpcMatch, decodeHost, decodeHttpMatch } from './match.ts';
import { decodeResourceRef } from './meta.ts';
import { decodeNetwork } from './net.ts';

/**
 * Reads an answer of `InboundServerPolicies`.
 *
 * @throws DecodeError  when any part cannot be understood: a policy is applied as a whole or not at all
 */
export function decodeInboundServer(message: Server): InboundServer {
  return {
    ref: decodeLabels(message.labels, 'labels'),
    protocol: decodeProtocol(message.protocol),
    authorizations: message.authorizations.map((authz, index) =>
      decodeAuthorization(authz, `authorizations[${index}]`),
    ),
  };
}

function decodeLabels(labels: Readonly<Record<string, string>>, field: string): ResourceRef {
  const { group = '', kind = '', name = '' } = labels;
  if (name === '') throw new DecodeError(`${field}.name`, 'missing');
  return group === '' && kind === 'default' ? { type: 'default', name } : { type: 'resource', group, kind, name };
}

function decodeProtocol(message: ProxyProtocol | undefined): InboundProtocol {
  const kind = message?.kind;
  if (kind === undefined) throw new DecodeError('protocol.kind', 'missing or unknown');
  switch (kind.$case) {
    case 'detect': {
      return {
        kind: 'detect',
        timeoutMs: decodeDurationMs(kind.value.timeout, 'protocol.detect.timeout'),
        routes: decodeRoutes(kind.value.httpRoutes, 'protocol.detect.http_routes'),
        ...decodeRateLimit(kind.value.httpLocalRateLimit, 'protocol.detect.http_local_rate_limit'),
      };
    }
    case 'http1':
    case 'http2':
      return {
        kind: kind.$case,
        routes: decodeRoutes(kind.value.routes, `protocol.${kind.$case}.routes`),
        ...decodeRateLimit(kind.value.localRateLimit, `protocol.${kind.$case}.local_rate_limit`),
      };
    case 'opaque':
    case 'tls':
      return { kind: kind.$case };
    case 'grpc':
      return {
        kind: 'grpc',
        routes: kind.value.routes.map((route, index) => {
          const field = `protocol.grpc.routes[${index}]`;
          const rules = route.rules.map((rule, nth) => {
            const at = `${field}.rules[${nth}]`;
            return decodeRule(rule, decodeGrpcMatch, decodeInboundGrpcFilter, at);
          });
          return { ...decodeRouteHead(route, field), rules };
        }),
      };
  }
}

/** Limits of 0 are none. Source: linkerd2-proxy `server-policy`. */
function decodeRateLimit(message: HttpLocalRateLimit | undefined, field: string): { readonly rateLimit?: RateLimit } {
  if (message === undefined) return {};
  const total = message.total?.requestsPerSecond ?? 0;
  const identity = message.identity?.requestsPerSecond ?? 0;
  return {
    rateLimit: {
      ref: decodeResourceRef(message.metadata, `${field}.metadata`),
      ...(total > 0 && { total }),
      ...(identity > 0 && { identity }),
      overrides: message.overrides.map(({ limit, clients }, index) => {
        const identities = clients?.identities.map(({ name }) => name) ?? [];
        if (identities.length === 0) throw new DecodeError(`${field}.overrides[${index}].clients.identities`, 'empty');
        return { requestsPerSecond: limit?.requestsPerSecond ?? 0, identities };
      }),
    },
  };
}

function decodeRoutes(messages: readonly HttpRoute[], field: string): readonly InboundRoute[] {
  return messages.map((message, index) => decodeRoute(message, `${field}[${index}]`));
}

function decodeRoute(message: HttpRoute, field: string): InboundRoute {
  const rules = message.rules.map((rule, index) =>
    decodeRule(rule, decodeHttpMatch, decodeInboundFilter, `${field}.rules[${index}]`),
  );
  return { ...decodeRouteHead(message, field), rules };
}

function decodeRouteHead(
  message: Pick<HttpRoute, 'metadata' | 'hosts' | 'authorizations'>,
  field: string,
): Pick<InboundRoute, 'ref' | 'hosts' | 'authorizations'> {
  return {
    ref: decodeResourceRef(message.metadata, `${field}.metadata`),
    hosts: message.hosts.map((host, index) => decodeHost(host, `${field}.hosts[${index}]`)),
    authorizations: message.authorizations.map((authz, index) =>
      decodeAuthorization(authz, `${field}.authorizations[${index}]`),
    ),
  };
}

function decodeRule<M, F, N, G>(
  { matches, filters }: { readonly matches: readonly M[]; readonly filters: readonly F[] },
  decodeMatch: (match: M, field: string) => N,
  decodeFilter: (filter: F, field: string) => G,
  field: string,
): { readonly matches: readonly N[]; readonly filters?: readonly G[] } {
  return {
    matches: matches.map((match, index) => decodeMatch(match, `${field}.matches[${index}]`)),
    ...(filters.length > 0 && {
      filters: filters.map((filter, index) => decodeFilter(filter, `${field}.filters[${index}]`)),
    }),
  };
}

function decodeAuthorization(message: Authz, field: string): Authorization {
  if (message.networks.length === 0) throw new DecodeError(`${field}.networks`, 'empty');
  return {
    ref: message.metadata?.kind
      ? decodeResourceRef(message.metadata, `${field}.metadata`)
      : decodeLabels(message.labels, `${field}.labels`),
    networks: message.networks.map((net, index) => decodeNetworkMatch(net, `${field}.networks[${index}]`)),
    authentication: decodeAuthentication(message.authentication, `${field}.authentication`),
  };
}

function decodeNetworkMatch(message: NetworkMessage, field: string): NetworkMatch {
  return {
    network: decodeNetwork(message.net, `${field}.net`),
    except: message.except.map((hole, index) => decodeNetwork(hole, `${field}.except[${index}]`)),
  };
}

function decodeAuthentication(message: Authn | undefined, field: string): Authentication {
  const permit = message?.permit;
  if (permit === undefined) throw new DecodeError(`${field}.permit`, 'missing or unknown');
  if (permit.$case === 'unauthenticated') return { kind: 'unauthenticated' };
  const { clients } = permit.value;
  if (clients === undefined) throw new DecodeError(`${field}.meshTLS.clients`, 'missing or unknown');
  if (clients.$case === 'unauthenticated') return { kind: 'mesh-tls' };
  return {
    kind: 'identities',
    names: clients.value.identities.map((identity) => identity.name),
    suffixes: clients.value.suffixes.map((suffix) => suffix.parts),
  };
}
