import { status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import { encodeInboundServer } from '#api/encode/inbound.ts';
import type { InboundServerPoliciesServer, PortSpec, Server } from '#api/gen/inbound.ts';
import { asObject } from '#k8s/json.ts';
import { failStream, serveWatch, type CallFailure, type Outlet } from '#api/serve-watch.ts';
import type { InboundIndex, WorkloadRef } from './inbound-index.ts';

export type InboundServiceOptions = {
  readonly index: InboundIndex;
  readonly outlet: Outlet;
  readonly streamOpened: (method: 'watch_port') => Disposable;
};

/** The gRPC service `InboundServerPolicies`. */
export function inboundPoliciesService(options: InboundServiceOptions): InboundServerPoliciesServer {
  return {
    watchPort: (call: ServerWritableStream<PortSpec, Server>) => watchPort(call, options),
    getPort: (call: ServerUnaryCall<PortSpec, Server>, callback: sendUnaryData<Server>) => {
      const workload = parseWorkload(call.request.workload);
      if (workload === undefined || !isPort(call.request.port)) return callback(badRequest(call.request));
      const server = options.index.get(workload, call.request.port);
      return server === undefined ? callback(notFound(workload)) : callback(null, encodeInboundServer(server));
    },
  };
}

function watchPort(call: ServerWritableStream<PortSpec, Server>, options: InboundServiceOptions): void {
  const { workload: text, port } = call.request;
  const workload = parseWorkload(text);
  if (workload === undefined || !isPort(port)) {
    failStream(call, badRequest(call.request));
    return;
  }
  const lease = options.index.watch(workload, port);
  const opened = options.streamOpened('watch_port');
  serveWatch(
    call,
    lease.slot,
    (server) => (server === undefined ? { failure: notFound(workload) } : { messages: [encodeInboundServer(server)] }),
    options.outlet,
    () => {
      lease[Symbol.dispose]();
      opened[Symbol.dispose]();
    },
  );
}

/** Reads `{"ns":"..","pod":".."}`, `{"ns":"..","external_workload":".."}` or the older `ns:pod`. */
export function parseWorkload(text: string): WorkloadRef | undefined {
  const [namespace, pod, ...rest] = text.trim().split(':');
  if (!text.includes('{'))
    return namespace && pod && rest.length === 0 ? { kind: 'pod', namespace, name: pod } : undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { ns, pod: podName, external_workload: external } = asObject(value);
  const kind = podName === undefined ? 'external-workload' : 'pod';
  const name = podName ?? external;
  if (typeof ns !== 'string' || ns === '' || typeof name !== 'string' || name === '') return undefined;
  return { kind, namespace: ns, name };
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

function badRequest({ workload, port }: PortSpec): CallFailure {
  const details = isPort(port)
    ? `workload "${workload.slice(0, 200)}" does not name a pod or an external workload`
    : `${port} is not a port`;
  return { code: status.INVALID_ARGUMENT, details };
}

function notFound({ kind, namespace, name }: WorkloadRef): CallFailure {
  const what = kind === 'pod' ? 'pod' : 'ExternalWorkload';
  return { code: status.NOT_FOUND, details: `${what} ${namespace}/${name} not found` };
}
