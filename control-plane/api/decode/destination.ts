import type {
  DestinationProfile,
  ProtocolHint,
  RetryBudget as RetryBudgetMessage,
  TlsIdentity,
  Update,
  WeightedAddr,
} from '#api/gen/destination.ts';
import type { Endpoint, EndpointIdentity, EndpointUpdate, Http2Params } from '#model/endpoint.ts';
import type { Profile, RetryBudget } from '#model/profile.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';
import { decodeResourceRef } from './meta.ts';
import { decodeSocketAddress } from './net.ts';
import { decodeProfileRoute, decodeWeightedTarget } from './profile-route.ts';

export function decodeEndpoint(message: WeightedAddr, field: string): Endpoint {
  const identity = decodeIdentity(message.tlsIdentity);
  const override = message.authorityOverride?.authorityOverride ?? '';
  const http2 = decodeHttp2(message.http2);
  return {
    ...decodeSocketAddress(message.addr, `${field}.addr`),
    weight: message.weight,
    labels: message.metricLabels,
    ...(identity && { identity }),
    ...decodeProtocolHint(message.protocolHint),
    ...(override !== '' && { authorityOverride: override }),
    ...(http2 && { http2 }),
  };
}

/** An identity that cannot be used is none, as in linkerd2-proxy: the endpoint is then reached in plain text. */
function decodeIdentity(message: TlsIdentity | undefined): EndpointIdentity | undefined {
  const strategy = message?.strategy;
  const serverName = message?.serverName?.name ?? '';
  if (strategy?.$case === 'dnsLikeIdentity') {
    const { name } = strategy.value;
    return name === '' ? undefined : { kind: 'dns', name, serverName: serverName === '' ? name : serverName };
  }
  if (strategy === undefined || strategy.value.uri === '' || serverName === '') return undefined;
  return { kind: 'uri', name: strategy.value.uri, serverName };
}

function decodeProtocolHint(message: ProtocolHint | undefined): Pick<Endpoint, 'protocolHint' | 'opaqueTransportPort'> {
  const protocol = message?.protocol?.$case;
  const port = message?.opaqueTransport?.inboundPort ?? 0;
  return {
    ...(protocol && { protocolHint: protocol }),
    ...(port > 0 && port < 65_536 && { opaqueTransportPort: port }),
  };
}

function decodeHttp2(message: WeightedAddr['http2']): Http2Params | undefined {
  const keepAlive = message?.keepAlive;
  if (keepAlive === undefined) return undefined;
  const intervalMs = keepAlive.interval === undefined ? 0 : decodeDurationMs(keepAlive.interval, 'keep_alive.interval');
  const timeoutMs = keepAlive.timeout === undefined ? 0 : decodeDurationMs(keepAlive.timeout, 'keep_alive.timeout');
  if (intervalMs === 0 || timeoutMs === 0) return undefined; // both are needed
  return { keepAlive: { intervalMs, timeoutMs, isWhileIdle: keepAlive.whileIdle } };
}

/**
 * Reads one step of `Destination.Get`. Endpoints that cannot be read are left out, so that one bad address does not
 * take the others away.
 *
 * @returns nothing when no part of the step can be used
 */
export function decodeEndpointUpdate(message: Update): EndpointUpdate | undefined {
  const { update } = message;
  if (update === undefined) return undefined;
  switch (update.$case) {
    case 'add': {
      const endpoints = keepReadable(update.value.addrs, (addr, index) => decodeEndpoint(addr, `add.addrs[${index}]`));
      if (endpoints.length === 0 && update.value.addrs.length > 0) return undefined;
      return { kind: 'add', endpoints, labels: update.value.metricLabels };
    }
    case 'remove': {
      const addresses = keepReadable(update.value.addrs, (addr, index) =>
        decodeSocketAddress(addr, `remove.addrs[${index}]`),
      );
      return { kind: 'remove', addresses };
    }
    case 'noEndpoints':
      return { kind: 'none', exists: update.value.exists };
  }
}

function keepReadable<M, T>(messages: readonly M[], decode: (message: M, index: number) => T): readonly T[] {
  return messages.flatMap((message, index) => {
    try {
      return [decode(message, index)];
    } catch (error) {
      if (error instanceof DecodeError) return [];
      throw error;
    }
  });
}

/** @throws DecodeError  when the endpoint or the parent cannot be read */
export function decodeProfile(message: DestinationProfile): Profile {
  const retryBudget = decodeRetryBudget(message.retryBudget);
  return {
    ...(message.fullyQualifiedName !== '' && { fullyQualifiedName: message.fullyQualifiedName }),
    isOpaque: message.opaqueProtocol,
    ...(message.endpoint && { endpoint: decodeEndpoint(message.endpoint, 'endpoint') }),
    ...(retryBudget && { retryBudget }),
    ...(message.parentRef && { parent: decodeResourceRef(message.parentRef, 'parent_ref') }),
    ...(message.routes.length > 0 && {
      routes: message.routes.map((route, index) => decodeProfileRoute(route, `routes[${index}]`)),
    }),
    ...(message.dstOverrides.length > 0 && {
      targets: message.dstOverrides.map((target, index) => decodeWeightedTarget(target, `dst_overrides[${index}]`)),
    }),
    ...(message.profileRef && { ref: decodeResourceRef(message.profileRef, 'profile_ref') }),
  };
}

/** A budget out of range disables retries. */
function decodeRetryBudget(message: RetryBudgetMessage | undefined): RetryBudget | undefined {
  if (message?.ttl === undefined) return undefined;
  const ttlMs = decodeDurationMs(message.ttl, 'retry_budget.ttl');
  const retryRatio = Math.round(message.retryRatio * 1e6) / 1e6; // the wire has single precision
  const { minRetriesPerSecond } = message;
  const isUsable = minRetriesPerSecond <= 2 ** 31 - 1 && retryRatio >= 0 && retryRatio <= 1000;
  return isUsable && ttlMs >= 1000 && ttlMs <= 60_000 ? { retryRatio, minRetriesPerSecond, ttlMs } : undefined;
}
