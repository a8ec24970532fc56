import { asList, asNumber, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Metadata } from '#k8s/resources/metadata.ts';
import type { ContainerPort, HttpProbe } from '#k8s/resources/pod.ts';
import { formatAddress, parseAddress } from '#model/address.ts';

/** A process outside of the cluster that is a member of the mesh. Source: ExternalWorkload `workload.linkerd.io`. */
export type ExternalWorkload = Metadata & {
  readonly isExternal: true;
  readonly createdAt: string; // RFC 3339
  /** Absent: its object names none, and it is reached in plain text. */
  readonly meshTls?: { readonly identity: string; readonly serverName: string };
  readonly ips: readonly string[]; // canonical text
  readonly ports: readonly ContainerPort[];
  readonly probes: readonly HttpProbe[]; // nobody probes it
  readonly isReady: boolean;
  readonly zone?: string;
};

/** Versions that can be read, the stored one first. */
export const EXTERNAL_WORKLOADS = {
  group: 'workload.linkerd.io',
  kind: 'ExternalWorkload',
  plural: 'externalworkloads',
  versions: ['v1beta1', 'v1alpha1'],
} as const;

/** The definition allows no more. */
const IPS_MAX = 2;

/** Reads an ExternalWorkload. What it says and cannot be used (an address that is none) is left out. */
export function readExternalWorkload(object: CustomObject): ExternalWorkload {
  const { spec, status, namespace, name, uid, labels, annotations, createdAt } = object;
  // v1alpha1 spells it `meshTls`.
  const tls = asObject(spec['meshTLS'] ?? spec['meshTls']);
  const [identity, serverName] = [asText(tls['identity']) ?? '', asText(tls['serverName']) ?? ''];
  const zone = labels['topology.kubernetes.io/zone'];
  return {
    namespace,
    name,
    uid,
    labels,
    annotations,
    createdAt,
    isExternal: true,
    ...(identity !== '' && serverName !== '' && { meshTls: { identity, serverName } }),
    ips: asList(spec['workloadIPs']).slice(0, IPS_MAX).flatMap(readAddress),
    ports: asList(spec['ports']).flatMap(readPort),
    probes: [],
    isReady: asList(status['conditions'])
      .map(asObject)
      .some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True'),
    ...(zone !== undefined && { zone }),
  };
}

function readAddress(value: unknown): readonly string[] {
  const address = parseAddress(asText(asObject(value)['ip']) ?? '');
  return address === undefined ? [] : [formatAddress(address)];
}

function readPort(value: unknown): readonly ContainerPort[] {
  const fields = asObject(value);
  const port = asNumber(fields['port']);
  if (port === undefined || port < 1 || port > 65_535) return [];
  return [{ name: asText(fields['name']) ?? '', port, protocol: asText(fields['protocol']) ?? 'TCP' }];
}
