import { isDeepStrictEqual } from 'node:util';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { CLUSTER_NAME, MIRROR, MIRRORED, REMOTE_GATEWAY_IDENTITY, REMOTE_NAME } from '../names.ts';
import type { Link } from './link.ts';

/** An object as it is written: plain JSON. */
export type Wanted = {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
};

export type Mirror = { readonly service: Wanted; readonly slice: Wanted };

/**
 * What stands for an exported Service of another cluster here. Pure. Source: linkerd2 `multicluster/service-mirror`.
 *
 * @param gateways      addresses of the gateway; empty when it is dead
 * @param hasEndpoints  the Service has a ready endpoint in its own cluster
 */
export function mirrorOf(remote: Service, link: Link, gateways: readonly string[], hasEndpoints: boolean): Mirror {
  const { namespace } = remote;
  const name = mirrorName(remote.name, link.cluster);
  const own = Object.entries(remote.labels).filter(([key]) => !key.startsWith(`${MIRROR}/`));
  const labels = { ...Object.fromEntries(own), [MIRRORED]: 'true', [CLUSTER_NAME]: link.cluster };
  const fullName = `${remote.name}.${namespace}.svc.${link.domain}`;
  const tcp = remote.ports.filter(({ protocol }) => protocol === 'TCP');
  return {
    service: {
      metadata: { namespace, name, labels, annotations: { [REMOTE_NAME]: fullName } },
      spec: {
        ports: tcp.map(({ name: portName, port, protocol, appProtocol }) => ({
          ...(portName === '' ? {} : { name: portName }),
          port,
          protocol,
          ...(appProtocol === undefined ? {} : { appProtocol }),
        })),
      },
    },
    slice: {
      metadata: {
        namespace,
        name,
        labels: {
          [MIRRORED]: 'true',
          [CLUSTER_NAME]: link.cluster,
          'kubernetes.io/service-name': name,
          'endpointslice.kubernetes.io/managed-by': 'service-mirror.tulle.dev',
        },
        annotations: { [REMOTE_NAME]: fullName, [REMOTE_GATEWAY_IDENTITY]: link.gatewayIdentity },
      },
      addressType: 'IPv4',
      ports: tcp.map(({ name: portName }) => ({ name: portName, port: link.gatewayPort, protocol: 'TCP' })),
      endpoints: hasEndpoints ? gateways.map((address) => ({ addresses: [address], conditions: { ready: true } })) : [],
    },
  };
}

export function mirrorName(service: string, cluster: string): string {
  return `${service}-${cluster}`;
}

/** Whether a stored Service says the same as the wanted one, in what the mirror decides about. */
export function isServiceAsWanted(stored: unknown, wanted: Wanted): boolean {
  const [a, b] = [SERVICES.parse(stored), SERVICES.parse(wanted)];
  if (a === undefined || b === undefined) return false;
  const ports = (service: Service): unknown => service.ports.map(({ targetPort: _set, ...port }) => port);
  return isSameMetadata(a, b) && isDeepStrictEqual(ports(a), ports(b));
}

export function isSliceAsWanted(stored: unknown, wanted: Wanted): boolean {
  const [a, b] = [ENDPOINT_SLICES.parse(stored), ENDPOINT_SLICES.parse(wanted)];
  if (a === undefined || b === undefined) return false;
  return isSameMetadata(a, b) && isDeepStrictEqual([a.ports, a.endpoints], [b.ports, b.endpoints]);
}

/** A merge patch that makes the stored object as wanted; labels and annotations that are wanted no more go. */
export function patchTo(stored: unknown, wanted: Wanted): Wanted {
  const { labels, annotations } = SERVICES.parse(stored) ?? { labels: {}, annotations: {} };
  const without = (have: Readonly<Record<string, string>>): Record<string, null> =>
    Object.fromEntries(Object.keys(have).map((key) => [key, null]));
  const { metadata } = wanted;
  const merged = {
    ...metadata,
    labels: { ...without(labels), ...metadata.labels },
    annotations: { ...without(annotations), ...metadata.annotations },
  };
  return { ...wanted, metadata: merged as Wanted['metadata'] };
}

type Marked = { readonly labels: object; readonly annotations: object };

function isSameMetadata(a: Marked, b: Marked): boolean {
  return isDeepStrictEqual([a.labels, a.annotations], [b.labels, b.annotations]);
}
