import { status } from '@grpc/grpc-js';
import type { CallFailure } from '#api/serve-watch.ts';
import { containsAddress, formatAddress, parseAddress, type IpAddress, type Network } from '#model/address.ts';
import { DEFAULT_WEIGHT } from '#model/endpoint.ts';
import type { Backend } from '#model/backend.ts';
import type { OutboundPolicy, OutboundProtocol } from '#model/outbound.ts';
import type { HttpRoute, OpaqueRoute } from '#model/route.ts';
import { hasPort, type PortSet } from '#model/port-set.ts';
import type { ServiceTarget } from '#model/service-target.ts';
import { DerivedValues, type Lease } from '#runtime/derived-values.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import type { ResourceStore } from '#k8s/resource-store.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Service, ServicePort } from '#k8s/resources/service.ts';
import { opaquePortsOfService } from '../dialects/opaque-ports.ts';

/** What policies depend on besides the objects of the cluster. */
export type OutboundSettings = {
  readonly clusterDomain: string;
  readonly clusterNetworks: readonly Network[];
  readonly opaquePorts: PortSet; // of Services without an annotation
};

/** The policy of a target now, or why there is none. */
export type OutboundState =
  | { readonly kind: 'policy'; readonly policy: OutboundPolicy }
  | { readonly kind: 'failed'; readonly failure: CallFailure };

const DETECT_TIMEOUT_MS = 10_000;

/** Policies of what clients connect to, by address or name. Source: linkerd2 `policy-controller`, outbound index. */
export class OutboundIndex {
  readonly #services: ResourceStore<Service>;
  readonly #settings: OutboundSettings;
  readonly #values = new DerivedValues<OutboundState>();
  readonly #servicesByIp = new MultiMap<string, string>();

  constructor(services: ResourceStore<Service>, settings: OutboundSettings) {
    this.#services = services;
    this.#settings = settings;
    services.onChange((next, previous) => this.#indexService(next, previous));
  }

  get watchedCount(): number {
    return this.#values.size;
  }

  watchAddress(address: IpAddress, port: number): Lease<OutboundState> {
    const ip = formatAddress(address);
    return this.#values.acquire(`${ip} ${port}`, [ip], () => this.#ofAddress(address, port));
  }

  watchName(target: ServiceTarget): Lease<OutboundState> {
    const topic = keyOf(target.namespace, target.service);
    return this.#values.acquire(`${topic} ${target.port}`, [topic], () => {
      const service = this.#services.getByKey(topic);
      return service === undefined
        ? failed(status.NOT_FOUND, `Service ${topic} not found`)
        : this.#ofService(service, target.port);
    });
  }

  /** Computes changes now. For tests. */
  flush(): void {
    this.#values.flush();
  }

  #ofAddress(address: IpAddress, port: number): OutboundState {
    const ip = formatAddress(address);
    const [service, other] = [...this.#servicesByIp.get(ip)].map((key) => this.#services.getByKey(key));
    if (other !== undefined) return failed(status.FAILED_PRECONDITION, `more than one Service has the address ${ip}`);
    if (service !== undefined) return this.#ofService(service, port);
    // A pod or a node: the proxy goes by what the profile says.
    if (this.#settings.clusterNetworks.some((block) => containsAddress(block, address))) {
      return failed(status.NOT_FOUND, `${ip} is no address of a Service`);
    }
    const endpoint = { address: ip, port, weight: DEFAULT_WEIGHT, labels: {} };
    const ref = { type: 'default', name: 'egress-fallback' } as const;
    return { kind: 'policy', policy: { ref, protocol: detect({ ref, target: { kind: 'forward', endpoint } }) } };
  }

  #ofService(service: Service, port: number): OutboundState {
    const { namespace, name } = service;
    const ref = { type: 'resource', group: 'core', kind: 'Service', name, namespace, port } as const;
    const declared = service.ports.find((one) => one.port === port && one.protocol === 'TCP');
    if (declared === undefined) {
      return { kind: 'policy', policy: { ref, protocol: { kind: 'opaque', opaque: UNDEFINED_PORT } } };
    }
    const authority = `${name}.${namespace}.svc.${this.#settings.clusterDomain}:${port}`;
    const backend: Backend = { ref, target: { kind: 'balancer', authority } };
    // The profile of an opaque port says so, and linkerd2-proxy panics when the policy disagrees.
    const isOpaque = hasPort(opaquePortsOfService(service, this.#settings.opaquePorts), port);
    return { kind: 'policy', policy: { ref, protocol: isOpaque ? opaque(backend) : protocolOf(declared, backend) } };
  }

  #indexService(next: Service | undefined, previous: Service | undefined): void {
    for (const [service, isCurrent] of [
      [previous, false],
      [next, true],
    ] as const) {
      if (service === undefined) continue;
      const key = keyOf(service.namespace, service.name);
      this.#values.touch(key);
      for (const text of service.clusterIps) {
        const address = parseAddress(text);
        if (address === undefined) continue;
        const ip = formatAddress(address);
        if (isCurrent) this.#servicesByIp.add(ip, key);
        else this.#servicesByIp.delete(ip, key);
        this.#values.touch(ip);
      }
    }
  }
}

/** Where nothing may go. */
const UNDEFINED_PORT: OpaqueRoute = {
  ref: { type: 'default', name: 'undefined-port' },
  filters: [{ kind: 'forbidden' }],
  distribution: { kind: 'empty' },
};

function detect(backend: Backend): OutboundProtocol {
  return { kind: 'detect', timeoutMs: DETECT_TIMEOUT_MS, opaque: opaqueRoute(backend), routes: [httpRoute(backend)] };
}

function opaque(backend: Backend): OutboundProtocol {
  return { kind: 'opaque', opaque: opaqueRoute(backend) };
}

function opaqueRoute(backend: Backend): OpaqueRoute {
  return {
    ref: { type: 'default', name: 'opaq' },
    filters: [],
    distribution: { kind: 'first-available', backends: [{ backend, filters: [] }] },
  };
}

function httpRoute(backend: Backend): HttpRoute {
  return {
    ref: { type: 'default', name: 'http' },
    hosts: [],
    rules: [
      {
        matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }],
        filters: [],
        distribution: { kind: 'first-available', backends: [{ backend, filters: [] }] },
        timeouts: {},
        allowsRequestHeaders: false,
      },
    ],
  };
}

/** Source: Gateway API GEP-1911 and linkerd2, where a protocol that is not known is taken as raw bytes. */
function protocolOf({ appProtocol }: ServicePort, backend: Backend): OutboundProtocol {
  switch (appProtocol) {
    case undefined:
      return detect(backend);
    case 'http':
      return { kind: 'http1', routes: [httpRoute(backend)] };
    case 'kubernetes.io/h2c':
      return { kind: 'http2', routes: [httpRoute(backend)] };
    default:
      return opaque(backend);
  }
}

function failed(code: status, details: string): OutboundState {
  return { kind: 'failed', failure: { code, details } };
}
