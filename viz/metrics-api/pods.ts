/** The part of a pod that viz reads; the JSON of the Kubernetes API, everything optional. */
export type PodResource = {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly controller?: boolean;
    }[];
  };
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly initContainers?: readonly Container[];
    readonly containers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly podIP?: string;
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
};

type Container = {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
};
type ContainerStatus = { readonly name: string; readonly state?: { readonly waiting?: { readonly reason?: string } } };

/** A pod as the statistics see it. */
export type Pod = {
  readonly key: string; // namespace/name
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  readonly status: string; // phase, or why it is not running
  readonly isFinished: boolean;
  readonly isMeshed: boolean;
  /** Workloads it belongs to, by kind in lower case: `{ deployment: 'web', replicaset: 'web-6c9d7f5b8' }`. */
  readonly owners: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Where its proxy answers, absent without a proxy or an address. */
  readonly scrapeTarget?: { readonly address: string; readonly port: number };
  readonly address?: string;
  /** Where its proxy can be tapped, absent when it cannot. */
  readonly tapTarget?: { readonly address: string; readonly port: number };
};

const ADMIN_PORT = 'linkerd-admin';
const PROXY = 'linkerd-proxy';
const CONTROL_PORT = 4190;

/** @param controlNamespace  only proxies of this installation count as meshed */
export function podOf(resource: PodResource, controlNamespace: string): Pod {
  const { metadata, spec, status } = resource;
  const namespace = metadata.namespace ?? 'default';
  const isMeshed = metadata.labels?.['linkerd.io/control-plane-ns'] === controlNamespace;
  const port = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]
    .flatMap((container) => container.ports ?? [])
    .find(({ name }) => name === ADMIN_PORT)?.containerPort;
  const isFinished = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return {
    key: `${namespace}/${metadata.name}`,
    namespace,
    name: metadata.name,
    serviceAccount: spec?.serviceAccountName ?? 'default',
    status: statusOf(resource),
    isFinished,
    isMeshed,
    owners: ownersOf(resource),
    labels: metadata.labels ?? {},
    ...(isMeshed && !isFinished && port !== undefined && status?.podIP !== undefined
      ? { scrapeTarget: { address: status.podIP, port } }
      : {}),
    ...(status?.podIP === undefined || isFinished ? {} : { address: status.podIP }),
    ...(isMeshed && !isFinished && status?.podIP !== undefined ? tapTarget(resource, status.podIP) : {}),
  };
}

function tapTarget({ spec }: PodResource, address: string): Pick<Pod, 'tapTarget'> {
  const proxy = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].find(({ name }) => name === PROXY);
  const env = new Map(proxy?.env?.map(({ name, value }) => [name, value ?? '']));
  if ((env.get('LINKERD2_PROXY_TAP_SVC_NAME') ?? '') === '') return {};
  const port = Number(/:(\d+)$/.exec(env.get('LINKERD2_PROXY_CONTROL_LISTEN_ADDR') ?? '')?.[1] ?? CONTROL_PORT);
  return { tapTarget: { address, port } };
}

/** Name of the workload of a kind that the pod counts for; undefined when it has none. */
export function workloadName(pod: Pod, kind: string): string | undefined {
  if (kind === 'pod') return pod.name;
  if (kind === 'namespace') return pod.namespace;
  return pod.owners[kind];
}

/** Kinds of workloads, the one that a person thinks of first. A pod without an owner stands for itself. */
export const PRIMARY_KINDS = [
  'deployment',
  'statefulset',
  'daemonset',
  'cronjob',
  'job',
  'replicaset',
  'replicationcontroller',
  'pod',
] as const;
export type PrimaryKind = (typeof PRIMARY_KINDS)[number];

/** The kind of workload that the pod is of, for views that show each pod once. */
export function primaryKind(pod: Pod): PrimaryKind {
  return PRIMARY_KINDS.find((kind) => pod.owners[kind] !== undefined) ?? 'pod';
}

function ownersOf({ metadata }: PodResource): Readonly<Record<string, string>> {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return {};
  const kind = owner.kind.toLowerCase();
  const hash = metadata.labels?.['pod-template-hash'];
  const cronJob = kind === 'job' ? cronJobOf(owner.name) : undefined;
  if (cronJob !== undefined) return { job: owner.name, cronjob: cronJob };
  return kind === 'replicaset' && hash !== undefined && owner.name.endsWith(`-${hash}`)
    ? { replicaset: owner.name, deployment: owner.name.slice(0, -hash.length - 1) }
    : { [kind]: owner.name };
}

/** CronJobs name their Jobs `<name>-<minutes since 1970>`. Source: Kubernetes `pkg/controller/cronjob`, `getJobName`. */
export function cronJobOf(job: string): string | undefined {
  return /^(.+)-\d{8}$/.exec(job)?.[1];
}

function statusOf({ metadata, status }: PodResource): string {
  if (metadata.deletionTimestamp !== undefined) return 'Terminating';
  const waiting = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
    .map(({ state }) => state?.waiting?.reason)
    .find((reason) => reason !== undefined && reason !== 'PodInitializing' && reason !== 'ContainerCreating');
  return waiting ?? status?.reason ?? status?.phase ?? 'Unknown';
}
