import { isDeepStrictEqual } from 'node:util';
import { status, type ServerWritableStream } from '@grpc/grpc-js';
import { encodeEndpointUpdate, encodeProfile } from '#api/encode/destination.ts';
import type { DestinationProfile, DestinationServer, GetDestination, Update } from '#api/gen/destination.ts';
import { failStream, serveWatch, type Outlet, type StreamStep } from '#api/serve-watch.ts';
import { formatAddress, parseAddress } from '#model/address.ts';
import type { Endpoint, EndpointUpdate } from '#model/endpoint.ts';
import { parseHostPort, parseServiceName } from '#model/service-target.ts';
import type { EndpointIndex, EndpointState } from './endpoint-index.ts';
import type { ProfileIndex, ProfileState } from './profile-index.ts';
import { parseConsumer } from './consumer.ts';

export type DestinationServiceOptions = {
  readonly endpoints: EndpointIndex;
  readonly profiles: ProfileIndex;
  readonly clusterDomain: string;
  readonly outlet: Outlet;
  /** Counts open streams by method. */
  readonly streamOpened: (method: 'get' | 'get_profile') => Disposable;
};

/** The gRPC service `Destination`. */
export function destinationService(options: DestinationServiceOptions): DestinationServer {
  return {
    get: (call: ServerWritableStream<GetDestination, Update>) => get(call, options),
    getProfile: (call: ServerWritableStream<GetDestination, DestinationProfile>) => getProfile(call, options),
  };
}

function get(call: ServerWritableStream<GetDestination, Update>, options: DestinationServiceOptions): void {
  const { path, contextToken } = call.request;
  const hostPort = parseHostPort(path);
  const target = hostPort && parseServiceName(hostPort.host, hostPort.port, options.clusterDomain);
  if (target === undefined) {
    failStream(call, { code: status.INVALID_ARGUMENT, details: `"${path}" is not the name of a Service` });
    return;
  }
  const lease = options.endpoints.watch(target, parseConsumer(contextToken));
  const opened = options.streamOpened('get');
  serveWatch(call, lease.slot, endpointSteps(), options.outlet, () => {
    lease[Symbol.dispose]();
    opened[Symbol.dispose]();
  });
}

/** What one stream has to be told, given what it was told before. */
export function endpointSteps(): (state: EndpointState) => StreamStep<Update> {
  let sent: ReadonlyMap<string, Endpoint> | undefined;
  return (state) => {
    if (state.kind === 'failed') return { failure: state.failure };
    const updates = diff(sent, state);
    sent = state.endpoints;
    return { messages: updates.map(encodeEndpointUpdate) };
  };
}

function diff(
  sent: ReadonlyMap<string, Endpoint> | undefined,
  { endpoints, exists, labels }: Extract<EndpointState, { kind: 'endpoints' }>,
): readonly EndpointUpdate[] {
  if (endpoints.size === 0) return [{ kind: 'none', exists }];
  const changed = [...endpoints].filter(([key, endpoint]) => !isDeepStrictEqual(sent?.get(key), endpoint));
  const gone = [...(sent ?? [])].filter(([key]) => !endpoints.has(key));
  const updates: EndpointUpdate[] = [];
  if (changed.length > 0) updates.push({ kind: 'add', endpoints: changed.map(([, endpoint]) => endpoint), labels });
  if (gone.length > 0) {
    updates.push({ kind: 'remove', addresses: gone.map(([, { address, port }]) => ({ address, port })) });
  }
  return updates;
}

function getProfile(
  call: ServerWritableStream<GetDestination, DestinationProfile>,
  options: DestinationServiceOptions,
): void {
  const { path, contextToken } = call.request;
  const hostPort = parseHostPort(path);
  const address = hostPort && parseAddress(hostPort.host);
  const target = hostPort && parseServiceName(hostPort.host, hostPort.port, options.clusterDomain);
  const consumer = parseConsumer(contextToken);
  let lease;
  if (hostPort !== undefined && address !== undefined) {
    lease = options.profiles.watchAddress(formatAddress(address), hostPort.port, consumer);
  } else if (target !== undefined) {
    lease = options.profiles.watchName(target, consumer);
  } else {
    failStream(call, { code: status.INVALID_ARGUMENT, details: `"${path}" is neither an address nor a Service` });
    return;
  }
  const { slot, [Symbol.dispose]: release } = lease;
  const opened = options.streamOpened('get_profile');
  serveWatch(call, slot, profileStep, options.outlet, () => {
    release();
    opened[Symbol.dispose]();
  });
}

function profileStep(state: ProfileState): StreamStep<DestinationProfile> {
  return state.kind === 'failed' ? { failure: state.failure } : { messages: [encodeProfile(state.profile)] };
}
