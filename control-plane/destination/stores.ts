import type { EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import type { KubeNode } from '#k8s/resources/node.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import { ResourceStore } from '#k8s/resource-store.ts';

/** The objects of the cluster that discovery is made of. */
export type Stores = {
  readonly services: ResourceStore<Service>;
  readonly slices: ResourceStore<EndpointSlice>;
  readonly pods: ResourceStore<Pod>;
  readonly nodes: ResourceStore<KubeNode>;
};

export function createStores(): Stores {
  return {
    services: new ResourceStore(),
    slices: new ResourceStore(),
    pods: new ResourceStore(),
    nodes: new ResourceStore(),
  };
}
