import { status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import { DecodeError } from '#api/decode/decode-error.ts';
import { decodeAddress } from '#api/decode/net.ts';
import { encodeOutboundPolicy } from '#api/encode/outbound.ts';
import type { OutboundPoliciesServer, OutboundPolicy, TrafficSpec } from '#api/gen/outbound.ts';
import { failStream, serveWatch, type CallFailure, type Outlet } from '#api/serve-watch.ts';
import { parseHostPort, parseServiceName } from '#model/service-target.ts';
import type { Lease } from '#runtime/derived-values.ts';
import { parseWorkload } from './inbound-server.ts';
import type { OutboundIndex, OutboundState } from './outbound-index.ts';

export type OutboundServiceOptions = {
  readonly index: OutboundIndex;
  readonly clusterDomain: string;
  readonly outlet: Outlet;
  readonly streamOpened: (method: 'watch_outbound') => Disposable;
};

/** The gRPC service `OutboundPolicies`. */
export function outboundPoliciesService(options: OutboundServiceOptions): OutboundPoliciesServer {
  return {
    watch: (call: ServerWritableStream<TrafficSpec, OutboundPolicy>) => watch(call, options),
    get: (call: ServerUnaryCall<TrafficSpec, OutboundPolicy>, callback: sendUnaryData<OutboundPolicy>) => {
      const lease = acquire(call.request, options);
      if ('code' in lease) return callback(lease);
      const { value } = lease.slot;
      lease[Symbol.dispose]();
      return value.kind === 'failed' ? callback(value.failure) : callback(null, encodeOutboundPolicy(value.policy));
    },
  };
}

function watch(call: ServerWritableStream<TrafficSpec, OutboundPolicy>, options: OutboundServiceOptions): void {
  const lease = acquire(call.request, options);
  if ('code' in lease) {
    failStream(call, lease);
    return;
  }
  const opened = options.streamOpened('watch_outbound');
  serveWatch(
    call,
    lease.slot,
    (state) =>
      state.kind === 'failed' ? { failure: state.failure } : { messages: [encodeOutboundPolicy(state.policy)] },
    options.outlet,
    () => {
      lease[Symbol.dispose]();
      opened[Symbol.dispose]();
    },
  );
}

/** The value that a request asks for, or why there is none. */
function acquire(
  { target, sourceWorkload }: TrafficSpec,
  options: OutboundServiceOptions,
): Lease<OutboundState> | CallFailure {
  if (target === undefined) return { code: status.INVALID_ARGUMENT, details: 'the request has no target' };
  const clientNamespace = parseWorkload(sourceWorkload)?.namespace;
  if (target.$case === 'addr') {
    const { ip, port } = target.value;
    if (port < 1 || port > 65_535) return { code: status.INVALID_ARGUMENT, details: `${port} is not a port` };
    try {
      return options.index.watchAddress(decodeAddress(ip, 'addr.ip'), port, clientNamespace);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { code: status.INVALID_ARGUMENT, details: error.message };
    }
  }
  const hostPort = parseHostPort(target.value);
  if (hostPort === undefined) {
    return { code: status.INVALID_ARGUMENT, details: `"${target.value}" is not an authority` };
  }
  const service = parseServiceName(hostPort.host, hostPort.port, options.clusterDomain);
  if (service === undefined) return { code: status.NOT_FOUND, details: `"${target.value}" is not a Service` };
  return options.index.watchName(service, clientNamespace);
}
