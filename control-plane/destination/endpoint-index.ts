import { status } from '@grpc/grpc-js';
import type { CallFailure } from '#api/serve-watch.ts';
import { formatSocketAddress, parseAddress } from '#model/address.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { ServiceTarget } from '#model/service-target.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import type { EndpointSlice, EndpointTarget } from '#k8s/resources/endpoint-slice.ts';
import { keyOf, type Metadata } from '#k8s/resources/metadata.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { ExternalWorkload } from '../dialects/external-workload.ts';
import { externalEndpoint } from './external-endpoint.ts';
import {
  gatewayEndpoint,
  plainEndpoint,
  podEndpoint,
  remoteLabels,
  remoteService,
  type EndpointSettings,
  type RemoteService,
} from './pod-endpoint.ts';
import { selectEndpoints, type Candidate } from './endpoint-selection.ts';
import { PortKinds } from './port-kinds.ts';
import { serviceKey } from './service-slices.ts';
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

type Found = Candidate & {
  readonly port: number;
  readonly requestedPort: number;
  readonly remote?: RemoteService; // the address is a gateway that leads there
};

/** Endpoints of Services, from EndpointSlices and the pods behind them. Source: proxy-api Destination.Get. */
export class EndpointIndex {
  readonly #stores: Stores;
  readonly #settings: EndpointSettings;
  readonly #ports: PortKinds;
  readonly #values = new DerivedValues<EndpointState>();
  readonly #servicesByTarget = new MultiMap<string, string>();

  constructor(stores: Stores, settings: EndpointSettings, ports = new PortKinds(settings.opaquePorts)) {
    this.#stores = stores;
    this.#settings = settings;
    this.#ports = ports;
    ports.onChange((namespace) => this.#values.touch(namespaceTopic(namespace)));
    stores.services.onChange((next, previous) => this.#touch(next ?? previous));
    stores.slices.onChange((next, previous) => this.#indexSlice(next, previous));
    stores.pods.onChange((next, previous) => this.#touchTarget('Pod', next ?? previous));
    stores.externalWorkloads.onChange((next, previous) => this.#touchTarget('ExternalWorkload', next ?? previous));
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
    const topics = [service, namespaceTopic(target.namespace)];
    return this.#values.acquire(key, topics, () => this.#compute(target, consumer));
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
    const zone = this.#zoneOf(consumer.nodeName);
    const selected = selectEndpoints(this.#candidates(service, target.port), {
      isLocalOnly: service.isInternalTrafficLocal,
      ...(target.hostname !== undefined && { hostname: target.hostname }),
      ...(consumer.nodeName !== undefined && { nodeName: consumer.nodeName }),
      ...(zone !== undefined && { zone }),
    });
    for (const candidate of selected) {
      const endpoint = this.#toEndpoint(candidate, consumer);
      endpoints.set(formatSocketAddress(endpoint.address, endpoint.port), endpoint);
    }
    return { kind: 'endpoints', exists: true, endpoints, labels };
  }

  #candidates(service: Service, port: number): readonly Found[] {
    const declared = service.ports.find((one) => one.port === port && one.protocol === 'TCP');
    const candidates: Found[] = [];
    for (const slice of this.#stores.serviceSlices.of(keyOf(service.namespace, service.name))) {
      const targetPort = declared === undefined ? port : portOf(slice, declared.name);
      if (targetPort === undefined) continue;
      const remote = remoteService(slice.annotations);
      for (const endpoint of slice.endpoints) {
        const [address] = endpoint.addresses;
        if (address === undefined || parseAddress(address) === undefined) continue;
        candidates.push({ endpoint, address, port: targetPort, requestedPort: port, ...(remote && { remote }) });
      }
    }
    return candidates;
  }

  #toEndpoint({ endpoint, address, port, requestedPort, remote }: Found, consumer: Consumer): Endpoint {
    const { target } = endpoint;
    if (remote !== undefined && target === undefined)
      return gatewayEndpoint(address, port, requestedPort, remote, this.#settings);
    const endpointZone = endpoint.zone ?? this.#zoneOf(endpoint.nodeName);
    const consumerZone = this.#zoneOf(consumer.nodeName);
    const zones = {
      ...(endpointZone !== undefined && { endpoint: endpointZone }),
      ...(consumerZone !== undefined && { consumer: consumerZone }),
    };
    const workload = target && this.#workload(target);
    if (workload === undefined) return plainEndpoint(address, port, zones);
    const isOpaque = this.#ports.isOpaque(workload, port);
    return 'isExternal' in workload
      ? externalEndpoint(workload, address, port, zones, isOpaque)
      : podEndpoint(workload, address, port, zones, isOpaque, this.#settings);
  }

  #workload({ kind, namespace, name }: EndpointTarget): Pod | ExternalWorkload | undefined {
    return (kind === 'Pod' ? this.#stores.pods : this.#stores.externalWorkloads).get(namespace, name);
  }

  #zoneOf(nodeName: string | undefined): string | undefined {
    return nodeName === undefined ? undefined : this.#stores.nodes.get('', nodeName)?.zone;
  }

  #indexSlice(next: EndpointSlice | undefined, previous: EndpointSlice | undefined): void {
    if (previous !== undefined) {
      for (const target of targetKeys(previous)) this.#servicesByTarget.delete(target, serviceKey(previous));
    }
    for (const slice of [previous, next]) {
      if (slice === undefined) continue;
      // Other slices of the Service may name the same targets.
      for (const sibling of this.#stores.serviceSlices.of(serviceKey(slice))) {
        for (const target of targetKeys(sibling)) this.#servicesByTarget.add(target, serviceKey(slice));
      }
      this.#values.touch(serviceKey(slice));
    }
  }

  #touch(service: Service | undefined): void {
    if (service !== undefined) this.#values.touch(keyOf(service.namespace, service.name));
  }

  #touchTarget(kind: EndpointTarget['kind'], object: Metadata | undefined): void {
    if (object === undefined) return;
    const key = targetKey({ kind, namespace: object.namespace, name: object.name });
    for (const service of this.#servicesByTarget.get(key)) this.#values.touch(service);
  }
}

function targetKeys(slice: EndpointSlice): readonly string[] {
  return slice.endpoints.flatMap(({ target }) => (target === undefined ? [] : [targetKey(target)]));
}

function targetKey({ kind, namespace, name }: EndpointTarget): string {
  return `${kind} ${keyOf(namespace, name)}`;
}

function namespaceTopic(namespace: string): string {
  return `namespace ${namespace}`;
}

/** A Service's port is found in its slices by name; a single unnamed port has the empty name. */
function portOf(slice: EndpointSlice, name: string): number | undefined {
  return slice.ports.find((port) => port.name === name && port.protocol === 'TCP')?.port;
}
