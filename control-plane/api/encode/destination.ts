import type {
  DestinationProfile,
  RetryBudget as RetryBudgetMessage,
  TlsIdentity,
  Update,
  WeightedAddr,
} from '#api/gen/destination.ts';
import type { Endpoint, EndpointIdentity, EndpointUpdate, Http2Params } from '#model/endpoint.ts';
import type { Profile, RetryBudget } from '#model/profile.ts';
import { encodeDuration } from './duration.ts';
import { encodeResourceRef } from './meta.ts';
import { encodeSocketAddress } from './net.ts';
import { encodeProfileRoute, encodeTarget } from './profile-route.ts';

export function encodeEndpoint(endpoint: Endpoint): WeightedAddr {
  return {
    addr: encodeSocketAddress(endpoint.address, endpoint.port),
    weight: endpoint.weight,
    metricLabels: { ...endpoint.labels },
    tlsIdentity: endpoint.identity && encodeIdentity(endpoint.identity),
    protocolHint: encodeProtocolHint(endpoint),
    authorityOverride:
      endpoint.authorityOverride === undefined ? undefined : { authorityOverride: endpoint.authorityOverride },
    http2: endpoint.http2 && encodeHttp2(endpoint.http2),
    resourceRef: undefined,
  };
}

function encodeIdentity({ kind, name, serverName }: EndpointIdentity): TlsIdentity {
  const strategy: TlsIdentity['strategy'] =
    kind === 'dns' ? { $case: 'dnsLikeIdentity', value: { name } } : { $case: 'uriLikeIdentity', value: { uri: name } };
  return { strategy, serverName: { name: serverName } };
}

function encodeProtocolHint(endpoint: Endpoint): WeightedAddr['protocolHint'] {
  const { protocolHint, opaqueTransportPort } = endpoint;
  if (protocolHint === undefined && opaqueTransportPort === undefined) return undefined;
  return {
    protocol: protocolHint && { $case: protocolHint, value: {} },
    opaqueTransport: opaqueTransportPort === undefined ? undefined : { inboundPort: opaqueTransportPort },
  };
}

function encodeHttp2({ keepAlive }: Http2Params): NonNullable<WeightedAddr['http2']> {
  return {
    flowControl: undefined,
    keepAlive: keepAlive && {
      interval: encodeDuration(keepAlive.intervalMs),
      timeout: encodeDuration(keepAlive.timeoutMs),
      whileIdle: keepAlive.isWhileIdle,
    },
    internals: undefined,
  };
}

export function encodeEndpointUpdate(update: EndpointUpdate): Update {
  switch (update.kind) {
    case 'add': {
      const addrs = update.endpoints.map(encodeEndpoint);
      return { update: { $case: 'add', value: { addrs, metricLabels: { ...update.labels } } } };
    }
    case 'remove': {
      const addrs = update.addresses.map(({ address, port }) => encodeSocketAddress(address, port));
      return { update: { $case: 'remove', value: { addrs } } };
    }
    case 'none':
      return { update: { $case: 'noEndpoints', value: { exists: update.exists } } };
  }
}

export function encodeProfile(profile: Profile): DestinationProfile {
  return {
    routes: (profile.routes ?? []).map(encodeProfileRoute),
    retryBudget: profile.retryBudget && encodeRetryBudget(profile.retryBudget),
    dstOverrides: (profile.targets ?? []).map(encodeTarget),
    opaqueProtocol: profile.isOpaque,
    fullyQualifiedName: profile.fullyQualifiedName ?? '',
    endpoint: profile.endpoint && encodeEndpoint(profile.endpoint),
    parentRef: profile.parent && encodeResourceRef(profile.parent),
    profileRef: profile.ref && encodeResourceRef(profile.ref),
  };
}

function encodeRetryBudget({ retryRatio, minRetriesPerSecond, ttlMs }: RetryBudget): RetryBudgetMessage {
  return { retryRatio, minRetriesPerSecond, ttl: encodeDuration(ttlMs) };
}
