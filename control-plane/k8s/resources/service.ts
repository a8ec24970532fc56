import { asList, asNumber, asObject, asText, asTextMap } from '../json.ts';
import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

export type Service = Metadata & {
  readonly type: string; // ClusterIP, NodePort, LoadBalancer or ExternalName
  readonly clusterIps: readonly string[]; // empty for headless Services
  readonly ipFamilies: readonly string[]; // IPv4, IPv6
  readonly isHeadless: boolean;
  readonly ports: readonly ServicePort[];
  readonly selector: Readonly<Record<string, string>>; // of its pods; empty: none of its own
  readonly isInternalTrafficLocal: boolean; // spec.internalTrafficPolicy: Local
};

export type ServicePort = {
  readonly name: string; // empty when there is only one
  readonly port: number;
  readonly targetPort: number | string;
  readonly protocol: string; // TCP, UDP or SCTP
  readonly appProtocol?: string;
};

export const SERVICES: ResourceKind<Service> = {
  plural: 'services',
  apiPath: '/api/v1',
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    if (metadata === undefined) return undefined;
    const spec = asObject(asObject(object)['spec']);
    const ips = [asText(spec['clusterIP']), ...asList(spec['clusterIPs']).map(asText)];
    return {
      ...metadata,
      type: asText(spec['type']) ?? 'ClusterIP',
      clusterIps: [...new Set(ips.filter((ip): ip is string => ip !== undefined && ip !== '' && ip !== 'None'))],
      ipFamilies: asList(spec['ipFamilies']).filter((family) => typeof family === 'string'),
      isHeadless: spec['clusterIP'] === 'None' || asList(spec['clusterIPs'])[0] === 'None',
      ports: asList(spec['ports']).flatMap(parsePort),
      selector: asTextMap(spec['selector']),
      isInternalTrafficLocal: spec['internalTrafficPolicy'] === 'Local',
    };
  },
};

function parsePort(value: unknown): readonly ServicePort[] {
  const fields = asObject(value);
  const port = asNumber(fields['port']);
  if (port === undefined) return [];
  const appProtocol = asText(fields['appProtocol']);
  return [
    {
      name: asText(fields['name']) ?? '',
      port,
      targetPort: asNumber(fields['targetPort']) ?? asText(fields['targetPort']) ?? port,
      protocol: asText(fields['protocol']) ?? 'TCP',
      ...(appProtocol !== undefined && { appProtocol }),
    },
  ];
}

/** Whether a Service selects what has these labels. One without a selector has endpoints that somebody else writes. */
export function selectsLabels(
  { selector }: Pick<Service, 'selector'>,
  labels: Readonly<Record<string, string>>,
): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}
