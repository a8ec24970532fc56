import type { InboundServer } from '#model/inbound.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import type { ResourceStore } from '#k8s/resource-store.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import { inboundServer, type InboundSettings } from './inbound-policy.ts';
import type { PolicyStore } from './policy-store.ts';

/** A workload as proxies name it to us. */
export type Workload = { readonly namespace: string; readonly pod: string };

/** Policies of the ports of pods; absent for a pod that is not there. */
export class InboundIndex {
  readonly #pods: ResourceStore<Pod>;
  readonly #policies: PolicyStore;
  readonly #settings: InboundSettings;
  readonly #values = new DerivedValues<InboundServer | undefined>();

  constructor(pods: ResourceStore<Pod>, policies: PolicyStore, settings: InboundSettings) {
    this.#pods = pods;
    this.#policies = policies;
    this.#settings = settings;
    pods.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      this.#values.touch(keyOf(namespace, name));
    });
    policies.onChange((namespace) => this.#values.touch(namespace));
  }

  get watchedCount(): number {
    return this.#values.size;
  }

  get(workload: Workload, port: number): InboundServer | undefined {
    const pod = this.#pods.get(workload.namespace, workload.pod);
    return pod && inboundServer(pod, port, this.#policies, this.#settings);
  }

  watch(workload: Workload, port: number): Lease<InboundServer | undefined> {
    const topic = keyOf(workload.namespace, workload.pod);
    return this.#values.acquire(`${topic}:${port}`, [topic, workload.namespace], () => this.get(workload, port));
  }

  /** Computes changes now. For tests. */
  flush(): void {
    this.#values.flush();
  }
}
