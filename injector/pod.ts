import { asList, asNumber, asObject, asText, asTextMap, isObject } from '#k8s/json.ts';

/** What the webhook reads of a pod. Field names are those of the Kubernetes API; what is absent in a request stays absent. */
export type Pod = {
  readonly metadata?: {
    readonly name?: string;
    readonly generateName?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly controller?: boolean;
    }[];
  };
  readonly spec?: {
    readonly hostNetwork?: boolean;
    readonly os?: { readonly name?: string };
    readonly nodeSelector?: Readonly<Record<string, string>>;
    readonly initContainers?: readonly Container[];
    readonly containers?: readonly Container[];
    readonly volumes?: readonly { readonly name?: string }[];
  };
};

export type Container = {
  readonly name: string;
  readonly ports?: readonly { readonly containerPort: number; readonly protocol?: string }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
};

type Probe = {
  readonly httpGet?: { readonly port?: number | string };
  readonly grpc?: { readonly port?: number };
};

/** A pod that no API server would send. */
export class PodError extends Error {
  override readonly name = 'PodError';
}

/**
 * Reads a pod of a request. Lists and maps that are there stay, also empty ones: a patch adds to them.
 *
 * @throws PodError  naming the field that is missing, no list or no object; what only matters to the API server is not looked at
 */
export function parsePod(object: unknown): Pod {
  const pod = section(object, 'the pod') ?? {};
  return {
    metadata: parseMetadata(needed(section(pod['metadata'], 'metadata'), 'metadata')),
    spec: parseSpec(needed(section(pod['spec'], 'spec'), 'spec')),
  };
}

function parseMetadata(metadata: Fields): NonNullable<Pod['metadata']> {
  const owners = list(metadata['ownerReferences'], 'metadata.ownerReferences') ?? [];
  return {
    ...present('name', asText(metadata['name'])),
    ...present('generateName', asText(metadata['generateName'])),
    ...present('annotations', textMap(metadata['annotations'], 'metadata.annotations')),
    ...present('labels', textMap(metadata['labels'], 'metadata.labels')),
    ownerReferences: owners.map((owner) => {
      const { kind, name, controller } = asObject(owner);
      return { kind: asText(kind) ?? '', name: asText(name) ?? '', controller: controller === true };
    }),
  };
}

function parseSpec(spec: Fields): NonNullable<Pod['spec']> {
  const containers = (field: string): readonly Container[] | undefined =>
    list(spec[field], `spec.${field}`)?.map((one) => parseContainer(asObject(one)));
  const os = asText(asObject(spec['os'])['name']);
  return {
    hostNetwork: spec['hostNetwork'] === true,
    ...(os === undefined ? {} : { os: { name: os } }),
    ...present('nodeSelector', textMap(spec['nodeSelector'], 'spec.nodeSelector')),
    ...present('initContainers', containers('initContainers')),
    containers: needed(containers('containers'), 'spec.containers'),
    ...present(
      'volumes',
      list(spec['volumes'], 'spec.volumes')?.map((volume) => present('name', asText(asObject(volume)['name']))),
    ),
  };
}

function parseContainer(container: Fields): Container {
  const probe = (field: string): Readonly<Record<string, Probe>> => {
    const { httpGet, grpc } = asObject(container[field]);
    const { port } = asObject(httpGet);
    if (typeof port === 'number' || typeof port === 'string') return { [field]: { httpGet: { port } } };
    const grpcPort = asNumber(asObject(grpc)['port']);
    return grpcPort === undefined ? {} : { [field]: { grpc: { port: grpcPort } } };
  };
  return {
    name: asText(container['name']) ?? '',
    ports: asList(container['ports']).flatMap((port) => {
      const { containerPort, protocol } = asObject(port);
      const number = asNumber(containerPort);
      return number === undefined ? [] : [{ containerPort: number, ...present('protocol', asText(protocol)) }];
    }),
    ...probe('livenessProbe'),
    ...probe('readinessProbe'),
    ...probe('startupProbe'),
  };
}

type Fields = Readonly<Record<string, unknown>>;

/** JSON has two ways of saying that nothing is there. */
function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function section(value: unknown, name: string): Fields | undefined {
  if (isAbsent(value)) return undefined;
  if (!isObject(value)) throw new PodError(`${name} is not an object`);
  return value;
}

function needed<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new PodError(`${name} is missing`);
  return value;
}

function list(value: unknown, name: string): readonly unknown[] | undefined {
  if (isAbsent(value)) return undefined;
  if (!Array.isArray(value)) throw new PodError(`${name} is not a list`);
  return value;
}

function textMap(value: unknown, name: string): Readonly<Record<string, string>> | undefined {
  const fields = section(value, name);
  return fields === undefined ? undefined : asTextMap(fields);
}

function present<K extends string, V>(field: K, value: V | undefined): { readonly [k in K]?: V } {
  return value === undefined ? {} : ({ [field]: value } as { readonly [k in K]?: V });
}

/** Ports the pod says it listens on (TCP), and the integer ports of its probes by HTTP and gRPC; sorted, each once. */
export function inboundPorts(pod: Pod): readonly number[] {
  const ports = new Set<number>();
  for (const container of allContainers(pod)) {
    for (const port of container.ports ?? []) {
      if ((port.protocol ?? 'TCP') === 'TCP') ports.add(port.containerPort);
    }
    for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
      const port = probe?.httpGet?.port ?? probe?.grpc?.port;
      if (typeof port === 'number') ports.add(port);
    }
  }
  return [...ports].sort((a, b) => a - b);
}

export function allContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
}

const OWNER_KINDS = new Set([
  'replicaset',
  'replicationcontroller',
  'statefulset',
  'daemonset',
  'job',
  'deployment',
  'cronjob',
]);

/**
 * The workload that a pod belongs to, as kind in lower case and name; undefined for a bare pod.
 * A Deployment is recognised without asking the API server: its ReplicaSets are named `<deployment>-<pod-template-hash>`.
 */
export function ownerOf(pod: Pod): { readonly kind: string; readonly name: string } | undefined {
  const reference =
    pod.metadata?.ownerReferences?.find((owner) => owner.controller === true) ?? pod.metadata?.ownerReferences?.[0];
  if (reference === undefined) return undefined;
  const kind = reference.kind.toLowerCase();
  if (!OWNER_KINDS.has(kind)) return undefined;
  const hash = pod.metadata?.labels?.['pod-template-hash'];
  if (kind === 'replicaset' && hash !== undefined && reference.name.endsWith(`-${hash}`)) {
    return { kind: 'deployment', name: reference.name.slice(0, -hash.length - 1) };
  }
  return { kind, name: reference.name };
}
