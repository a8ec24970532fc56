import type { EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import type { KubeNode } from '#k8s/resources/node.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import type { ExternalWorkload } from '../dialects/external-workload.ts';
import { ServiceSlices } from './service-slices.ts';

/** The objects of the cluster that discovery is made of. */
export type Stores = {
  readonly services: ResourceStore<Service>;
  readonly slices: ResourceStore<EndpointSlice>;
  readonly serviceSlices: ServiceSlices;
  readonly pods: ResourceStore<Pod>;
  readonly nodes: ResourceStore<KubeNode>;
  readonly externalWorkloads: ResourceStore<ExternalWorkload>;
};

export function createStores(): Stores {
  const slices = new ResourceStore<EndpointSlice>();
  return {
    services: new ResourceStore(),
    slices,
    serviceSlices: new ServiceSlices(slices),
    pods: new ResourceStore(),
    nodes: new ResourceStore(),
    externalWorkloads: new ResourceStore(),
  };
}
