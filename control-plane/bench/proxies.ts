// Simulated proxies, in a process of their own: the proxy's own client of the control plane, with the streams that a proxy has open.
// Told what to open by its parent; tells it of every marker that arrives.
import { decodeEndpointUpdate } from '#api/decode/destination.ts';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { encodeSocketAddress } from '#api/encode/net.ts';
import { DestinationService } from '#api/gen/destination.ts';
import { InboundServerPoliciesService } from '#api/gen/inbound.ts';
import { OutboundPoliciesService } from '#api/gen/outbound.ts';
import { createLogger } from '#runtime/log.ts';
import { watchStream, type WatchHandler } from '../../proxy/discovery/watch-stream.ts';
import { GrpcClient, type Method } from '../../proxy/grpc/client.ts';
import { anonymousContext, readTrustAnchors } from '../../proxy/identity/credentials.ts';
import type { Topic } from './changes.ts';
import { PORT, TARGET_PORT, placeOf, podName, type ClusterSize } from './cluster.ts';
import { SERVER_NAME, type Ports } from './destination.ts';
import { inboundMarker, outboundMarker, endpointsMarker } from './markers.ts';

/** What the parent sends first. */
export type ProxiesRequest = {
  readonly size: ClusterSize;
  readonly proxies: number;
  readonly targets: number; // Services that each of them talks to
  readonly ports: Ports;
  readonly anchorsPem: string;
};

/** A marker that a stream of a proxy was told, at a time of the machine's monotonic clock. */
export type Arrival = {
  readonly topic: Topic;
  readonly service: number;
  readonly proxy: number;
  readonly marker: number;
  readonly atMs: number;
};

export type ProxiesReport = { readonly opened: number; readonly arrivals: readonly Arrival[] };

/** Services that a proxy talks to: each is talked to by about as many proxies. */
export function targetsOf(
  proxy: number,
  { size, targets }: Pick<ProxiesRequest, 'size' | 'targets'>,
): readonly number[] {
  return Array.from({ length: targets }, (_, nth) => (proxy * targets + nth) % size.services);
}

/** The Service whose first pod a proxy belongs to. */
export function homeOf(proxy: number, { services }: ClusterSize): number {
  return (proxy * 3) % services;
}

/** Milliseconds of the clock that all processes of the machine share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

const REPORT_MS = 50;

function run(request: ProxiesRequest): void {
  const { size, ports, anchorsPem } = request;
  const log = createLogger('proxies', 'silent');
  const context = anonymousContext(readTrustAnchors(anchorsPem));
  const client = (port: number): GrpcClient =>
    new GrpcClient(
      { host: '127.0.0.1', port, identity: SERVER_NAME },
      { exemption: { kind: 'uid', uid: process.getuid?.() ?? 0 }, context: () => context, log, random: Math.random },
    );
  let arrivals: Arrival[] = [];
  let opened = 0;
  const open = <Req, Rsp>(
    to: GrpcClient,
    method: Method<Req, Rsp>,
    message: Req,
    onMessage: (message: Rsp) => void = () => {},
  ): void => {
    const handler: WatchHandler<Rsp> = {
      onMessage(answer, isFirst) {
        if (isFirst) opened += 1;
        onMessage(answer);
      },
      onRefused: (error) => {
        throw error;
      },
    };
    watchStream(to, method, message, handler);
  };
  for (let proxy = 0; proxy < request.proxies; proxy += 1) {
    const [destination, policy] = [client(ports.destination), client(ports.policy)];
    const arrived = (topic: Topic, service: number, marker: number | undefined): void => {
      if (marker !== undefined) arrivals.push({ topic, service, proxy, marker, atMs: machineMs() });
    };
    const home = placeOf(homeOf(proxy, size), size);
    const workload = JSON.stringify({ ns: home.namespace, pod: podName(home, 0) });
    const contextToken = JSON.stringify({ ns: home.namespace, nodeName: `node-${proxy % 5}` });
    for (const service of targetsOf(proxy, request)) {
      const { name, namespace, ip } = placeOf(service, size);
      const path = `${name}.${namespace}.svc.cluster.local:${PORT}`;
      open(destination, DestinationService.getProfile, { scheme: '', path: `${ip}:${PORT}`, contextToken });
      open(destination, DestinationService.get, { scheme: '', path, contextToken }, (update) =>
        arrived('endpoints', service, endpointsMarker(decodeEndpointUpdate(update))),
      );
      const address = { $case: 'addr', value: encodeSocketAddress(ip, PORT) } as const;
      open(policy, OutboundPoliciesService.watch, { sourceWorkload: workload, target: address }, (message) =>
        arrived('outbound', service, outboundMarker(decodeOutboundPolicy(message))),
      );
    }
    open(policy, InboundServerPoliciesService.watchPort, { workload, port: TARGET_PORT }, (message) =>
      arrived('inbound', home.nth, inboundMarker(decodeInboundServer(message))),
    );
    open(policy, InboundServerPoliciesService.watchPort, { workload, port: 4191 });
  }
  setInterval(() => {
    const report: ProxiesReport = { opened, arrivals };
    arrivals = [];
    process.send?.(report);
  }, REPORT_MS);
}

if (process.send !== undefined && import.meta.main) process.once('message', (request: ProxiesRequest) => run(request));
