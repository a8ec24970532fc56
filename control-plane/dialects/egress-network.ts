import { asList } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import {
  addressBeside,
  containsAddress,
  containsNetwork,
  formatNetwork,
  parseNetwork,
  type IpAddress,
  type Network,
} from '#model/address.ts';
import type { NetworkMatch } from '#model/authorization.ts';
import { hasPort, parsePortSet, type PortSet } from '#model/port-set.ts';
import { trafficAnnotations, failureAccrual } from './annotations.ts';
import { readNetworks, type Reading } from './linkerd-policy.ts';
import { OPAQUE_PORTS } from './opaque-ports.ts';
import { formatProblems, Problems, type Problem } from './problem.ts';

/** Addresses outside of the cluster, and what happens to connections to them that no route is about. */
export type EgressNetwork = {
  readonly object: CustomObject;
  readonly networks: readonly NetworkMatch[];
  readonly isAllowed: boolean;
};

export type EgressVerdict = {
  readonly isAccepted: boolean;
  readonly reason: 'Accepted' | 'Invalid' | 'EgressReasonNetworkOverlap';
  readonly field: string;
  readonly message: string;
};

const EVERYTHING = ['0.0.0.0/0', '::/0'];
/** More of them slow down every lookup. */
const NETWORKS_MAX = 1_000;

/** Reads an EgressNetwork. Without networks it is about everything that is not the cluster. */
export function readEgressNetwork(
  object: CustomObject,
  clusterNetworks: readonly Network[],
): Reading<Omit<EgressNetwork, 'object'>> {
  const problems = new Problems();
  const { networks, trafficPolicy } = object.spec;
  if (trafficPolicy !== 'Allow' && trafficPolicy !== 'Deny') {
    problems.add('spec.trafficPolicy', `${JSON.stringify(trafficPolicy) ?? 'nothing'}: use Allow or Deny`);
  }
  const given = readNetworks(networks, 'spec.networks', problems);
  if (networks !== undefined && asList(networks).length === 0) {
    problems.add('spec.networks', 'names no network: leave it out for everything outside of the cluster');
  }
  const count = given.reduce((sum, { except }) => sum + 1 + except.length, 0);
  if (count > NETWORKS_MAX) problems.add('spec.networks', `holds ${count} networks: at most ${NETWORKS_MAX}`);
  if (problems.found.length > 0) return { problems: problems.found };
  const isAllowed = trafficPolicy === 'Allow';
  return { value: { isAllowed, networks: networks === undefined ? outside(clusterNetworks) : given }, problems: [] };
}

function outside(clusterNetworks: readonly Network[]): readonly NetworkMatch[] {
  return EVERYTHING.flatMap((text) => {
    const network = parseNetwork(text);
    if (network === undefined) return [];
    return [{ network, except: clusterNetworks.filter((block) => containsNetwork(network, block)) }];
  });
}

/** What of annotations of an EgressNetwork has no effect. */
export function egressAnnotationProblems({ annotations }: CustomObject): readonly Problem[] {
  const problems = new Problems();
  trafficAnnotations(annotations, problems);
  failureAccrual(annotations, problems);
  for (const part of parsePortSet(annotations[OPAQUE_PORTS] ?? '').unknown)
    problems.add(OPAQUE_PORTS, `"${part}" is no number and no range of ports`);
  return problems.found;
}

/** Judges an EgressNetwork. `reason` is that of its condition Accepted. Source: linkerd2 `policy-controller`. */
export function judgeEgressNetwork(object: CustomObject, clusterNetworks: readonly Network[]): EgressVerdict {
  const { value, problems } = readEgressNetwork(object, clusterNetworks);
  if (value === undefined) {
    return { isAccepted: false, reason: 'Invalid', field: 'spec', message: formatProblems(problems) };
  }
  for (const [index, match] of value.networks.entries()) {
    const blocks = clusterNetworks.filter((one) => reachesInto(match, one));
    if (blocks.length === 0) continue;
    const message = overlapOf(match.network, blocks);
    return { isAccepted: false, reason: 'EgressReasonNetworkOverlap', field: `spec.networks[${index}]`, message };
  }
  const message = value.isAllowed
    ? 'connections without a route are allowed'
    : 'connections without a route are denied';
  return { isAccepted: true, reason: 'Accepted', field: 'spec', message };
}

/** @param blocks  of the cluster, with addresses of the network */
function overlapOf(network: Network, blocks: readonly Network[]): string {
  const around = blocks.find((block) => containsNetwork(block, network));
  if (around === undefined)
    return `${formatNetwork(network)} holds addresses of the cluster: put ${blocks.map(formatNetwork).join(', ')} into except`;
  return `${formatNetwork(network)} is part of the cluster, which has ${formatNetwork(around)} (value clusterNetworks): name only what is outside`;
}

/** Whether there are addresses of a block that a match holds. */
function reachesInto({ network, except }: NetworkMatch, block: Network): boolean {
  const shared = containsNetwork(network, block) ? block : containsNetwork(block, network) ? network : undefined;
  return shared !== undefined && addressBeside(except, shared) !== undefined;
}

/**
 * Finds the network that decides about an address: the most specific one, of equals the oldest, then the first by name.
 *
 * @param networks  all that count for a client, in the order of their age
 */
export function mostSpecificNetwork(networks: readonly EgressNetwork[], address: IpAddress): EgressNetwork | undefined {
  let best: { readonly network: EgressNetwork; readonly bits: number } | undefined;
  for (const network of networks) {
    const bits = bitsMatched(network.networks, address);
    if (bits !== undefined && (best === undefined || bits > best.bits)) best = { network, bits };
  }
  return best?.network;
}

function bitsMatched(networks: readonly NetworkMatch[], address: IpAddress): number | undefined {
  const bits = networks
    .filter(({ network, except }) => {
      return containsAddress(network, address) && !except.some((hole) => containsAddress(hole, address));
    })
    .map(({ network }) => network.prefixBits);
  return bits.length === 0 ? undefined : Math.max(...bits);
}

/** Whether connections to a port carry raw bytes. @param defaults  of networks without the annotation */
export function isOpaqueEgress({ object }: EgressNetwork, port: number, defaults: PortSet): boolean {
  const annotation = object.annotations[OPAQUE_PORTS];
  return hasPort(annotation === undefined ? defaults : parsePortSet(annotation).ports, port);
}
