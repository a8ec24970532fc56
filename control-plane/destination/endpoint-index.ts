import { status } from '@grpc/grpc-js';
import type { CallFailure } from '#api/serve-watch.ts';
import { formatSocketAddress, parseAddress } from '#model/address.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { ServiceTarget } from '#model/service-target.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import type { EndpointSlice, SliceEndpoint } from '#k8s/resources/endpoint-slice.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import {
  gatewayEndpoint,
  plainEndpoint,
  podEndpoint,
  remoteLabels,
  remoteService,
  type EndpointSettings,
  type RemoteService,
} from './pod-endpoint.ts';
import type { Stores } from './stores.ts';
import type { Consumer } from './consumer.ts';

/** The endpoints of a target now. */
export type EndpointState =
  | {
      readonly kind: 'endpoints';
      readonly exists: boolean; // there is such a Service
      readonly endpoints: ReadonlyMap<string, Endpoint>; // by address:port
      readonly labels: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'failed'; readonly failure: CallFailure };

type Candidate = {
  readonly endpoint: SliceEndpoint;
  readonly address: string;
  readonly port: number;
  readonly requestedPort: number;
  readonly remote?: RemoteService; // the address is a gateway that leads there
};

/** Endpoints of Services, from EndpointSlices and the pods behind them. Source: proxy-api Destination.Get. */
export class EndpointIndex {
  readonly #stores: Stores;
  readonly #settings: EndpointSettings;
  readonly #values = new DerivedValues<EndpointState>();
  readonly #slicesByService = new MultiMap<string, string>();
  readonly #servicesByPod = new MultiMap<string, string>();

  constructor(stores: Stores, settings: EndpointSettings) {
    this.#stores = stores;
    this.#settings = settings;
    stores.services.onChange((next, previous) => this.#touch(next ?? previous));
    stores.slices.onChange((next, previous) => this.#indexSlice(next, previous));
    stores.pods.onChange((next, previous) => this.#touchPod(next ?? previous));
    stores.nodes.onChange((next, previous) => {
      if (next?.zone !== previous?.zone) this.#values.touchAll();
    });
  }

  /** How many targets are watched. */
  get watchedCount(): number {
    return this.#values.size;
  }

  watch(target: ServiceTarget, consumer: Consumer): Lease<EndpointState> {
    const key = JSON.stringify([target.namespace, target.service, target.hostname, target.port, consumer.nodeName]);
    const service = keyOf(target.namespace, target.service);
    return this.#values.acquire(key, [service], () => this.#compute(target, consumer));
  }

  /** Computes changes now. For tests. */
  flush(): void {
    this.#values.flush();
  }

  #compute(target: ServiceTarget, consumer: Consumer): EndpointState {
    const { service: name, namespace } = target;
    const labels: Record<string, string> = { namespace, service: name };
    const service = this.#stores.services.get(namespace, name);
    if (service === undefined) return { kind: 'endpoints', exists: false, endpoints: new Map(), labels };
    if (service.type === 'ExternalName') {
      const details = `Service ${namespace}/${name} is of type ExternalName`;
      return { kind: 'failed', failure: { code: status.INVALID_ARGUMENT, details } };
    }
    Object.assign(labels, remoteLabels(service));
    const endpoints = new Map<string, Endpoint>();
    for (const candidate of this.#select(service, target, consumer)) {
      const endpoint = this.#toEndpoint(candidate, consumer);
      endpoints.set(formatSocketAddress(endpoint.address, endpoint.port), endpoint);
    }
    return { kind: 'endpoints', exists: true, endpoints, labels };
  }

  /** Those that this consumer should use. */
  #select(service: Service, target: ServiceTarget, consumer: Consumer): readonly Candidate[] {
    const all = this.#candidates(service, target.port).filter(
      ({ endpoint }) => target.hostname === undefined || endpoint.hostname === target.hostname,
    );
    const v4 = all.filter(({ address }) => !address.includes(':'));
    const family = v4.length > 0 ? v4 : all;
    if (service.isInternalTrafficLocal) {
      return family.filter(
        ({ endpoint }) => endpoint.nodeName !== undefined && endpoint.nodeName === consumer.nodeName,
      );
    }
    const zone = this.#zoneOf(consumer.nodeName);
    const isHinted = zone !== undefined && family.every(({ endpoint }) => endpoint.forZones.length > 0);
    if (!isHinted) return family;
    const near = family.filter(({ endpoint }) => endpoint.forZones.includes(zone));
    return near.length > 0 ? near : family;
  }

  #candidates(service: Service, port: number): readonly Candidate[] {
    const declared = service.ports.find((one) => one.port === port && one.protocol === 'TCP');
    const candidates: Candidate[] = [];
    // In one order: an address that moves from slice to slice is in two for a moment.
    for (const key of [...this.#slicesByService.get(keyOf(service.namespace, service.name))].sort()) {
      const slice = this.#stores.slices.getByKey(key);
      if (slice === undefined) continue;
      const targetPort = declared === undefined ? port : portOf(slice, declared.name);
      if (targetPort === undefined) continue;
      const remote = remoteService(slice.annotations);
      for (const endpoint of slice.endpoints) {
        const [address] = endpoint.addresses;
        if (!endpoint.isReady || address === undefined || parseAddress(address) === undefined) continue;
        candidates.push({ endpoint, address, port: targetPort, requestedPort: port, ...(remote && { remote }) });
      }
    }
    return candidates;
  }

  #toEndpoint({ endpoint, address, port, requestedPort, remote }: Candidate, consumer: Consumer): Endpoint {
    if (remote !== undefined && endpoint.pod === undefined)
      return gatewayEndpoint(address, port, requestedPort, remote, this.#settings);
    const endpointZone = endpoint.zone ?? this.#zoneOf(endpoint.nodeName);
    const consumerZone = this.#zoneOf(consumer.nodeName);
    const zones = {
      ...(endpointZone !== undefined && { endpoint: endpointZone }),
      ...(consumerZone !== undefined && { consumer: consumerZone }),
    };
    const pod = endpoint.pod && this.#stores.pods.get(endpoint.pod.namespace, endpoint.pod.name);
    return pod === undefined
      ? plainEndpoint(address, port, zones)
      : podEndpoint(pod, address, port, zones, this.#settings);
  }

  #zoneOf(nodeName: string | undefined): string | undefined {
    return nodeName === undefined ? undefined : this.#stores.nodes.get('', nodeName)?.zone;
  }

  #indexSlice(next: EndpointSlice | undefined, previous: EndpointSlice | undefined): void {
    if (previous !== undefined) {
      this.#slicesByService.delete(serviceKey(previous), keyOf(previous.namespace, previous.name));
      for (const pod of podKeys(previous)) this.#servicesByPod.delete(pod, serviceKey(previous));
    }
    if (next !== undefined) this.#slicesByService.add(serviceKey(next), keyOf(next.namespace, next.name));
    for (const slice of [previous, next]) {
      if (slice === undefined) continue;
      // Other slices of the Service may name the same pods.
      for (const key of this.#slicesByService.get(serviceKey(slice))) {
        const sibling = this.#stores.slices.getByKey(key);
        for (const pod of sibling === undefined ? [] : podKeys(sibling))
          this.#servicesByPod.add(pod, serviceKey(slice));
      }
      this.#values.touch(serviceKey(slice));
    }
  }

  #touch(service: Service | undefined): void {
    if (service !== undefined) this.#values.touch(keyOf(service.namespace, service.name));
  }

  #touchPod(pod: Pod | undefined): void {
    if (pod === undefined) return;
    for (const service of this.#servicesByPod.get(keyOf(pod.namespace, pod.name))) this.#values.touch(service);
  }
}

function serviceKey(slice: EndpointSlice): string {
  return keyOf(slice.namespace, slice.serviceName);
}

function podKeys(slice: EndpointSlice): readonly string[] {
  return slice.endpoints.flatMap(({ pod }) => (pod === undefined ? [] : [keyOf(pod.namespace, pod.name)]));
}

/** A Service's port is found in its slices by name; a single unnamed port has the empty name. */
function portOf(slice: EndpointSlice, name: string): number | undefined {
  return slice.ports.find((port) => port.name === name && port.protocol === 'TCP')?.port;
}
