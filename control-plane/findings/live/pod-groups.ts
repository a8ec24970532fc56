import type { ResourceStore } from '#k8s/resource-store.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import { SKIP_INBOUND_PORTS } from '../../dialects/skipped-ports.ts';
import type { Workload } from '../configuration.ts';
import { ownerOf } from '../pod-owner.ts';

/** Labels that tell apart pods of one template, or templates of one workload. */
const HASHES = ['pod-template-hash', 'controller-revision-hash'] as const;

type Group = { readonly namespace: string; readonly members: Map<string, Pod> };

/**
 * Pods that rules cannot tell apart, as one workload: replicas come and go without any of it being looked at again. As large as
 * the cluster has pods.
 */
export class PodGroups {
  readonly #groups = new Map<string, Group>();
  readonly #groupOf = new Map<string, string>(); // by namespace/name
  readonly #byNamespace = new Map<string, Map<string, Group>>();

  /** @param changed  told when there is another group than before, or one less; must not throw */
  constructor(pods: ResourceStore<Pod>, changed: () => void) {
    pods.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      if (this.#place(keyOf(namespace, name), next)) changed();
    });
  }

  workloadsIn(namespace: string): readonly Workload[] {
    return [...(this.#byNamespace.get(namespace)?.values() ?? [])].flatMap(({ members }) => {
      const [pod] = members.values();
      return pod === undefined ? [] : [workloadOf(pod)];
    });
  }

  /** @returns whether a group came or went */
  #place(key: string, pod: Pod | undefined): boolean {
    const before = this.#groupOf.get(key);
    const now = pod === undefined || pod.isFinished ? undefined : signatureOf(pod);
    if (before === now) {
      if (now !== undefined && pod !== undefined) this.#groups.get(now)?.members.set(key, pod);
      return false;
    }
    const isGone = before !== undefined && this.#leave(key, before);
    const isNew = now !== undefined && pod !== undefined && this.#join(key, now, pod);
    return isGone || isNew;
  }

  #leave(key: string, signature: string): boolean {
    this.#groupOf.delete(key);
    const group = this.#groups.get(signature);
    group?.members.delete(key);
    if (group === undefined || group.members.size > 0) return false;
    this.#groups.delete(signature);
    const inNamespace = this.#byNamespace.get(group.namespace);
    inNamespace?.delete(signature);
    if (inNamespace?.size === 0) this.#byNamespace.delete(group.namespace);
    return true;
  }

  #join(key: string, signature: string, pod: Pod): boolean {
    this.#groupOf.set(key, signature);
    const known = this.#groups.get(signature);
    if (known !== undefined) {
      known.members.set(key, pod);
      return false;
    }
    const group = { namespace: pod.namespace, members: new Map([[key, pod]]) };
    this.#groups.set(signature, group);
    const inNamespace = this.#byNamespace.get(pod.namespace) ?? new Map<string, Group>();
    this.#byNamespace.set(pod.namespace, inNamespace.set(signature, group));
    return true;
  }
}

/** All that the rules look at. */
function signatureOf(pod: Pod): string {
  const { kind, name, namespace } = ownerOf(pod);
  const labels = Object.entries(pod.labels)
    .filter(([label]) => !HASHES.some((hash) => hash === label))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const skipped = pod.annotations[SKIP_INBOUND_PORTS];
  return JSON.stringify([
    kind,
    namespace,
    name,
    labels,
    pod.ports,
    pod.probes,
    pod.isHostNetwork,
    pod.hasProxy,
    skipped,
  ]);
}

function workloadOf(pod: Pod): Workload {
  return { ...ownerOf(pod), pod, isMeshed: pod.hasProxy, annotations: pod.annotations };
}
