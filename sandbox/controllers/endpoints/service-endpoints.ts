import { isFinished, isReady, isTerminating } from '../pods.ts';
import type { ObjectReference, Pod, Service, ServicePort, SliceEndpoint, SlicePort } from '../resources.ts';

/** The endpoints behind one set of ports. Pods whose named target ports differ fall into different groups. */
export type PortGroup = { readonly ports: readonly SlicePort[]; readonly endpoints: readonly SliceEndpoint[] };

export type AddressType = 'IPv4' | 'IPv6';

export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === 'None';
}

/** Whether a controller fills the endpoints of this Service; without a selector they belong to somebody else. */
export function hasManagedEndpoints(service: Service): boolean {
  return service.spec.type !== 'ExternalName' && Object.keys(service.spec.selector ?? {}).length > 0;
}

export function addressTypes(service: Service): readonly AddressType[] {
  const families = (service.spec.ipFamilies ?? []).filter((family) => family === 'IPv4' || family === 'IPv6');
  return families.length === 0 ? ['IPv4'] : families;
}

export function addressesOf(pod: Pod, addressType: AddressType): readonly string[] {
  const known = pod.status?.podIPs?.map(({ ip }) => ip) ?? (pod.status?.podIP ? [pod.status.podIP] : []);
  return known.filter((ip) => ip !== '' && ip.includes(':') === (addressType === 'IPv6'));
}

/** Pods that have ended or have no address yet are no endpoints. */
export function isEndpoint(pod: Pod, addressType: AddressType): boolean {
  return !isFinished(pod) && addressesOf(pod, addressType).length > 0;
}

/** The number a Service port means in one pod; undefined when the pod has no port of the name it asks for. */
export function targetPort(pod: Pod, port: ServicePort): number | undefined {
  const { targetPort: target = port.port, protocol = 'TCP' } = port;
  if (typeof target === 'number') return target;
  const sidecars = (pod.spec.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
  return [...pod.spec.containers, ...sidecars]
    .flatMap((container) => container.ports ?? [])
    .find((candidate) => candidate.name === target && (candidate.protocol ?? 'TCP') === protocol)?.containerPort;
}

export function portsFor(service: Service, pod: Pod): readonly SlicePort[] {
  return (service.spec.ports ?? []).flatMap((port) => {
    const number = targetPort(pod, port);
    if (number === undefined) return [];
    const { name = '', protocol = 'TCP', appProtocol } = port;
    return [{ name, protocol, port: number, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

export function podReference(pod: Pod): ObjectReference {
  const { namespace = '', name, uid } = pod.metadata;
  return { kind: 'Pod', namespace, name, uid };
}

/** A pod has a name of its own below a Service only when it asks for that Service as its subdomain. */
export function hostnameIn(service: Service, pod: Pod): string | undefined {
  return pod.spec.hostname && pod.spec.subdomain === service.metadata.name ? pod.spec.hostname : undefined;
}

/** Source: k8s.io/endpointslice `podToEndpoint`. `ready` of a terminating pod is false even while it still serves. */
export function sliceEndpoint(
  service: Service,
  pod: Pod,
  addressType: AddressType,
  zone: string | undefined,
): SliceEndpoint {
  const serving = isReady(pod);
  const terminating = isTerminating(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const hostname = hostnameIn(service, pod);
  return {
    addresses: addressesOf(pod, addressType).slice(0, 1),
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: podReference(pod),
  };
}

/** All endpoints of a Service, by the ports they have. A pod that has none of the ports is left out. */
export function portGroups(
  service: Service,
  pods: readonly Pod[],
  addressType: AddressType,
  zoneOf: (nodeName: string) => string | undefined,
): readonly PortGroup[] {
  const groups = new Map<string, { ports: readonly SlicePort[]; endpoints: SliceEndpoint[] }>();
  for (const pod of pods) {
    if (!isEndpoint(pod, addressType)) continue;
    const ports = portsFor(service, pod);
    if (ports.length === 0 && (service.spec.ports ?? []).length > 0) continue;
    const key = portsKey(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    groups.set(key, group);
    const zone = pod.spec.nodeName === undefined ? undefined : zoneOf(pod.spec.nodeName);
    group.endpoints.push(sliceEndpoint(service, pod, addressType, zone));
  }
  return [...groups.values()];
}

/** The same for the same ports in any order. */
export function portsKey(ports: readonly SlicePort[]): string {
  const texts = ports.map(({ name, protocol, port, appProtocol }) =>
    [name, protocol, port, appProtocol ?? ''].join('/'),
  );
  return texts.sort().join(' ');
}
