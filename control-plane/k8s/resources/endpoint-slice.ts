import { asList, asNumber, asObject, asText, type JsonObject } from '../json.ts';
import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

export type EndpointSlice = Metadata & {
  readonly serviceName: string; // label kubernetes.io/service-name; empty without
  readonly addressType: string; // IPv4, IPv6 or FQDN
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
};

export type SlicePort = { readonly name: string; readonly port: number; readonly protocol: string };

export type SliceEndpoint = {
  readonly addresses: readonly string[];
  readonly isReady: boolean; // absent in the object means ready
  readonly isServingToTheEnd: boolean; // terminating, and still able to answer
  readonly hostname?: string;
  readonly zone?: string;
  readonly nodeName?: string;
  readonly forZones: readonly string[]; // topology hints
  readonly forNodes: readonly string[]; // the same, for consumers on these nodes
  readonly target?: EndpointTarget;
};

/** What an endpoint stands for. */
export type EndpointTarget = {
  readonly kind: 'Pod' | 'ExternalWorkload';
  readonly namespace: string;
  readonly name: string;
};

export const ENDPOINT_SLICES: ResourceKind<EndpointSlice> = {
  plural: 'endpointslices',
  apiPath: '/apis/discovery.k8s.io/v1',
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    if (metadata === undefined) return undefined;
    const fields = asObject(object);
    return {
      ...metadata,
      serviceName: metadata.labels['kubernetes.io/service-name'] ?? '',
      addressType: asText(fields['addressType']) ?? 'IPv4',
      ports: asList(fields['ports']).flatMap(parsePort),
      endpoints: asList(fields['endpoints']).map((endpoint) => parseEndpoint(endpoint, metadata.namespace)),
    };
  },
};

function parsePort(value: unknown): readonly SlicePort[] {
  const fields = asObject(value);
  const port = asNumber(fields['port']);
  if (port === undefined) return [];
  return [{ name: asText(fields['name']) ?? '', port, protocol: asText(fields['protocol']) ?? 'TCP' }];
}

function parseEndpoint(value: unknown, namespace: string): SliceEndpoint {
  const fields = asObject(value);
  const hostname = asText(fields['hostname']);
  const zone = asText(fields['zone']);
  const nodeName = asText(fields['nodeName']);
  const target = parseTarget(asObject(fields['targetRef']), namespace);
  const conditions = asObject(fields['conditions']);
  const hints = asObject(fields['hints']);
  const hinted = (field: string): readonly string[] =>
    asList(hints[field]).flatMap((hint) => asText(asObject(hint)['name']) ?? []);
  return {
    addresses: asList(fields['addresses']).filter((address) => typeof address === 'string'),
    isReady: conditions['ready'] !== false,
    isServingToTheEnd: conditions['terminating'] === true && conditions['serving'] === true,
    forZones: hinted('forZones'),
    forNodes: hinted('forNodes'),
    ...(hostname !== undefined && { hostname }),
    ...(zone !== undefined && { zone }),
    ...(nodeName !== undefined && { nodeName }),
    ...(target && { target }),
  };
}

function parseTarget(ref: JsonObject, ownNamespace: string): EndpointTarget | undefined {
  const { kind } = ref;
  const name = asText(ref['name']);
  if ((kind !== 'Pod' && kind !== 'ExternalWorkload') || name === undefined) return undefined;
  return { kind, name, namespace: asText(ref['namespace']) ?? ownNamespace };
}
