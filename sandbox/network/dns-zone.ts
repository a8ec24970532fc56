import { isIPv4 } from 'node:net';

import { nameOf, RCODE, TYPE, type Name, type ResourceRecord, type Response } from './dns-message.ts';
import type { EndpointView, ServiceIndex, ServicePort, ServiceView } from './service-index.ts';

/** Short, as endpoints come and go. */
const TTL_SECONDS = 5;
/** Version of the specification that the answers follow: github.com/kubernetes/dns/blob/master/docs/specification.md */
const SPECIFICATION = '1.1.0';
/** One message holds 64 KiB; at most 28 bytes per address record. */
const RECORDS_MAX = 1000;
const ALIASES_MAX = 8;
const REVERSE: Name = ['in-addr', 'arpa'];

/** What the zone knows of a name. `outside` is for others to answer. */
export type Lookup =
  | {
      readonly kind: 'records';
      readonly answers: readonly ResourceRecord[];
      readonly additional: readonly ResourceRecord[];
    }
  | { readonly kind: 'no data' } // the name exists, but not with this type
  | { readonly kind: 'no name' }
  | { readonly kind: 'outside' };

const NO_DATA: Lookup = { kind: 'no data' };
const NO_NAME: Lookup = { kind: 'no name' };
const OUTSIDE: Lookup = { kind: 'outside' };

/** The names of Services and their endpoints below the cluster domain, as Kubernetes' DNS specification has them. */
export class DnsZone implements Disposable {
  readonly #index: ServiceIndex;
  readonly #domain: Name;
  readonly #random: () => number;
  readonly #subscription: Disposable;
  #reverse: ReadonlyMap<string, Name> | undefined; // made when asked for after a change

  /** @param random  uniform sample in [0, 1), which orders the addresses of headless Services */
  constructor(index: ServiceIndex, clusterDomain: string, random: () => number = Math.random) {
    this.#index = index;
    this.#domain = nameOf(clusterDomain);
    this.#random = random;
    this.#subscription = index.subscribe(() => {
      this.#reverse = undefined;
    });
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }

  lookup(name: Name, type: number): Lookup {
    if (endsWith(name, this.#domain)) {
      const labels = name.slice(0, name.length - this.#domain.length);
      return this.#inZone(labels, { name, type, aliases: 0 });
    }
    if (endsWith(name, REVERSE)) return this.#byAddress(name, type);
    return OUTSIDE;
  }

  /** A lookup as the response to a query; undefined for names outside. */
  response(name: Name, type: number): Response | undefined {
    const found = this.lookup(name, type);
    switch (found.kind) {
      case 'records':
        return { ...found, code: RCODE.ok, isAuthoritative: true, authority: [] };
      case 'no data':
        return this.#negative(RCODE.ok, name);
      case 'no name':
        return this.#negative(RCODE.nxDomain, name);
      case 'outside':
        return undefined;
    }
  }

  /** The SOA record tells resolvers for how long they may remember that there is nothing. */
  #negative(code: number, name: Name): Response {
    const zone = endsWith(name, this.#domain) ? this.#domain : REVERSE;
    return { code, isAuthoritative: true, answers: [], authority: [this.#startOfAuthority(zone)], additional: [] };
  }

  #startOfAuthority(zone: Name): ResourceRecord {
    const primary = ['ns', 'dns', ...this.#domain];
    const mailbox = ['hostmaster', ...this.#domain];
    return { name: zone, ttlSeconds: TTL_SECONDS, type: 'SOA', primary, mailbox, negativeTtlSeconds: TTL_SECONDS };
  }

  /** @param labels  the name without the cluster domain */
  #inZone(labels: Name, asked: Asked): Lookup {
    if (labels.length === 0) {
      return asked.type === TYPE.soa ? records([this.#startOfAuthority(this.#domain)]) : NO_DATA;
    }
    const inner = labels.slice(0, -1);
    switch (labels.at(-1)) {
      case 'svc':
        return this.#inServices(inner, asked);
      case 'pod':
        return podAddress(inner, asked);
      case 'dns-version':
        if (inner.length > 0) return NO_NAME;
        return ofType(asked, TYPE.txt, [
          { name: asked.name, ttlSeconds: TTL_SECONDS, type: 'TXT', text: SPECIFICATION },
        ]);
      default:
        return NO_NAME;
    }
  }

  #inServices(labels: Name, asked: Asked): Lookup {
    if (labels.length === 0) return NO_DATA;
    const [namespace = '', name, ...more] = [...labels].reverse();
    if (name === undefined) return this.#hasNamespace(namespace) ? NO_DATA : NO_NAME;
    const service = this.#index.service(namespace, name);
    if (service === undefined) return NO_NAME;
    if (service.externalName !== undefined) {
      return more.length === 0 ? this.#alias(nameOf(service.externalName), asked) : NO_NAME;
    }
    const [first, second, ...rest] = more;
    if (rest.length > 0) return NO_NAME;
    if (first === undefined) return this.#service(service, asked);
    if (second !== undefined) return this.#namedPort(service, second, first, asked);
    if (first === '_tcp' || first === '_udp') return NO_DATA;
    return this.#endpoint(service, first, asked);
  }

  #service(service: ServiceView, asked: Asked): Lookup {
    if (asked.type === TYPE.srv) return this.#portRecords(service, service.ports, asked);
    if (service.clusterIP !== undefined) return ofType(asked, TYPE.a, [addressRecord(asked.name, service.clusterIP)]);
    const endpoints = this.#endpointsOf(service);
    if (endpoints.length === 0) return NO_NAME; // so the specification says
    return ofType(
      asked,
      TYPE.a,
      endpoints.map(({ address }) => addressRecord(asked.name, address)),
    );
  }

  #endpoint(service: ServiceView, hostname: string, asked: Asked): Lookup {
    const named = this.#endpointsOf(service).filter((endpoint) => hostnameOf(endpoint) === hostname);
    if (named.length === 0) return NO_NAME;
    return ofType(
      asked,
      TYPE.a,
      named.map(({ address }) => addressRecord(asked.name, address)),
    );
  }

  /** `_http._tcp.web.shop.svc.cluster.local` */
  #namedPort(service: ServiceView, portLabel: string, protocolLabel: string, asked: Asked): Lookup {
    const ports = service.ports.filter(
      ({ name, protocol }) => name !== '' && `_${name}` === portLabel && `_${protocol.toLowerCase()}` === protocolLabel,
    );
    if (ports.length === 0) return NO_NAME;
    return this.#portRecords(service, ports, asked);
  }

  #portRecords(service: ServiceView, ports: readonly ServicePort[], asked: Asked): Lookup {
    const base = this.#nameOf(service);
    const { clusterIP } = service;
    const targets: { target: Name; address: string; port: number }[] =
      clusterIP !== undefined
        ? ports.map(({ port }) => ({ target: base, address: clusterIP, port }))
        : this.#endpointsOf(service).flatMap((endpoint) =>
            endpoint.ports
              .filter((own) => ports.some(({ name, protocol }) => own.name === name && own.protocol === protocol))
              .map(({ port }) => ({ target: [hostnameOf(endpoint), ...base], address: endpoint.address, port })),
          );
    if (targets.length === 0) return ports.length === 0 ? NO_DATA : NO_NAME;
    if (asked.type !== TYPE.srv && asked.type !== TYPE.any) return NO_DATA;
    const weight = Math.max(1, Math.floor(100 / targets.length));
    const answers = targets.map(({ target, port }): ResourceRecord => ({
      name: asked.name,
      ttlSeconds: TTL_SECONDS,
      type: 'SRV',
      priority: 0,
      weight,
      port,
      target,
    }));
    const hosts = new Map(targets.map(({ target, address }) => [target.join('.'), addressRecord(target, address)]));
    return records(answers, [...hosts.values()]);
  }

  /** A Service of type ExternalName. What it names in this zone is answered along, as a resolver would do. */
  #alias(target: Name, asked: Asked): Lookup {
    if (target.length === 0 || target.some((label) => label.length > 63)) return NO_NAME;
    const alias: ResourceRecord = { name: asked.name, ttlSeconds: TTL_SECONDS, type: 'CNAME', target };
    if (asked.type === TYPE.cname || asked.aliases >= ALIASES_MAX || !endsWith(target, this.#domain)) {
      return records([alias]);
    }
    const labels = target.slice(0, target.length - this.#domain.length);
    const behind = this.#inZone(labels, { ...asked, name: target, aliases: asked.aliases + 1 });
    return behind.kind === 'records' ? records([alias, ...behind.answers], behind.additional) : records([alias]);
  }

  #byAddress(name: Name, type: number): Lookup {
    const address = name.slice(0, -REVERSE.length).reverse().join('.');
    if (!isIPv4(address)) return OUTSIDE;
    this.#reverse ??= this.#reverseNames();
    const target = this.#reverse.get(address);
    if (target === undefined) return OUTSIDE;
    return ofType({ name, type, aliases: 0 }, TYPE.ptr, [{ name, ttlSeconds: TTL_SECONDS, type: 'PTR', target }]);
  }

  /** Cluster IPs name their Service; other addresses an endpoint, of a headless Service if there is one. */
  #reverseNames(): Map<string, Name> {
    const names = new Map<string, Name>();
    const services = [...this.#index.services()];
    for (const isHeadless of [false, true]) {
      for (const service of services) {
        if ((service.clusterIP === undefined) !== isHeadless) continue;
        for (const endpoint of this.#index.endpoints(service.namespace, service.name)) {
          names.set(endpoint.address, [hostnameOf(endpoint), ...this.#nameOf(service)]);
        }
      }
    }
    for (const service of services)
      if (service.clusterIP !== undefined) names.set(service.clusterIP, this.#nameOf(service));
    return names;
  }

  /** In random order, as many clients take the first. */
  #endpointsOf({ namespace, name }: ServiceView): EndpointView[] {
    const endpoints = this.#index.endpoints(namespace, name);
    for (let last = endpoints.length - 1; last > 0; last -= 1) {
      const other = Math.floor(this.#random() * (last + 1));
      const [a, b] = [endpoints[last], endpoints[other]];
      if (a !== undefined && b !== undefined) [endpoints[last], endpoints[other]] = [b, a];
    }
    return endpoints.slice(0, RECORDS_MAX);
  }

  #hasNamespace(namespace: string): boolean {
    for (const service of this.#index.services()) if (service.namespace === namespace) return true;
    return false;
  }

  #nameOf({ namespace, name }: ServiceView): Name {
    return [name, namespace, 'svc', ...this.#domain];
  }
}

type Asked = { readonly name: Name; readonly type: number; readonly aliases: number };

/** `10-42-0-7.shop.pod.cluster.local` is that address, whether or not there is such a pod, as in CoreDNS. */
function podAddress(labels: Name, asked: Asked): Lookup {
  if (labels.length < 2) return NO_DATA;
  const address = labels[0]?.replaceAll('-', '.') ?? '';
  if (labels.length > 2 || !isIPv4(address)) return NO_NAME;
  return ofType(asked, TYPE.a, [addressRecord(asked.name, address)]);
}

function hostnameOf({ hostname, address }: EndpointView): string {
  return hostname ?? address.replaceAll('.', '-');
}

function addressRecord(name: Name, address: string): ResourceRecord {
  return { name, ttlSeconds: TTL_SECONDS, type: 'A', address };
}

function ofType(asked: Asked, type: number, answers: readonly ResourceRecord[]): Lookup {
  return asked.type === type || asked.type === TYPE.any ? records(answers) : NO_DATA;
}

function records(answers: readonly ResourceRecord[], additional: readonly ResourceRecord[] = []): Lookup {
  return { kind: 'records', answers, additional };
}

function endsWith(name: Name, ending: Name): boolean {
  return name.length >= ending.length && ending.every((label, index) => name.at(index - ending.length) === label);
}
