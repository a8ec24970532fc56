import { MultiMap } from '#runtime/multi-map.ts';
import type { ResourceStore } from '#k8s/resource-store.ts';
import type { EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import { keyOf } from '#k8s/resources/metadata.ts';

/** EndpointSlices by the Service that they are of. As large as the cluster has slices. */
export class ServiceSlices {
  readonly #slices: ResourceStore<EndpointSlice>;
  readonly #byService = new MultiMap<string, string>();

  constructor(slices: ResourceStore<EndpointSlice>) {
    this.#slices = slices;
    slices.onChange((next, previous) => {
      if (previous !== undefined)
        this.#byService.delete(serviceKey(previous), keyOf(previous.namespace, previous.name));
      if (next !== undefined) this.#byService.add(serviceKey(next), keyOf(next.namespace, next.name));
    });
  }

  /** In one order, whatever came first: an address that moves from slice to slice is in two for a moment. */
  of(key: string): readonly EndpointSlice[] {
    return [...this.#byService.get(key)].sort().flatMap((slice) => this.#slices.getByKey(slice) ?? []);
  }
}

/** `namespace/name` of the Service that a slice is of. */
export function serviceKey(slice: EndpointSlice): string {
  return keyOf(slice.namespace, slice.serviceName);
}
