import { status } from '@grpc/grpc-js';
import type { CallFailure } from '#api/serve-watch.ts';
import { canonicalAddresses, parseAddress } from '#model/address.ts';
import { hasPort } from '#model/port-set.ts';
import { DEFAULT_RETRY_BUDGET, type Profile } from '#model/profile.ts';
import type { ServiceTarget } from '#model/service-target.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import { isOpaqueEgress } from '../dialects/egress-network.ts';
import type { ExternalWorkload } from '../dialects/external-workload.ts';
import { opaquePortsOfService } from '../dialects/opaque-ports.ts';
import { EgressNetworks } from '../policy/egress-networks.ts';
import { TrafficObjects } from '../policy/traffic-objects.ts';
import { selectEndpoints, type Candidate } from './endpoint-selection.ts';
import { externalEndpoint } from './external-endpoint.ts';
import { plainEndpoint, podEndpoint, type EndpointSettings } from './pod-endpoint.ts';
import { PortKinds } from './port-kinds.ts';
import type { Stores } from './stores.ts';
import { addressesOf, WorkloadAddresses, type WorkloadPort } from './workload-addresses.ts';
import type { Consumer } from './consumer.ts';

/** What is known about an address or a name now. */
export type ProfileState =
  | { readonly kind: 'profile'; readonly profile: Profile }
  | { readonly kind: 'failed'; readonly failure: CallFailure };

export type ProfileSettings = EndpointSettings & { readonly clusterDomain: string };

/** A profile that says nothing. For a port that its Service does not declare. */
const EMPTY: Profile = { isOpaque: false };

/** Profiles of Services, pods and other addresses. Source: proxy-api Destination.GetProfile. */
export class ProfileIndex {
  readonly #stores: Stores;
  readonly #settings: ProfileSettings;
  readonly #traffic: TrafficObjects;
  readonly #egress: EgressNetworks;
  readonly #values = new DerivedValues<ProfileState>();
  readonly #servicesByIp = new MultiMap<string, string>();
  readonly #ports: PortKinds;
  readonly #addresses: WorkloadAddresses;

  constructor(
    stores: Stores,
    settings: ProfileSettings,
    traffic = new TrafficObjects(settings.clusterDomain),
    ports = new PortKinds(settings.opaquePorts),
    egress = new EgressNetworks({ clusterNetworks: [], globalEgressNamespace: '' }),
  ) {
    this.#stores = stores;
    this.#ports = ports;
    this.#traffic = traffic;
    this.#egress = egress;
    this.#settings = settings;
    egress.onChange((namespace) => this.#values.touch(egressTopic(namespace)));
    stores.services.onChange((next, previous) => this.#indexService(next, previous));
    traffic.onChange((key) => {
      const service = stores.services.getByKey(key);
      if (service === undefined) return;
      for (const ip of canonicalAddresses(service.clusterIps)) this.#values.touch(ipTopic(ip));
      this.#values.touch(nameTopic(service.namespace, service.name));
    });
    this.#addresses = new WorkloadAddresses(stores, (workload, ips) => this.#touchWorkload(workload, ips));
    ports.onChange((namespace) => {
      const workloads = [...stores.pods.values(), ...stores.externalWorkloads.values()];
      for (const workload of workloads.filter((one) => one.namespace === namespace))
        this.#touchWorkload(workload, addressesOf(workload));
    });
    stores.slices.onChange((next, previous) => {
      for (const slice of [next, previous]) {
        if (slice !== undefined) this.#values.touch(nameTopic(slice.namespace, slice.serviceName));
      }
    });
    stores.nodes.onChange((next, previous) => {
      if (next?.zone !== previous?.zone) this.#values.touchAll();
    });
  }

  get watchedCount(): number {
    return this.#values.size;
  }

  /** @param ip  canonical text of an address */
  watchAddress(ip: string, port: number, consumer: Consumer): Lease<ProfileState> {
    const key = JSON.stringify(['ip', ip, port, consumer.nodeName, consumer.namespace]);
    const topics = [ipTopic(ip), ...this.#egress.namespacesFor(consumer.namespace).map(egressTopic)];
    return this.#values.acquire(key, topics, () => this.#ofAddress(ip, port, consumer));
  }

  watchName(target: ServiceTarget, consumer: Consumer): Lease<ProfileState> {
    const { namespace, service, hostname, port } = target;
    const key = JSON.stringify(['name', namespace, service, hostname, port, consumer.nodeName, consumer.namespace]);
    const topics = [nameTopic(namespace, service), ...(hostname === undefined ? [] : [instancesTopic(namespace)])];
    return this.#values.acquire(key, topics, () => this.#ofName(target, consumer));
  }

  /** Computes changes now. For tests. */
  flush(): void {
    this.#values.flush();
  }

  #ofAddress(ip: string, port: number, consumer: Consumer): ProfileState {
    const [service, other] = [...this.#servicesByIp.get(ip)].map((key) => this.#stores.services.getByKey(key));
    if (other !== undefined) return failed(status.FAILED_PRECONDITION, `more than one Service has the address ${ip}`);
    if (service !== undefined) return this.#ofService(service, port, consumer);
    const found = this.#addresses.find(ip, port);
    if (found !== undefined) return this.#ofWorkload(found, consumer);
    const address = parseAddress(ip);
    const network = address && this.#egress.find(address, consumer.namespace);
    // The outbound policy of the address says the same.
    const isOpaque = network && isOpaqueEgress(network, port, this.#settings.opaquePorts);
    return this.#ofUnknown(ip, port, isOpaque);
  }

  #ofUnknown(ip: string, port: number, isOpaque = hasPort(this.#settings.opaquePorts, port)): ProfileState {
    return profile({ isOpaque, endpoint: plainEndpoint(ip, port), retryBudget: DEFAULT_RETRY_BUDGET });
  }

  #ofName(target: ServiceTarget, consumer: Consumer): ProfileState {
    const service = this.#stores.services.get(target.namespace, target.service);
    if (service === undefined) {
      return failed(status.NOT_FOUND, `Service ${target.namespace}/${target.service} not found`);
    }
    if (target.hostname === undefined) return this.#ofService(service, target.port, consumer);
    const { hostname, port } = target;
    const [instance] = selectEndpoints(this.#instances(service), { hostname, isLocalOnly: false });
    if (instance === undefined)
      return failed(status.NOT_FOUND, `${hostname} is no instance of Service ${service.namespace}/${service.name}`);
    const { endpoint, address } = instance;
    const workload =
      endpoint.target &&
      this.#stores[STORE_OF[endpoint.target.kind]].get(endpoint.target.namespace, endpoint.target.name);
    return workload === undefined
      ? this.#ofUnknown(address, port)
      : this.#ofWorkload({ workload, ip: address, port }, consumer);
  }

  #instances(service: Service): readonly Candidate[] {
    return this.#stores.serviceSlices
      .of(keyOf(service.namespace, service.name))
      .flatMap((slice) =>
        slice.endpoints.flatMap((endpoint) =>
          canonicalAddresses(endpoint.addresses.slice(0, 1)).map((address) => ({ endpoint, address })),
        ),
      );
  }

  #ofService(service: Service, port: number, consumer: Consumer): ProfileState {
    const { namespace, name } = service;
    const declared = service.ports.find((one) => one.port === port);
    if (declared === undefined) return profile(EMPTY);
    const parent = { type: 'resource', group: 'core', kind: 'Service', name, namespace, port } as const;
    return profile({
      fullyQualifiedName: `${name}.${namespace}.svc.${this.#settings.clusterDomain}`,
      isOpaque: hasPort(opaquePortsOfService(service, this.#settings.opaquePorts), port),
      retryBudget: DEFAULT_RETRY_BUDGET,
      parent,
      ...this.#traffic.ofService(namespace, name, port, consumer.namespace),
    });
  }

  #ofWorkload({ workload, ip, port }: WorkloadPort, consumer: Consumer): ProfileState {
    const zone = (nodeName: string | undefined): string | undefined =>
      nodeName === undefined ? undefined : this.#stores.nodes.get('', nodeName)?.zone;
    const endpointZone = 'isExternal' in workload ? workload.zone : zone(workload.nodeName);
    const consumerZone = zone(consumer.nodeName);
    const zones = {
      ...(endpointZone !== undefined && { endpoint: endpointZone }),
      ...(consumerZone !== undefined && { consumer: consumerZone }),
    };
    const isOpaque = this.#ports.isOpaque(workload, port);
    const endpoint =
      'isExternal' in workload
        ? externalEndpoint(workload, ip, port, zones, isOpaque)
        : podEndpoint(workload, ip, port, zones, isOpaque, this.#settings);
    return profile({
      isOpaque,
      endpoint: { ...endpoint, labels: { ...endpoint.labels, namespace: workload.namespace } },
      retryBudget: DEFAULT_RETRY_BUDGET,
    });
  }

  #indexService(next: Service | undefined, previous: Service | undefined): void {
    for (const ip of canonicalAddresses(previous?.clusterIps ?? [])) {
      this.#servicesByIp.delete(ip, keyOf(previous?.namespace ?? '', previous?.name ?? ''));
      this.#values.touch(ipTopic(ip));
    }
    for (const ip of canonicalAddresses(next?.clusterIps ?? [])) {
      this.#servicesByIp.add(ip, keyOf(next?.namespace ?? '', next?.name ?? ''));
      this.#values.touch(ipTopic(ip));
    }
    const { namespace = '', name = '' } = next ?? previous ?? {};
    this.#values.touch(nameTopic(namespace, name));
  }

  #touchWorkload({ namespace }: Pod | ExternalWorkload, ips: readonly string[]): void {
    for (const ip of ips) this.#values.touch(ipTopic(ip));
    this.#values.touch(instancesTopic(namespace));
  }
}

/** In which store the targets of endpoints are. */
const STORE_OF = { Pod: 'pods', ExternalWorkload: 'externalWorkloads' } as const;

function profile(value: Profile): ProfileState {
  return { kind: 'profile', profile: value };
}

function failed(code: status, details: string): ProfileState {
  return { kind: 'failed', failure: { code, details } };
}

function ipTopic(ip: string): string {
  return `ip ${ip}`;
}

function egressTopic(namespace: string): string {
  return `egress ${namespace}`;
}

function nameTopic(namespace: string, service: string): string {
  return `name ${keyOf(namespace, service)}`;
}

/** Pods and external workloads that names of instances may lead to. */
function instancesTopic(namespace: string): string {
  return `instances ${namespace}`;
}
