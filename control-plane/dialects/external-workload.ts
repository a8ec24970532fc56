import { asList, asNumber, asObject, asText, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Metadata } from '#k8s/resources/metadata.ts';
import type { ContainerPort, Probe } from '#k8s/resources/pod.ts';
import type { ResourceStore } from '#k8s/resource-store.ts';
import type { OptionalKind } from '#k8s/served-kinds.ts';
import { selectsLabels, type Service } from '#k8s/resources/service.ts';
import { formatAddress, parseAddress } from '#model/address.ts';
import { Problems, type Problem } from './problem.ts';

/** A process outside of the cluster that is a member of the mesh. Source: ExternalWorkload `workload.linkerd.io`. */
export type ExternalWorkload = Metadata & {
  readonly isExternal: true;
  readonly createdAt: string; // RFC 3339
  /** Absent: its object names none, and it is reached in plain text. */
  readonly meshTls?: { readonly identity: string; readonly serverName: string };
  readonly ips: readonly string[]; // canonical text
  readonly ports: readonly ContainerPort[];
  readonly probes: readonly Probe[]; // nobody probes it
  readonly isReady: boolean;
  readonly zone?: string;
  readonly problems: readonly Problem[]; // what has no effect
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

/** Reads an ExternalWorkload. What it says and cannot be used is left out, and told. */
export function readExternalWorkload(object: CustomObject): ExternalWorkload {
  const problems = new Problems();
  const { spec, status, namespace, name, uid, labels, annotations, createdAt } = object;
  const meshTls = readMeshTls(spec, problems);
  const zone = labels['topology.kubernetes.io/zone'];
  const addresses = asList(spec['workloadIPs']);
  if (addresses.length > IPS_MAX) problems.add(`spec.workloadIPs[${IPS_MAX}]`, `only ${IPS_MAX} addresses are used`);
  return {
    namespace,
    name,
    uid,
    labels,
    annotations,
    createdAt,
    isExternal: true,
    ...(meshTls && { meshTls }),
    ips: addresses.slice(0, IPS_MAX).flatMap((value, index) => readAddress(value, index, problems)),
    ports: asList(spec['ports']).flatMap((value, index) => readPort(value, index, problems)),
    probes: [],
    isReady: asList(status['conditions'])
      .map(asObject)
      .some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True'),
    ...(zone !== undefined && { zone }),
    problems: problems.found,
  };
}

function readMeshTls(spec: JsonObject, problems: Problems): ExternalWorkload['meshTls'] {
  // v1alpha1 spells it `meshTls`.
  const field = spec['meshTLS'] === undefined && spec['meshTls'] !== undefined ? 'meshTls' : 'meshTLS';
  const tls = asObject(spec[field]);
  const [identity, serverName] = [asText(tls['identity']) ?? '', asText(tls['serverName']) ?? ''];
  if (identity === '') problems.add(`spec.${field}.identity`, 'is missing: nobody would know whom to trust');
  if (serverName === '') problems.add(`spec.${field}.serverName`, 'is missing: clients ask for this name in TLS');
  return identity === '' || serverName === '' ? undefined : { identity, serverName };
}

function readAddress(value: unknown, index: number, problems: Problems): readonly string[] {
  const text = asText(asObject(value)['ip']) ?? '';
  const address = parseAddress(text);
  if (address === undefined) problems.add(`spec.workloadIPs[${index}].ip`, `"${text}" is not an IP address`);
  return address === undefined ? [] : [formatAddress(address)];
}

function readPort(value: unknown, index: number, problems: Problems): readonly ContainerPort[] {
  const fields = asObject(value);
  const port = asNumber(fields['port']) ?? 0;
  const isPort = Number.isInteger(port) && port >= 1 && port <= 65_535;
  if (!isPort) problems.add(`spec.ports[${index}].port`, 'is not a number from 1 to 65535');
  return isPort ? [{ name: asText(fields['name']) ?? '', port, protocol: asText(fields['protocol']) ?? 'TCP' }] : [];
}

/** Why Services send nothing to a workload; nothing when they do. */
export function withoutTraffic({ ips, isReady }: ExternalWorkload): Problem | undefined {
  if (ips.length === 0) return { field: 'spec.workloadIPs', message: 'has no address' };
  return isReady ? undefined : { field: 'status.conditions', message: 'has no condition Ready with status True' };
}

/** Whether a workload belongs to a Service. */
export function selectsWorkload(service: Service, workload: ExternalWorkload): boolean {
  if (service.type === 'ExternalName' || service.namespace !== workload.namespace) return false;
  return selectsLabels(service, workload.labels);
}

/** What an informer keeps of external workloads. */
export function externalWorkloadKind(store: ResourceStore<ExternalWorkload>): OptionalKind {
  return {
    ...EXTERNAL_WORKLOADS,
    index: {
      apply: (object) => store.apply(readExternalWorkload(object)),
      delete: (namespace, name) => store.delete(namespace, name),
      reset: (live) => store.reset(live.map(readExternalWorkload)),
    },
  };
}
