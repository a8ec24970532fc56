import { isIPv4 } from 'node:net';

import type { LocalClient } from '../apiserver/local-client.ts';
import { isJsonObject, type JsonObject, type KubeObject } from '../apiserver/object.ts';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** What the network needs to know of a Service. Source: core/v1 `ServiceSpec`. */
export type ServiceView = {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIP?: string; // absent if headless or an external name
  readonly externalName?: string;
  readonly externalIPs: readonly string[]; // IPv4
  readonly isLoadBalancer: boolean;
  readonly ports: readonly ServicePort[];
};
export type ServicePort = {
  readonly name: string; // '' for the only port of a Service
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort?: number;
};

/** An address that serves a Service now. `ports` are by the names of the Service's ports. */
export type EndpointView = {
  readonly address: string;
  readonly hostname?: string;
  readonly ports: readonly ServicePort[];
};

type SliceView = {
  readonly service: string; // namespace/name
  readonly isIPv4: boolean;
  readonly endpoints: readonly SliceEndpoint[];
  readonly ports: readonly ServicePort[];
};
type SliceEndpoint = {
  readonly address: string;
  readonly hostname?: string;
  readonly isReady: boolean;
  readonly isServingToTheEnd: boolean; // terminating, but still answering
};

const SERVICE_NAME = 'kubernetes.io/service-name';
const PORT_MAX = 65_535;

/** Services and who serves them, from the API. Bad fields of an object are left out, never thrown about. */
export class ServiceIndex implements Disposable {
  readonly #services = new Map<string, ServiceView>();
  readonly #slices = new Map<string, SliceView>();
  readonly #slicesOf = new Map<string, Set<string>>(); // namespace/name of the Service -> keys of slices
  readonly #listeners = new Set<() => void>();
  readonly #watches: readonly Disposable[];

  constructor(client: Pick<LocalClient, 'watch'>) {
    this.#watches = [
      client.watch('services', {
        apply: (object) => this.#change(() => this.#services.set(keyOf(object), readService(object))),
        delete: (object) => this.#change(() => this.#services.delete(keyOf(object))),
      }),
      client.watch('endpointslices.discovery.k8s.io', {
        apply: (object) => this.#change(() => this.#setSlice(keyOf(object), readSlice(object))),
        delete: (object) => this.#change(() => this.#setSlice(keyOf(object), undefined)),
      }),
    ];
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#listeners.clear();
  }

  /** Calls `listener` synchronously after every change. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  services(): Iterable<ServiceView> {
    return this.#services.values();
  }

  service(namespace: string, name: string): ServiceView | undefined {
    return this.#services.get(`${namespace}/${name}`);
  }

  /**
   * Who serves a Service: what is ready, or else what is shutting down but still answers. Sorted, each address once
   * with all its ports. Source: kube-proxy's choice of endpoints.
   */
  endpoints(namespace: string, name: string): EndpointView[] {
    const slices = [...(this.#slicesOf.get(`${namespace}/${name}`) ?? [])]
      .map((key) => this.#slices.get(key))
      .filter((slice) => slice?.isIPv4 === true);
    const ready = joined(slices, (endpoint) => endpoint.isReady);
    return ready.length > 0 ? ready : joined(slices, (endpoint) => endpoint.isServingToTheEnd);
  }

  #setSlice(key: string, slice: SliceView | undefined): void {
    const before = this.#slices.get(key);
    if (before !== undefined) {
      const keys = this.#slicesOf.get(before.service);
      keys?.delete(key);
      if (keys?.size === 0) this.#slicesOf.delete(before.service);
    }
    if (slice === undefined) {
      this.#slices.delete(key);
      return;
    }
    this.#slices.set(key, slice);
    const keys = this.#slicesOf.get(slice.service);
    if (keys === undefined) this.#slicesOf.set(slice.service, new Set([key]));
    else keys.add(key);
  }

  #change(apply: () => unknown): void {
    apply();
    for (const listener of this.#listeners) listener();
  }
}

function joined(
  slices: readonly (SliceView | undefined)[],
  isWanted: (endpoint: SliceEndpoint) => boolean,
): EndpointView[] {
  const byAddress = new Map<string, EndpointView>();
  for (const slice of slices) {
    for (const { address, hostname } of slice?.endpoints.filter(isWanted) ?? []) {
      const before = byAddress.get(address);
      const ports = [...(before?.ports ?? []), ...(slice?.ports ?? [])];
      const name = hostname ?? before?.hostname;
      byAddress.set(address, { address, ports, ...(name === undefined ? {} : { hostname: name }) });
    }
  }
  return [...byAddress.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

function readService(object: KubeObject): ServiceView {
  const { name, namespace = '' } = object.metadata;
  const spec = isJsonObject(object['spec']) ? object['spec'] : {};
  const { clusterIP, externalName, externalIPs, type } = spec;
  return {
    name,
    namespace,
    externalIPs: (Array.isArray(externalIPs) ? externalIPs : []).filter(
      (address): address is string => typeof address === 'string' && isIPv4(address),
    ),
    ...(typeof clusterIP === 'string' && isIPv4(clusterIP) ? { clusterIP } : {}),
    ...(type === 'ExternalName' && typeof externalName === 'string' ? { externalName } : {}),
    isLoadBalancer: type === 'LoadBalancer',
    ports: readPorts(spec['ports']),
  };
}

function readSlice(object: KubeObject): SliceView {
  const { namespace = '', labels } = object.metadata;
  return {
    service: `${namespace}/${labels?.[SERVICE_NAME] ?? ''}`,
    isIPv4: object['addressType'] === 'IPv4',
    endpoints: objects(object['endpoints']).flatMap(readEndpoint),
    ports: readPorts(object['ports']),
  };
}

/** Conditions that are absent mean ready and serving. Only the first address counts (discovery/v1). */
function readEndpoint(endpoint: JsonObject): SliceEndpoint[] {
  const address: unknown = Array.isArray(endpoint['addresses']) ? endpoint['addresses'][0] : undefined;
  if (typeof address !== 'string' || !isIPv4(address)) return [];
  const conditions = isJsonObject(endpoint['conditions']) ? endpoint['conditions'] : {};
  const isReady = conditions['ready'] !== false;
  const isServing = typeof conditions['serving'] === 'boolean' ? conditions['serving'] : isReady;
  const { hostname } = endpoint;
  return [
    {
      address,
      isReady,
      isServingToTheEnd: isServing && conditions['terminating'] === true,
      ...(typeof hostname === 'string' && hostname !== '' ? { hostname } : {}),
    },
  ];
}

function readPorts(ports: unknown): ServicePort[] {
  return objects(ports).flatMap(({ name, port, protocol, nodePort }) => {
    if (!isPort(port)) return [];
    return [
      {
        name: typeof name === 'string' ? name : '',
        port,
        protocol: protocol === 'UDP' || protocol === 'SCTP' ? protocol : 'TCP',
        ...(isPort(nodePort) ? { nodePort } : {}),
      },
    ];
  });
}

function objects(list: unknown): JsonObject[] {
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= PORT_MAX;
}
