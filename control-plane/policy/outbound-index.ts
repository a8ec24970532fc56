import { status } from '@grpc/grpc-js';
import type { CallFailure } from '#api/serve-watch.ts';
import {
  canonicalAddresses,
  containsAddress,
  formatAddress,
  formatSocketAddress,
  type IpAddress,
  type Network,
} from '#model/address.ts';
import type { Backend } from '#model/backend.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { hasPort, type PortSet } from '#model/port-set.ts';
import type { ServiceTarget } from '#model/service-target.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import type { ResourceStore } from '#k8s/resource-store.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Service } from '#k8s/resources/service.ts';
import { isOpaqueEgress, type EgressNetwork } from '../dialects/egress-network.ts';
import { opaquePortsOfService } from '../dialects/opaque-ports.ts';
import { egressRoutes, plainProtocol, serviceRoutes, UNDEFINED_PORT } from './built-in-routes.ts';
import { EgressNetworks } from './egress-networks.ts';
import { RouteIndex } from './route-index.ts';
import { DETECT_TIMEOUT_MS, targetProtocol } from './target-protocol.ts';

/** Of an address that is the only one: there is nothing to share with. Source: linkerd2 `policy-controller`. */
const FORWARD_WEIGHT = 1;

/** What policies depend on besides the objects of the cluster. */
export type OutboundSettings = {
  readonly clusterDomain: string;
  readonly clusterNetworks: readonly Network[];
  readonly opaquePorts: PortSet; // of Services without an annotation
  readonly allowsRequestHeaders: boolean; // requests on routes may override timeouts and retries
  readonly globalEgressNamespace: string; // of EgressNetworks for namespaces without one
};

/** The policy of a target now, or why there is none. */
export type OutboundState =
  | { readonly kind: 'policy'; readonly policy: OutboundPolicy }
  | { readonly kind: 'failed'; readonly failure: CallFailure };

/** Policies of what clients connect to, by address or name. Source: linkerd2 `policy-controller`, outbound index. */
export class OutboundIndex {
  readonly #services: ResourceStore<Service>;
  readonly #settings: OutboundSettings;
  readonly #routes: RouteIndex;
  readonly #egress: EgressNetworks;
  readonly #values = new DerivedValues<OutboundState>();
  readonly #servicesByIp = new MultiMap<string, string>();

  /** @param routes  of the same Services */
  constructor(
    services: ResourceStore<Service>,
    settings: OutboundSettings,
    routes = new RouteIndex(services),
    egress = new EgressNetworks(settings),
  ) {
    this.#services = services;
    this.#routes = routes;
    this.#egress = egress;
    this.#settings = settings;
    services.onChange((next, previous) => this.#indexService(next, previous));
    routes.onChange(({ kind, namespace, name }) => {
      const key = keyOf(namespace, name);
      if (kind === 'Service') this.#touch(key, this.#services.getByKey(key));
      else this.#values.touch(egressTopic(namespace));
    });
    egress.onChange((namespace) => this.#values.touch(egressTopic(namespace)));
  }

  get watchedCount(): number {
    return this.#values.size;
  }

  /** @param clientNamespace  of the workload that asks; absent: not known */
  watchAddress(address: IpAddress, port: number, clientNamespace?: string): Lease<OutboundState> {
    const ip = formatAddress(address);
    const key = JSON.stringify([ip, port, clientNamespace]);
    const topics = [ip, ...this.#egress.namespacesFor(clientNamespace).map(egressTopic)];
    return this.#values.acquire(key, topics, () => this.#ofAddress(address, port, clientNamespace));
  }

  /** Of an instance of a headless Service there is none: what its profile says counts. */
  watchName(target: ServiceTarget, clientNamespace?: string): Lease<OutboundState> {
    const topic = keyOf(target.namespace, target.service);
    const key = JSON.stringify([topic, target.hostname, target.port, clientNamespace]);
    return this.#values.acquire(key, [topic], () => {
      if (target.hostname !== undefined)
        return failed(status.NOT_FOUND, `${target.hostname}.${topic} is an instance, not a Service`);
      const service = this.#services.getByKey(topic);
      return service === undefined
        ? failed(status.NOT_FOUND, `Service ${topic} not found`)
        : this.#ofService(service, target.port, clientNamespace);
    });
  }

  /** Computes changes now. For tests. */
  flush(): void {
    this.#values.flush();
  }

  #ofAddress(address: IpAddress, port: number, clientNamespace: string | undefined): OutboundState {
    const ip = formatAddress(address);
    const [service, other] = [...this.#servicesByIp.get(ip)].map((key) => this.#services.getByKey(key));
    if (other !== undefined) return failed(status.FAILED_PRECONDITION, `more than one Service has the address ${ip}`);
    if (service !== undefined) return this.#ofService(service, port, clientNamespace);
    const network = this.#egress.find(address, clientNamespace);
    if (network !== undefined) return this.#ofEgress(network, ip, port, clientNamespace);
    // A pod or a node: the proxy goes by what the profile says.
    if (this.#settings.clusterNetworks.some((block) => containsAddress(block, address))) {
      return failed(status.NOT_FOUND, `${ip} is no address of a Service`);
    }
    const endpoint = { address: ip, port, weight: FORWARD_WEIGHT, labels: {} };
    const ref = { type: 'default', name: 'egress-fallback' } as const;
    return {
      kind: 'policy',
      policy: { ref, protocol: plainProtocol({ ref, target: { kind: 'forward', endpoint } }, DETECT_TIMEOUT_MS) },
    };
  }

  #ofEgress(network: EgressNetwork, ip: string, port: number, clientNamespace: string | undefined): OutboundState {
    const { namespace, name, annotations, group, kind } = network.object;
    const { clusterDomain, opaquePorts, allowsRequestHeaders } = this.#settings;
    const ref = { type: 'resource', group, kind, name, namespace, port } as const;
    const endpoint = { address: ip, port, weight: FORWARD_WEIGHT, labels: {} };
    const parent: Backend = { ref, target: { kind: 'forward', endpoint } };
    const target = `${kind} ${namespace}/${name}`;
    const remedy = 'to allow it, name the EgressNetwork as parent of an HTTPRoute or GRPCRoute';
    const denial = network.isAllowed ? undefined : `${target} denies ${formatSocketAddress(ip, port)}: ${remedy}`;
    const protocol = targetProtocol({
      namespace,
      annotations,
      isOpaque: isOpaqueEgress(network, port, opaquePorts),
      routes: this.#routes.attachedToEgress(network.object, port),
      clientNamespace,
      context: { parent, clusterDomain, allowsRequestHeaders, serviceOf: (ns, one) => this.#services.get(ns, one) },
      builtIn: (read) => egressRoutes(parent, read, denial),
    });
    return { kind: 'policy', policy: { ref, protocol } };
  }

  #ofService(service: Service, portNumber: number, clientNamespace: string | undefined): OutboundState {
    const { namespace, name } = service;
    const { clusterDomain, opaquePorts, allowsRequestHeaders } = this.#settings;
    const ref = { type: 'resource', group: 'core', kind: 'Service', name, namespace, port: portNumber } as const;
    const port = service.ports.find((one) => one.port === portNumber && one.protocol === 'TCP');
    if (port === undefined) {
      return { kind: 'policy', policy: { ref, protocol: { kind: 'opaque', opaque: UNDEFINED_PORT } } };
    }
    const authority = `${name}.${namespace}.svc.${clusterDomain}:${portNumber}`;
    const parent: Backend = { ref, target: { kind: 'balancer', authority } };
    const protocol = targetProtocol({
      namespace,
      annotations: service.annotations,
      ...(port.appProtocol !== undefined && { appProtocol: port.appProtocol }),
      isOpaque: hasPort(opaquePortsOfService(service, opaquePorts), portNumber),
      routes: this.#routes.attached(service, port),
      clientNamespace,
      context: { parent, clusterDomain, allowsRequestHeaders, serviceOf: (ns, one) => this.#services.get(ns, one) },
      builtIn: (read) => serviceRoutes(parent, read),
    });
    return { kind: 'policy', policy: { ref, protocol } };
  }

  #indexService(next: Service | undefined, previous: Service | undefined): void {
    for (const [service, isCurrent] of [
      [previous, false],
      [next, true],
    ] as const) {
      if (service === undefined) continue;
      const key = keyOf(service.namespace, service.name);
      for (const ip of addressesOf(service)) {
        if (isCurrent) this.#servicesByIp.add(ip, key);
        else this.#servicesByIp.delete(ip, key);
      }
      this.#touch(key, service);
    }
  }

  #touch(key: string, service: Service | undefined): void {
    this.#values.touch(key);
    for (const ip of addressesOf(service)) this.#values.touch(ip);
  }
}

function addressesOf(service: Service | undefined): readonly string[] {
  return canonicalAddresses(service?.clusterIps ?? []);
}

function egressTopic(namespace: string): string {
  return `egress ${namespace}`;
}

function failed(code: status, details: string): OutboundState {
  return { kind: 'failed', failure: { code, details } };
}
