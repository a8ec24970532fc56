/** What the webhook reads of a pod. Field names are those of the Kubernetes API; everything may be absent in a request. */
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
    readonly serviceAccountName?: string;
    readonly initContainers?: readonly Container[];
    readonly containers?: readonly Container[];
    readonly volumes?: readonly unknown[];
  };
};

export type Container = {
  readonly name: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
};

type Probe = { readonly httpGet?: { readonly port?: number | string } };

/** Ports the pod says it listens on (TCP), and the integer ports of its HTTP probes; sorted, each once. */
export function inboundPorts(pod: Pod): readonly number[] {
  const ports = new Set<number>();
  for (const container of allContainers(pod)) {
    for (const port of container.ports ?? []) {
      if ((port.protocol ?? 'TCP') === 'TCP') ports.add(port.containerPort);
    }
    for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
      const port = probe?.httpGet?.port;
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
