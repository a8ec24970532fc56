import { isJsonObject, type JsonObject } from './object.ts';
import { resourceKey } from './registry.ts';
import { internalError, invalid } from './status-error.ts';
import type { Store } from './store.ts';
import type { Mutator } from './admission.ts';

const HOST_MAX = 65_534;
/** The low part is left to addresses that people choose: the first is the API, the tenth the DNS. */
const DYNAMIC_HOST_MIN = 257;
const NODE_PORT_MIN = 30_000;
const NODE_PORT_MAX = 32_767;

/** Gives Services their cluster IP and node ports. What is taken is read from the Services themselves. */
export class ServiceAllocator {
  readonly #store: Store;
  readonly #network: string;
  #nextHost = DYNAMIC_HOST_MIN;
  #nextNodePort = NODE_PORT_MIN;

  /** @param network  first two numbers of the /16 of cluster IPs */
  constructor(store: Store, network: string) {
    this.#store = store;
    this.#network = network;
  }

  readonly mutate: Mutator = ({ operation, type, object, current, subresource }) => {
    if (resourceKey(type) !== 'services' || subresource !== undefined) return object;
    if (operation !== 'CREATE' && operation !== 'UPDATE') return object;
    const spec = isJsonObject(object['spec']) ? object['spec'] : {};
    const name = isJsonObject(object['metadata']) ? text(object['metadata']['name']) : '';
    const before = isJsonObject(current?.['spec']) ? current['spec'] : {};
    return { ...object, spec: this.#withNodePorts(this.#withAddress(spec, before, name, type), before) };
  };

  #withAddress(spec: JsonObject, before: JsonObject, name: string, type: Parameters<typeof invalid>[0]): JsonObject {
    if (spec['type'] === 'ExternalName') {
      const { clusterIP: _clusterIP, clusterIPs: _clusterIPs, ...rest } = spec;
      return rest;
    }
    const list = Array.isArray(spec['clusterIPs']) ? spec['clusterIPs'] : [];
    const asked = text(spec['clusterIP']) || text(list[0]) || text(before['clusterIP']);
    if (asked === '') return withClusterIp(spec, this.#freeAddress());
    if (asked !== 'None' && asked !== before['clusterIP']) this.#checkAddress(asked, name, type);
    return withClusterIp(spec, asked);
  }

  #checkAddress(address: string, name: string, type: Parameters<typeof invalid>[0]): void {
    const [a, b, c, d] = address.split('.').map(Number);
    const isInRange = /^\d+\.\d+\.\d+\.\d+$/.test(address) && `${a}.${b}` === this.#network;
    const host = (c ?? 256) * 256 + (d ?? 256);
    const fail = (why: string): never => {
      const message = `Invalid value: []string{${JSON.stringify(address)}}: failed to allocate IP ${address}: ${why}`;
      throw invalid(type, name, [{ reason: 'FieldValueInvalid', message, field: 'spec.clusterIPs' }]);
    };
    if (!isInRange || (c ?? 256) > 255 || (d ?? 256) > 255 || host < 1 || host > HOST_MAX) {
      fail(`the provided IP (${address}) is not in the valid range. The range of valid IPs is ${this.#network}.0.0/16`);
    }
    if (this.#takenAddresses().has(address)) fail('provided IP is already allocated');
  }

  /** Goes round the range, so that an address is not used again soon after its Service is gone. */
  #freeAddress(): string {
    const taken = this.#takenAddresses();
    for (let tries = DYNAMIC_HOST_MIN; tries <= HOST_MAX; tries += 1) {
      const host = this.#nextHost;
      this.#nextHost = host >= HOST_MAX ? DYNAMIC_HOST_MIN : host + 1;
      const address = `${this.#network}.${host >> 8}.${host & 0xff}`;
      if (!taken.has(address)) return address;
    }
    throw internalError('failed to allocate a serviceIP: range is full');
  }

  #takenAddresses(): Set<unknown> {
    return new Set(this.#specs().map((spec) => spec['clusterIP']));
  }

  #specs(): JsonObject[] {
    return this.#store.list('services').map((service) => (isJsonObject(service['spec']) ? service['spec'] : {}));
  }

  #withNodePorts(spec: JsonObject, before: JsonObject): JsonObject {
    const { type, ports } = spec;
    if ((type !== 'NodePort' && type !== 'LoadBalancer') || !Array.isArray(ports)) return spec;
    const old = portsOf(before);
    const assigned = portsOf(spec).map((port) => {
      if (typeof port['nodePort'] === 'number' && port['nodePort'] !== 0) return port;
      const same = old.find((one) => one['port'] === port['port'] && one['protocol'] === port['protocol']);
      return { ...port, nodePort: same?.['nodePort'] ?? this.#freeNodePort() };
    });
    return { ...spec, ports: assigned };
  }

  #freeNodePort(): number {
    const taken = new Set(this.#specs().flatMap((spec) => portsOf(spec).map((port) => port['nodePort'])));
    for (let tries = NODE_PORT_MIN; tries <= NODE_PORT_MAX; tries += 1) {
      const port = this.#nextNodePort;
      this.#nextNodePort = port >= NODE_PORT_MAX ? NODE_PORT_MIN : port + 1;
      if (!taken.has(port)) return port;
    }
    throw internalError('failed to allocate a nodePort: range is full');
  }
}

/** The cluster speaks IPv4 only; a second address that is given is kept, and leads nowhere. */
function withClusterIp(spec: JsonObject, address: string): JsonObject {
  return {
    ...spec,
    clusterIP: address,
    clusterIPs: [address, ...(Array.isArray(spec['clusterIPs']) ? spec['clusterIPs'].slice(1, 2) : [])],
    ipFamilies: spec['ipFamilies'] ?? ['IPv4'],
    ipFamilyPolicy: spec['ipFamilyPolicy'] ?? 'SingleStack',
  };
}

function portsOf(spec: JsonObject): readonly JsonObject[] {
  return Array.isArray(spec['ports']) ? spec['ports'].filter(isJsonObject) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
