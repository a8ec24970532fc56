import { be16, host32 } from './bytes.ts';
import type { Exemption } from './exemption.ts';
import {
  ADDRESS_OFFSET,
  and,
  destinationPort,
  equals,
  FAMILY,
  HEADER,
  isFamily,
  isProtocol,
  lookup,
  meta,
  META,
  payload,
  PROTOCOL,
  redirect,
  verdict,
  VERDICT,
  type Expression,
  type IpFamily,
} from './expressions.ts';
import { HOOK, PRIORITY, type Chain, type NftSet, type Rule, type Table } from './nftables.ts';
import { mergePortRanges, type PortRange } from './port-ranges.ts';
import type { Subnet } from './subnet.ts';

/** What the redirect program of a pod does. Source: Linkerd's proxy-init. */
export type RedirectOptions = {
  readonly inboundPort: number; // where the proxy accepts connections to the pod
  readonly outboundPort: number; // where it accepts connections of the application
  readonly exemption: Exemption;
  readonly inboundSkip: readonly PortRange[];
  readonly outboundSkip: readonly PortRange[];
  readonly subnetSkip: readonly Subnet[]; // sources whose connections to the pod are left alone
  /**
   * False in an init container. True for applying to a running pod: connections older than the table go on, at the
   * price that a redirected one does not survive the loss of its conntrack entry.
   */
  readonly isSynOnly: boolean;
};

export const TABLE_NAME = 'tulle';
/** `lo` is the first link of every network namespace. Own addresses, also the pod's IP, are reached through it. */
const LOOPBACK_INDEX = 1;
const TYPE_PORT = 13; // for what `nft` prints
const TCP_FLAGS = { offset: 13, syn: 0x02, synAndAck: 0x12 } as const;

const CHAINS: readonly Chain[] = [
  { name: 'prerouting', hook: { type: 'nat', number: HOOK.prerouting, priority: PRIORITY.dnat } },
  { name: 'output', hook: { type: 'nat', number: HOOK.output, priority: PRIORITY.dnat } },
];

/**
 * The ways to lay out the program: one table for both families; one table each, since nat in `inet` tables needs
 * Linux 5.2; IPv4 alone, for kernels without IPv6.
 */
export const REDIRECT_LAYOUTS = {
  inet: [FAMILY.inet],
  split: [FAMILY.ipv4, FAMILY.ipv6],
  ipv4: [FAMILY.ipv4],
} as const;
export type RedirectLayout = keyof typeof REDIRECT_LAYOUTS;

export function redirectTables(options: RedirectOptions, layout: RedirectLayout = 'inet'): Table[] {
  return REDIRECT_LAYOUTS[layout].map((family) => {
    if (family === FAMILY.inet) return redirectTable(options, family);
    // A rule about the other family's addresses is not valid in a table of one family.
    return redirectTable({ ...options, subnetSkip: options.subnetSkip.filter((s) => s.family === family) }, family);
  });
}

function redirectTable(options: RedirectOptions, family: number): Table {
  const inboundSkip = portSet('skip-inbound', options.inboundSkip);
  const outboundSkip = portSet('skip-outbound', options.outboundSkip);
  const newConnection = options.isSynOnly ? isNewTcp() : isProtocol(PROTOCOL.tcp);
  const leaveAlone = verdict(VERDICT.return);
  return {
    family,
    name: TABLE_NAME,
    chains: CHAINS,
    sets: [inboundSkip, outboundSkip],
    rules: [
      rule('prerouting', 'skip-inbound', ...isPortIn(inboundSkip), leaveAlone),
      ...options.subnetSkip.map((subnet) => rule('prerouting', 'skip-subnet', ...isFrom(subnet), leaveAlone)),
      rule('prerouting', 'inbound', ...newConnection, ...redirect(options.inboundPort)),

      rule('output', 'proxy', ...isProxy(options.exemption), leaveAlone),
      rule('output', 'loopback', meta(META.oif), equals(host32(LOOPBACK_INDEX)), leaveAlone),
      rule('output', 'skip-outbound', ...isPortIn(outboundSkip), leaveAlone),
      rule('output', 'outbound', ...newConnection, ...redirect(options.outboundPort)),
    ],
  };
}

function rule(chain: string, name: string, ...expressions: Expression[]): Rule {
  return { chain, comment: `tulle/${name}`, expressions };
}

function isProxy(exemption: Exemption): Expression[] {
  return exemption.kind === 'uid'
    ? [meta(META.skuid), equals(host32(exemption.uid))]
    : [meta(META.priority), equals(host32(exemption.priority))];
}

function isPortIn(set: NftSet): Expression[] {
  return [...isProtocol(PROTOCOL.tcp), destinationPort(), lookup(set.name)];
}

function isFrom({ family, address, mask }: Subnet): Expression[] {
  const { source, length } = ADDRESS_OFFSET[family satisfies IpFamily];
  return [...isFamily(family), payload(HEADER.network, source, length), and(mask), equals(address)];
}

/** SYN set, ACK not: the first packet of a connection and no other. */
function isNewTcp(): Expression[] {
  return [
    ...isProtocol(PROTOCOL.tcp),
    payload(HEADER.transport, TCP_FLAGS.offset, 1),
    and(Buffer.of(TCP_FLAGS.synAndAck)),
    equals(Buffer.of(TCP_FLAGS.syn)),
  ];
}

function portSet(name: string, ranges: readonly PortRange[]): NftSet {
  const elements = mergePortRanges(ranges).flatMap(({ first, last }) => {
    const start = { key: be16(first) };
    return last === 65535 ? [start] : [start, { key: be16(last + 1), isEnd: true }];
  });
  return { name, keyType: TYPE_PORT, keyBytes: 2, isInterval: true, elements };
}
