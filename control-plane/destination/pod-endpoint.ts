import { parseAddress, formatAddress } from '#model/address.ts';
import { DEFAULT_WEIGHT, type Endpoint } from '#model/endpoint.ts';
import type { PortSet } from '#model/port-set.ts';
import { workloadIdentity, type TrustDomain } from '#pki/names.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import { isInboundSkipped } from '../dialects/skipped-ports.ts';

/** What endpoints depend on besides the objects of the cluster. */
export type EndpointSettings = {
  readonly domain: TrustDomain;
  readonly opaquePorts: PortSet; // of pods and Services without an annotation
  readonly isH2UpgradeEnabled: boolean;
};

/** Where an endpoint is, and where the one is that asks. */
export type Zones = { readonly endpoint?: string; readonly consumer?: string };

const CONTROL_PLANE_LABEL = 'linkerd.io/control-plane-ns';
const TEMPLATE_HASH_LABEL = 'pod-template-hash';
export const DEFAULT_INBOUND_PORT = 4143;

/** Ports of the proxy itself: nothing is carried to them inside of another connection. */
const PROXY_PORTS: readonly number[] = [4190, 4191];

export const KEEP_ALIVE = { intervalMs: 10_000, timeoutMs: 3000, isWhileIdle: true };

/**
 * One port of a pod as an endpoint. Source: linkerd2 `controller/api/destination/endpoint_translator.go`.
 *
 * @param isOpaque  the port carries raw bytes
 */
export function podEndpoint(
  pod: Pod,
  address: string,
  port: number,
  zones: Zones,
  isOpaque: boolean,
  settings: EndpointSettings,
): Endpoint {
  const isMeshed = isPodMeshed(pod, settings.domain) && !isInboundSkipped(pod, port);
  return {
    address: canonical(address),
    port,
    weight: DEFAULT_WEIGHT,
    labels: podLabels(pod, zones),
    ...(isMeshed && meshFields(pod, port, isOpaque, settings)),
  };
}

/** An address about which nothing more is known. */
export function plainEndpoint(address: string, port: number, zones: Zones = {}): Endpoint {
  return {
    address: canonical(address),
    port,
    weight: DEFAULT_WEIGHT,
    labels: zones.endpoint === undefined ? {} : zoneLabels(zones),
  };
}

/** Where the gateway of another cluster is told to go, by the annotations of a mirrored Service's slice. */
export type RemoteService = { readonly gatewayIdentity: string; readonly name: string };

const GATEWAY_IDENTITY = 'mirror.linkerd.io/remote-gateway-identity';
const REMOTE_NAME = 'mirror.linkerd.io/remote-svc-fq-name';

/** @returns nothing for the slice of an ordinary Service */
export function remoteService(annotations: Readonly<Record<string, string>>): RemoteService | undefined {
  const gatewayIdentity = annotations[GATEWAY_IDENTITY] ?? '';
  const name = annotations[REMOTE_NAME] ?? '';
  return gatewayIdentity === '' || name === '' ? undefined : { gatewayIdentity, name };
}

/**
 * A gateway of another cluster that leads to a Service there.
 *
 * @param requestedPort  of the Service, as the client asked
 */
export function gatewayEndpoint(
  address: string,
  port: number,
  requestedPort: number,
  remote: RemoteService,
  settings: EndpointSettings,
): Endpoint {
  const { gatewayIdentity } = remote;
  return {
    ...plainEndpoint(address, port),
    identity: { kind: 'dns', name: gatewayIdentity, serverName: gatewayIdentity },
    authorityOverride: `${remote.name}:${requestedPort}`,
    http2: { keepAlive: KEEP_ALIVE },
    ...(settings.isH2UpgradeEnabled && { protocolHint: 'h2' }),
  };
}

/** Labels of the endpoints of a mirrored Service, from the Service itself. Source: linkerd2 `endpoint_translator.go`. */
export function remoteLabels(service: {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}): Record<string, string> {
  const cluster = service.labels['mirror.linkerd.io/cluster-name'];
  const [name, namespace] = (service.annotations[REMOTE_NAME] ?? '').split('.');
  if (cluster === undefined || name === undefined || namespace === undefined) return {};
  return { target_cluster: cluster, target_service: name, target_service_namespace: namespace };
}

/** Whether a pod has a proxy of this installation. */
export function isPodMeshed(pod: Pod, domain: TrustDomain): boolean {
  return pod.labels[CONTROL_PLANE_LABEL] === domain.controlPlaneNamespace;
}

function meshFields(pod: Pod, port: number, isOpaque: boolean, settings: EndpointSettings): Partial<Endpoint> {
  const name = workloadIdentity({ namespace: pod.namespace, name: pod.serviceAccount }, settings.domain);
  return {
    identity: { kind: 'dns', name, serverName: name },
    http2: { keepAlive: KEEP_ALIVE },
    ...(isOpaque ? { protocolHint: 'opaque' } : settings.isH2UpgradeEnabled && { protocolHint: 'h2' }),
    ...(!PROXY_PORTS.includes(port) && { opaqueTransportPort: inboundPort(pod) }),
  };
}

function inboundPort(pod: Pod): number {
  const port = Number(/:(\d{1,5})$/.exec(pod.proxyInboundAddress ?? '')?.[1]);
  return port >= 1 && port <= 65_535 ? port : DEFAULT_INBOUND_PORT;
}

function podLabels(pod: Pod, zones: Zones): Record<string, string> {
  const controlPlane = pod.labels[CONTROL_PLANE_LABEL];
  const hash = pod.labels[TEMPLATE_HASH_LABEL];
  return {
    pod: pod.name,
    ...ownerLabel(pod),
    serviceaccount: pod.serviceAccount,
    ...(controlPlane !== undefined && { control_plane_ns: controlPlane }),
    ...(hash !== undefined && { pod_template_hash: hash }),
    ...zoneLabels(zones),
  };
}

export function zoneLabels({ endpoint, consumer }: Zones): Record<string, string> {
  const locality =
    endpoint === undefined || consumer === undefined ? 'unknown' : endpoint === consumer ? 'local' : 'remote';
  return { zone: endpoint ?? '', zone_locality: locality };
}

/** A ReplicaSet that carries the pod's template hash in its name belongs to the Deployment named before it. */
function ownerLabel(pod: Pod): Record<string, string> {
  if (pod.owner === undefined) return {};
  const { kind, name } = pod.owner;
  const hash = pod.labels[TEMPLATE_HASH_LABEL];
  if (kind === 'ReplicaSet' && hash !== undefined && name.endsWith(`-${hash}`)) {
    return { deployment: name.slice(0, -hash.length - 1) };
  }
  return { [kind === 'Job' ? 'k8s_job' : kind.toLowerCase()]: name };
}

function canonical(address: string): string {
  const parsed = parseAddress(address);
  return parsed === undefined ? address : formatAddress(parsed);
}
