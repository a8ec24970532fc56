import type { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { PortSet } from '#model/port-set.ts';
import type { Subject } from '../diagnosis/diagnosis.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import type { EgressNetworks } from '../policy/egress-networks.ts';
import type { OutboundIndex, OutboundSettings } from '../policy/outbound-index.ts';
import type { PolicyStore } from '../policy/policy-store.ts';
import type { RouteIndex } from '../policy/route-index.ts';
import type { TrafficObjects } from '../policy/traffic-objects.ts';
import type { ServiceAccounts } from './service-accounts.ts';

/** What objects are read with. */
export type ConfigurationContext = { readonly policy: PolicyContext; readonly clusterDomain: string };

/** What objects are read with where nothing that runs has read them already. */
export type ClusterContext = ConfigurationContext & {
  readonly opaquePorts: PortSet; // of Services without an annotation
  readonly globalEgressNamespace: string; // of EgressNetworks for namespaces without one
};

/** What the policies of clients are made with. */
export function outboundSettings(context: ClusterContext): OutboundSettings {
  const { clusterDomain, policy, opaquePorts, globalEgressNamespace } = context;
  const { clusterNetworks } = policy;
  return { clusterDomain, clusterNetworks, opaquePorts, globalEgressNamespace, allowsRequestHeaders: false };
}

/** Pods that run, or that a workload makes. */
export type Workload = Subject & {
  readonly pod: Pod; // with what it inherits from its namespace
  readonly isMeshed: boolean;
  readonly annotations: Pod['annotations']; // its own, as they were given
};

/** What the rules look at: of files, of a cluster that was listed, or of a control plane that runs. */
export type Configuration = {
  readonly context: ConfigurationContext;
  readonly services: ResourceStore<Service>;
  readonly routes: RouteIndex;
  readonly policies: PolicyStore;
  readonly traffic: TrafficObjects;
  readonly egress: EgressNetworks;
  readonly outbound: OutboundIndex; // of these Services, routes and EgressNetworks
  /** Objects of the kinds that the control plane reads. */
  readonly custom: readonly CustomObject[];
  readonly workloadsIn: (namespace: string) => readonly Workload[];
  readonly serviceAccounts: Pick<ServiceAccounts, 'has' | 'hasNamespace'>;
  /** Whether there is such a Gateway; undefined where nobody knows. */
  readonly hasGateway: (namespace: string, name: string) => boolean | undefined;
};
