import { addressBytes, be16, host32, padded } from '#netlink/bytes.ts';
import {
  ADDRESS_OFFSET,
  and,
  dataValue,
  dataVerdict,
  destinationPort,
  dnat,
  equals,
  FAMILY,
  HEADER,
  isProtocol,
  lookup,
  meta,
  META,
  payload,
  PROTOCOL,
  random,
  rejectWithReset,
  rejectWithUnreachable,
  snat,
  verdict,
  VERDICT,
  type Expression,
} from '#netlink/expressions.ts';
import { HOOK, PRIORITY, type NftSet, type Table } from '#netlink/nftables.ts';

import { DEFAULT_ADDRESSES, SERVICE_PREFIX, type ClusterAddresses } from './addresses.ts';
import type { ServiceIndex, ServicePort, ServiceView } from './service-index.ts';

/** An address and port that clients use, and where their connections go. */
export type Frontend = {
  readonly address: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
};

const TABLE_NAME = 'tulle-services';
const FAMILY_ID = FAMILY.ipv4;
const IP = ADDRESS_OFFSET[FAMILY_ID];
/** Elements of one Service; what goes beyond gets no connections. */
const ENDPOINTS_MAX = 1000;

// Set key types, for what `nft` prints; a concatenation packs them 6 bits each.
const TYPE_INTEGER = 4;
const TYPE_ADDRESS = 7;
const TYPE_PROTOCOL = 12;
const TYPE_PORT = 13;
const concatenated = (...types: number[]): number => types.reduce((packed, type) => (packed << 6) | type, 0);

// Words of the register file: an address in register 1 (word 8), then what follows it in concatenated keys.
const WORD = { protocol: 9, port: 10, index: 11 } as const;

/** What Services and EndpointSlices say, as frontends: cluster and external IPs, node ports and load balancers on the node's address. */
export function frontendsOf(index: ServiceIndex, { nodeIP }: ClusterAddresses = DEFAULT_ADDRESSES): Frontend[] {
  const frontends: Frontend[] = [];
  for (const service of index.services()) {
    if (service.clusterIP === undefined) continue;
    for (const port of service.ports) {
      const { protocol } = port;
      if (protocol === 'SCTP') continue;
      const endpoints = endpointsOf(index, service, port);
      for (const address of [service.clusterIP, ...service.externalIPs]) {
        frontends.push({ address, protocol, port: port.port, endpoints });
      }
      if (port.nodePort !== undefined) frontends.push({ address: nodeIP, protocol, port: port.nodePort, endpoints });
      if (service.isLoadBalancer) frontends.push({ address: nodeIP, protocol, port: port.port, endpoints });
    }
  }
  return frontends;
}

function endpointsOf(index: ServiceIndex, service: ServiceView, port: ServicePort): Frontend['endpoints'] {
  return index
    .endpoints(service.namespace, service.name)
    .flatMap(({ address, ports }) =>
      ports
        .filter((candidate) => candidate.name === port.name && candidate.protocol === port.protocol)
        .map((match) => ({ address, port: match.port })),
    )
    .slice(0, ENDPOINTS_MAX);
}

/**
 * The program that spreads connections over endpoints. Independent of the number of Services it has three rules, a map
 * from frontend to a chain for its number of endpoints (`pick-3`), and a map from frontend and random number to the
 * endpoint. So replacing it means sending elements, not rules.
 *
 * @param local  addresses in the Service range that programs of the node itself listen on
 */
export function serviceTable(
  frontends: readonly Frontend[],
  local: readonly string[] = [],
  { nodeIP, serviceNetwork }: ClusterAddresses = DEFAULT_ADDRESSES,
): Table {
  const served = unique(frontends).filter(({ endpoints }) => endpoints.length > 0);
  const counts = [...new Set(served.map(({ endpoints }) => endpoints.length))].sort((a, b) => a - b);
  const addresses = [...new Set(served.flatMap(({ endpoints }) => endpoints.map(({ address }) => address)))];
  return {
    family: FAMILY_ID,
    name: TABLE_NAME,
    chains: [
      { name: 'prerouting', hook: { type: 'nat', number: HOOK.prerouting, priority: PRIORITY.dnat } },
      { name: 'output', hook: { type: 'nat', number: HOOK.output, priority: PRIORITY.dnat } },
      { name: 'postrouting', hook: { type: 'nat', number: HOOK.postrouting, priority: PRIORITY.snat } },
      { name: 'forwarded', hook: { type: 'filter', number: HOOK.forward, priority: PRIORITY.filter } },
      { name: 'local', hook: { type: 'filter', number: HOOK.output, priority: PRIORITY.filter } },
      { name: 'unserved' },
      ...counts.map((count) => ({ name: `pick-${count}` })),
    ],
    sets: [frontendMap(served), endpointMap(served), hairpinSet(addresses)],
    rules: [
      ...['prerouting', 'output'].map((chain) => ({
        chain,
        comment: 'frontend',
        expressions: [...loadFrontend(), lookup('frontends', 0)],
      })),
      ...counts.map((count) => ({
        chain: `pick-${count}`,
        comment: `one of ${count}`,
        expressions: [...loadFrontend(), random(count, WORD.index), lookup('endpoints', 1), dnat(FAMILY_ID)],
      })),
      // A pod that reached itself through a Service would drop packets that come from its own address.
      {
        chain: 'postrouting',
        comment: 'hairpin',
        expressions: [
          payload(HEADER.network, IP.source, IP.length),
          payload(HEADER.network, IP.destination, IP.length, WORD.protocol),
          lookup('hairpin'),
          ...snat(FAMILY_ID, addressBytes(nodeIP)),
        ],
      },
      // What still goes to a Service address here is not served: say so at once instead of losing it.
      ...['forwarded', 'local'].map((chain) => ({
        chain,
        comment: 'service range',
        expressions: [...isToServiceRange(serviceNetwork), verdict(VERDICT.jump, 'unserved')],
      })),
      ...local.map((address) => ({
        chain: 'unserved',
        comment: `the node's ${address}`,
        expressions: [
          payload(HEADER.network, IP.destination, IP.length),
          equals(addressBytes(address)),
          verdict(VERDICT.return),
        ],
      })),
      {
        chain: 'unserved',
        comment: 'TCP',
        expressions: [...isProtocol(PROTOCOL.tcp), rejectWithReset()],
      },
      { chain: 'unserved', comment: 'others', expressions: [rejectWithUnreachable(FAMILY_ID)] },
    ],
  };
}

/** Two Services cannot have the same address, but while one replaces another both may be seen: the first counts. */
function unique(frontends: readonly Frontend[]): Frontend[] {
  const seen = new Map<string, Frontend>();
  for (const frontend of frontends) {
    const key = `${frontend.address} ${frontend.protocol} ${frontend.port}`;
    if (!seen.has(key)) seen.set(key, frontend);
  }
  return [...seen.values()];
}

function frontendMap(served: readonly Frontend[]): NftSet {
  return {
    name: 'frontends',
    keyType: concatenated(TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT),
    keyBytes: 12,
    map: { to: 'verdict' },
    elements: served.map((frontend) => ({
      key: frontendKey(frontend),
      data: dataVerdict(VERDICT.goto, `pick-${frontend.endpoints.length}`),
    })),
  };
}

function endpointMap(served: readonly Frontend[]): NftSet {
  return {
    name: 'endpoints',
    keyType: concatenated(TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT, TYPE_INTEGER),
    keyBytes: 16,
    map: { to: 'data', type: concatenated(TYPE_ADDRESS, TYPE_PORT), bytes: 8 },
    elements: served.flatMap((frontend) =>
      frontend.endpoints.map(({ address, port }, index) => ({
        key: Buffer.concat([frontendKey(frontend), host32(index)]),
        data: dataValue(Buffer.concat([addressBytes(address), padded(be16(port))])),
      })),
    ),
  };
}

function hairpinSet(addresses: readonly string[]): NftSet {
  return {
    name: 'hairpin',
    keyType: concatenated(TYPE_ADDRESS, TYPE_ADDRESS),
    keyBytes: 8,
    elements: addresses.map((address) => ({ key: Buffer.concat([addressBytes(address), addressBytes(address)]) })),
  };
}

function frontendKey({ address, protocol, port }: Frontend): Buffer {
  const number = protocol === 'UDP' ? PROTOCOL.udp : PROTOCOL.tcp;
  return Buffer.concat([addressBytes(address), padded(Buffer.of(number)), padded(be16(port))]);
}

/** Registers = address . protocol . port of the packet. Only TCP and UDP have elements. */
function loadFrontend(): Expression[] {
  return [
    payload(HEADER.network, IP.destination, IP.length),
    meta(META.l4proto, WORD.protocol),
    destinationPort(WORD.port),
  ];
}

function isToServiceRange(serviceNetwork: string): Expression[] {
  const subnet = addressBytes(`${serviceNetwork}.0.0`);
  const mask = Buffer.alloc(4);
  mask.writeUInt32BE((0xffff_ffff << (32 - SERVICE_PREFIX)) >>> 0);
  return [payload(HEADER.network, IP.destination, IP.length), and(mask), equals(subnet)];
}
