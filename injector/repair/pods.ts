import { asList, asObject, asText, isObject } from '#k8s/json.ts';
import { parseMetadata } from '#k8s/resources/metadata.ts';
import type { ResourceIndex, ResourceKind } from '#k8s/resource-index.ts';
import { INJECT_ANNOTATION } from '../decision.ts';
import { allContainers, ownerOf, parsePod, PodError, type Pod } from '../pod.ts';
import { PROXY_CONTAINER } from '../decision.ts';

/** What repairing needs to know of a pod. */
export type LivePod = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly workload: Workload | undefined; // absent: nothing would make the pod again
  readonly createdMs: number;
  readonly isMeshed: boolean;
  readonly isReady: boolean;
  readonly isTerminating: boolean;
  readonly isFinished: boolean;
  readonly hasOwnAnnotation: boolean; // `linkerd.io/inject` of the pod, not of its namespace
  readonly isSafeToEvict: boolean;
  /** What the decision about a proxy looks at; only of pods without one, so that little is kept. */
  readonly spec: Pod | undefined;
};

/** Kind in lower case. */
export type Workload = { readonly kind: string; readonly name: string };

export const LIVE_PODS: ResourceKind<LivePod> = {
  plural: 'pods',
  apiPath: '/api/v1',
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    const pod = read(object);
    if (metadata === undefined || pod === undefined) return undefined;
    const status = asObject(asObject(object)['status']);
    const { creationTimestamp, deletionTimestamp } = asObject(asObject(object)['metadata']);
    const isMeshed = allContainers(pod).some(({ name }) => name === PROXY_CONTAINER);
    const wanted = metadata.annotations[INJECT_ANNOTATION];
    return {
      namespace: metadata.namespace,
      name: metadata.name,
      uid: metadata.uid,
      workload: ownerOf(pod),
      createdMs: Date.parse(asText(creationTimestamp) ?? ''),
      isMeshed,
      isReady: asList(status['conditions']).some(
        (condition) => isObject(condition) && condition['type'] === 'Ready' && condition['status'] === 'True',
      ),
      isTerminating: deletionTimestamp !== undefined && deletionTimestamp !== null,
      isFinished: status['phase'] === 'Succeeded' || status['phase'] === 'Failed',
      hasOwnAnnotation: wanted !== undefined,
      isSafeToEvict: metadata.annotations['cluster-autoscaler.kubernetes.io/safe-to-evict'] !== 'false',
      spec: isMeshed
        ? undefined
        : { ...pod, metadata: { annotations: wanted === undefined ? {} : { [INJECT_ANNOTATION]: wanted } } },
    };
  },
};

function read(object: unknown): Pod | undefined {
  try {
    return parsePod(object);
  } catch (error) {
    if (error instanceof PodError) return undefined;
    throw error;
  }
}

/** Names a workload: `namespace/kind/name`. */
export function keyOf(namespace: string, workload: Workload): string {
  return `${namespace}/${workload.kind}/${workload.name}`;
}

/** The pods of every workload. A pod without one is a workload of its own, of kind `pod`. */
export class WorkloadPods implements ResourceIndex<LivePod> {
  readonly #byKey = new Map<string, Map<string, LivePod>>();
  readonly #keys = new Map<string, string>(); // by namespace and name of the pod
  readonly #onChange: (key: string) => void;

  /** @param onChange  told the key of the workload; must not throw */
  constructor(onChange: (key: string) => void) {
    this.#onChange = onChange;
  }

  apply(pod: LivePod): void {
    const key = keyOf(pod.namespace, pod.workload ?? { kind: 'pod', name: pod.name });
    const id = `${pod.namespace}/${pod.name}`;
    const old = this.#keys.get(id);
    if (old !== undefined && old !== key) this.delete(pod.namespace, pod.name);
    this.#keys.set(id, key);
    const pods = this.#byKey.get(key) ?? new Map<string, LivePod>();
    this.#byKey.set(key, pods.set(pod.name, pod));
    this.#onChange(key);
  }

  delete(namespace: string, name: string): void {
    const id = `${namespace}/${name}`;
    const key = this.#keys.get(id);
    if (key === undefined) return;
    this.#keys.delete(id);
    const pods = this.#byKey.get(key);
    pods?.delete(name);
    if (pods?.size === 0) this.#byKey.delete(key);
    this.#onChange(key);
  }

  reset(live: readonly LivePod[]): void {
    const alive = new Set(live.map(({ namespace, name }) => `${namespace}/${name}`));
    for (const id of this.#keys.keys()) {
      const [namespace = '', name = ''] = id.split('/');
      if (!alive.has(id)) this.delete(namespace, name);
    }
    for (const pod of live) this.apply(pod);
  }

  of(key: string): readonly LivePod[] {
    return [...(this.#byKey.get(key)?.values() ?? [])];
  }

  keys(): readonly string[] {
    return [...this.#byKey.keys()];
  }
}
