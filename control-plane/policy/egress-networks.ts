import type { IpAddress, Network } from '#model/address.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import {
  judgeEgressNetwork,
  mostSpecificNetwork,
  readEgressNetwork,
  type EgressNetwork,
} from '../dialects/egress-network.ts';
import { byAge } from '../dialects/precedence.ts';

export const EGRESS_NETWORKS = {
  group: 'policy.linkerd.io',
  kind: 'EgressNetwork',
  plural: 'egressnetworks',
  versions: ['v1alpha1'],
} as const;

/** What EgressNetworks depend on besides themselves. */
export type EgressSettings = {
  readonly clusterNetworks: readonly Network[];
  readonly globalEgressNamespace: string;
};

/** EgressNetworks by the clients that they are about. As large as the cluster has of them. */
export class EgressNetworks {
  readonly store = new ResourceStore<CustomObject>();
  readonly settings: EgressSettings;
  /** By namespace, those that can be used, the oldest first. */
  readonly #usable = new Map<string, readonly EgressNetwork[]>();

  constructor(settings: EgressSettings) {
    this.settings = settings;
    this.store.onChange((next, previous) => this.#read((next ?? previous)?.namespace ?? ''));
  }

  /** Told of a namespace in which one has changed. Listeners must not throw; they stay as long as this. */
  onChange(listener: (namespace: string) => void): void {
    this.store.onChange((next, previous) => listener((next ?? previous)?.namespace ?? ''));
  }

  /** Where networks for clients of a namespace may be. @param clientNamespace  absent: not known */
  namespacesFor(clientNamespace: string | undefined): readonly string[] {
    const { globalEgressNamespace } = this.settings;
    return [...new Set([...(clientNamespace === undefined ? [] : [clientNamespace]), globalEgressNamespace])];
  }

  /**
   * Finds what decides about an address outside of the cluster. The global namespace counts for clients in whose own there is no
   * network, not even for other addresses.
   */
  find(address: IpAddress, clientNamespace: string | undefined): EgressNetwork | undefined {
    const own = this.#usable.get(clientNamespace ?? '');
    return mostSpecificNetwork(own ?? this.usable(this.settings.globalEgressNamespace), address);
  }

  /** Those of a namespace that are in effect, the oldest first. */
  usable(namespace: string): readonly EgressNetwork[] {
    return this.#usable.get(namespace) ?? [];
  }

  #read(namespace: string): void {
    const { clusterNetworks } = this.settings;
    const usable = [...this.store.values()]
      .filter((object) => object.namespace === namespace && judgeEgressNetwork(object, clusterNetworks).isAccepted)
      .toSorted(byAge)
      .flatMap((object) => {
        const { value } = readEgressNetwork(object, clusterNetworks);
        return value === undefined ? [] : [{ object, ...value }];
      });
    if (usable.length > 0) this.#usable.set(namespace, usable);
    else this.#usable.delete(namespace);
  }
}
