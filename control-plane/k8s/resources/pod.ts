import { asList, asNumber, asObject, asText, type JsonObject } from '../json.ts';
import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

export type Pod = Metadata & {
  readonly createdAt: string; // RFC 3339, so that text compares as time
  readonly serviceAccount: string;
  readonly nodeName?: string;
  readonly ips: readonly string[];
  readonly hostIps: readonly string[];
  readonly isHostNetwork: boolean;
  readonly isFinished: boolean; // phase Succeeded or Failed: its address may belong to another pod already
  readonly owner?: { readonly kind: string; readonly name: string };
  readonly ports: readonly ContainerPort[];
  readonly probes: readonly Probe[];
  readonly hasProxy: boolean;
  /** `LINKERD2_PROXY_INBOUND_LISTEN_ADDR` of the injected proxy. */
  readonly proxyInboundAddress?: string;
};

export type ContainerPort = {
  readonly name: string;
  readonly port: number;
  readonly protocol: string; // TCP, UDP or SCTP
  readonly hostPort?: number;
  readonly hostIp?: string; // the only address of the node with the host port
};

/** The request that the kubelet makes: of a probe by HTTP, or by gRPC. */
export type Probe = { readonly port: number; readonly method: 'GET' | 'POST'; readonly path: string };

/** What a gRPC probe calls. Source: grpc `doc/health-checking.md`. */
const GRPC_HEALTH_CHECK = '/grpc.health.v1.Health/Check';

const PROXY_CONTAINER = 'linkerd-proxy';
const INBOUND_ADDRESS = 'LINKERD2_PROXY_INBOUND_LISTEN_ADDR';

export const PODS: ResourceKind<Pod> = {
  plural: 'pods',
  apiPath: '/api/v1',
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    if (metadata === undefined) return undefined;
    const fields = asObject(object);
    const spec = asObject(fields['spec']);
    const status = asObject(fields['status']);
    const containers = [...asList(spec['initContainers']), ...asList(spec['containers'])].map(asObject);
    const ports = containers.flatMap((container) => asList(container['ports']).flatMap(parsePort));
    const nodeName = asText(spec['nodeName']);
    const owner = parseOwner(fields);
    const proxyInboundAddress = findInboundAddress(containers);
    return {
      ...metadata,
      createdAt: asText(asObject(fields['metadata'])['creationTimestamp']) ?? '',
      serviceAccount: asText(spec['serviceAccountName']) ?? 'default',
      ips: uniqueTexts([status['podIP'], ...asList(status['podIPs']).map((entry) => asObject(entry)['ip'])]),
      hostIps: uniqueTexts([status['hostIP'], ...asList(status['hostIPs']).map((entry) => asObject(entry)['ip'])]),
      isHostNetwork: spec['hostNetwork'] === true,
      isFinished: status['phase'] === 'Succeeded' || status['phase'] === 'Failed',
      ports,
      hasProxy: containers.some(({ name }) => name === PROXY_CONTAINER),
      probes: containers.flatMap((container) => parseProbes(container)),
      ...(nodeName !== undefined && { nodeName }),
      ...(owner && { owner }),
      ...(proxyInboundAddress !== undefined && { proxyInboundAddress }),
    };
  },
};

function uniqueTexts(values: readonly unknown[]): readonly string[] {
  return [...new Set(values.filter((value): value is string => typeof value === 'string' && value !== ''))];
}

function parsePort(value: unknown): readonly ContainerPort[] {
  const fields = asObject(value);
  const port = asNumber(fields['containerPort']);
  if (port === undefined) return [];
  const hostPort = asNumber(fields['hostPort']);
  const hostIp = asText(fields['hostIP']) ?? '';
  return [
    {
      name: asText(fields['name']) ?? '',
      port,
      protocol: asText(fields['protocol']) ?? 'TCP',
      ...(hostPort !== undefined && { hostPort }),
      ...(hostIp !== '' && { hostIp }),
    },
  ];
}

function parseOwner(object: JsonObject): Pod['owner'] {
  const owners = asList(asObject(object['metadata'])['ownerReferences']).map(asObject);
  const owner = owners.find((candidate) => candidate['controller'] === true);
  const kind = asText(owner?.['kind']);
  const name = asText(owner?.['name']);
  return kind !== undefined && name !== undefined ? { kind, name } : undefined;
}

function parseProbes(container: JsonObject): readonly Probe[] {
  const named = asList(container['ports']).flatMap(parsePort);
  return ['livenessProbe', 'readinessProbe', 'startupProbe'].flatMap((kind): readonly Probe[] => {
    const { httpGet, grpc } = asObject(container[kind]);
    const grpcPort = asNumber(asObject(grpc)['port']);
    if (grpcPort !== undefined) return [{ port: grpcPort, method: 'POST', path: GRPC_HEALTH_CHECK }];
    if (httpGet === undefined) return [];
    const { port: portField, path } = asObject(httpGet);
    const port = asNumber(portField) ?? named.find(({ name }) => name === portField)?.port;
    return port === undefined ? [] : [{ port, method: 'GET', path: asText(path) ?? '/' }];
  });
}

function findInboundAddress(containers: readonly JsonObject[]): string | undefined {
  const proxy = containers.find((container) => container['name'] === PROXY_CONTAINER);
  const variable = asList(proxy?.['env'])
    .map(asObject)
    .find((entry) => entry['name'] === INBOUND_ADDRESS);
  return asText(variable?.['value']);
}
