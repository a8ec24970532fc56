import type { Service, ServicePort } from '#k8s/resources/service.ts';
import type { EndpointSlice, SlicePort } from '#k8s/resources/endpoint-slice.ts';
import { selectsWorkload, type ExternalWorkload } from '../dialects/external-workload.ts';

/** Whose slices are ours. Not Linkerd's name: two installations side by side must not write over each other. */
export const MANAGED_BY = 'external-workloads.tulle.dev';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
const SERVICE_NAME = 'kubernetes.io/service-name';
const HEADLESS = 'service.kubernetes.io/headless';
const RESERVED: readonly string[] = [MANAGED_BY_LABEL, SERVICE_NAME, HEADLESS];

/** As many as Kubernetes itself puts into a slice. */
const ENDPOINTS_MAX = 100;

/** An EndpointSlice as it is written. */
export type SliceObject = {
  readonly apiVersion: 'discovery.k8s.io/v1';
  readonly kind: 'EndpointSlice';
  readonly metadata: { readonly namespace: string; readonly name: string; readonly [field: string]: unknown };
  readonly addressType: Family;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly object[];
};

type Family = 'IPv4' | 'IPv6';

/**
 * The slices of a Service for the external workloads that it selects: one for each family and set of ports, of at most 100 endpoints.
 * A workload counts when it declares every port that the Service sends to. Slices of a family are numbered, and what is in one changes:
 * their number stays bounded. Source: linkerd2 `controller/api/destination/external-workload`.
 *
 * @param workloads  of the Service's namespace
 */
export function externalSlices(service: Service, workloads: readonly ExternalWorkload[]): readonly SliceObject[] {
  const selected = workloads.filter((workload) => selectsWorkload(service, workload));
  const groups = new Map<string, { family: Family; ports: readonly SlicePort[]; endpoints: object[] }>();
  for (const workload of selected.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const ports = portsOf(service, workload);
    if (ports === undefined) continue;
    for (const ip of workload.ips) {
      const family = ip.includes(':') ? 'IPv6' : 'IPv4';
      if (service.ipFamilies.length > 0 && !service.ipFamilies.includes(family)) continue;
      const key = JSON.stringify([family, ports]);
      const group = groups.get(key) ?? { family, ports, endpoints: [] };
      group.endpoints.push(endpointOf(service, workload, ip));
      groups.set(key, group);
    }
  }
  return (['IPv4', 'IPv6'] as const).flatMap((family) =>
    [...groups.values()]
      .filter((group) => group.family === family)
      .flatMap(({ ports, endpoints }) => chunks(endpoints).map((chunk) => ({ ports, endpoints: chunk })))
      .map((content, nth) =>
        sliceOf(service, family, `${service.name}-external-${family.toLowerCase()}-${nth}`, content),
      ),
  );
}

/** A slice of ours that is not needed now: it stays as long as the Service, so that nobody needs the right to delete. */
export function emptySlice(service: Service, { name, addressType }: EndpointSlice): SliceObject {
  return sliceOf(service, addressType === 'IPv6' ? 'IPv6' : 'IPv4', name, { ports: [], endpoints: [] });
}

function sliceOf(
  service: Service,
  addressType: Family,
  name: string,
  content: Pick<SliceObject, 'ports' | 'endpoints'>,
): SliceObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: service.namespace,
      name,
      labels: labelsOf(service),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: service.name, uid: service.uid, controller: true }],
    },
    addressType,
    ...content,
  };
}

/** @returns nothing when the workload lacks one of the ports */
function portsOf(service: Service, workload: ExternalWorkload): readonly SlicePort[] | undefined {
  const ports = service.ports.flatMap((declared) => {
    const port = workload.ports.find((own) => isTarget(declared, own))?.port;
    return port === undefined ? [] : [{ name: declared.name, port, protocol: declared.protocol }];
  });
  return ports.length === service.ports.length ? ports : undefined;
}

function isTarget({ targetPort, protocol }: ServicePort, own: ExternalWorkload['ports'][number]): boolean {
  return own.protocol === protocol && (typeof targetPort === 'number' ? own.port : own.name) === targetPort;
}

function endpointOf(service: Service, { namespace, name, uid, isReady, zone }: ExternalWorkload, ip: string): object {
  const isHostname = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name);
  return {
    addresses: [ip],
    conditions: { ready: isReady, serving: isReady, terminating: false },
    targetRef: { kind: 'ExternalWorkload', namespace, name, uid },
    ...(zone !== undefined && { zone }),
    ...(service.isHeadless && isHostname && { hostname: name }),
  };
}

function labelsOf(service: Service): Record<string, string> {
  const own = Object.entries(service.labels).filter(([key]) => !RESERVED.includes(key));
  return {
    ...Object.fromEntries(own),
    [SERVICE_NAME]: service.name,
    [MANAGED_BY_LABEL]: MANAGED_BY,
    ...(service.isHeadless && { [HEADLESS]: '' }),
  };
}

function chunks<T>(all: readonly T[]): readonly (readonly T[])[] {
  const count = Math.ceil(all.length / ENDPOINTS_MAX);
  return Array.from({ length: count }, (_, nth) => all.slice(nth * ENDPOINTS_MAX, (nth + 1) * ENDPOINTS_MAX));
}
