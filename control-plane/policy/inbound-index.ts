import type { InboundServer } from '#model/inbound.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import type { ResourceStore } from '#k8s/resource-store.ts';
import { keyOf, type Metadata } from '#k8s/resources/metadata.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { ExternalWorkload } from '../dialects/external-workload.ts';
import { inboundServer, type InboundSettings } from './inbound-policy.ts';
import type { PolicyStore } from './policy-store.ts';

/** A workload as proxies name it to us. */
export type WorkloadRef = {
  readonly kind: 'pod' | 'external-workload';
  readonly namespace: string;
  readonly name: string;
};

/** Where workloads are looked up. */
export type Workloads = {
  readonly pods: ResourceStore<Pod>;
  readonly externalWorkloads: ResourceStore<ExternalWorkload>;
};

/** Policies of the ports of workloads; absent for one that is not there. */
export class InboundIndex {
  readonly #workloads: Workloads;
  readonly #policies: PolicyStore;
  readonly #settings: InboundSettings;
  readonly #values = new DerivedValues<InboundServer | undefined>();

  constructor(workloads: Workloads, policies: PolicyStore, settings: InboundSettings) {
    this.#workloads = workloads;
    this.#policies = policies;
    this.#settings = settings;
    const touch =
      (kind: WorkloadRef['kind']) =>
      (next: Metadata | undefined, previous: Metadata | undefined): void => {
        const { namespace = '', name = '' } = next ?? previous ?? {};
        this.#values.touch(topicOf({ kind, namespace, name }));
      };
    workloads.pods.onChange(touch('pod'));
    workloads.externalWorkloads.onChange(touch('external-workload'));
    policies.onChange((namespace) => this.#values.touch(namespace));
  }

  get watchedCount(): number {
    return this.#values.size;
  }

  get({ kind, namespace, name }: WorkloadRef, port: number): InboundServer | undefined {
    const store = kind === 'pod' ? this.#workloads.pods : this.#workloads.externalWorkloads;
    const workload = store.get(namespace, name);
    return workload && inboundServer(workload, port, this.#policies, this.#settings);
  }

  watch(ref: WorkloadRef, port: number): Lease<InboundServer | undefined> {
    const topic = topicOf(ref);
    return this.#values.acquire(`${topic}:${port}`, [topic, ref.namespace], () => this.get(ref, port));
  }

  /** Computes changes now. For tests. */
  flush(): void {
    this.#values.flush();
  }
}

function topicOf({ kind, namespace, name }: WorkloadRef): string {
  return `${kind} ${keyOf(namespace, name)}`;
}
