import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { addressBeside, type IpAddress } from '#model/address.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { readEgressNetwork } from '../dialects/egress-network.ts';
import { outboundParents, type OutboundParent } from '../dialects/outbound-parents.ts';
import { isAttached, type RouteParent } from '../policy/route-index.ts';
import type { Configuration } from './configuration.ts';
import { outboundOf, outboundOfAddress } from './outbound.ts';

/** A port that clients of a namespace connect to, and what is said to them about it. */
export type Target = { readonly parent: RouteParent; readonly port: number; readonly policy: OutboundPolicy };

/**
 * The ports of what routes are attached to, for every namespace that looks at it differently; each is made when it is asked for.
 *
 * @param isAsked  whether targets that have such a route matter
 */
export function* targetsOf(configuration: Configuration, isAsked: (route: CustomObject) => boolean): Generator<Target> {
  const services = [...configuration.services.values()].map((one) => ({ kind: 'Service', ...one }) as const);
  const networks = [...configuration.egress.store.values()].map(({ namespace, name }) => {
    return { kind: 'EgressNetwork', namespace, name } as const;
  });
  for (const { kind, namespace, name } of [...services, ...networks]) {
    const parent = { kind, namespace, name };
    if ([...configuration.routes.ofParent(parent)].some(isAsked))
      yield* targetsOfParent(configuration, parent, clientNamespaces(configuration, parent));
  }
}

/** Those of a parent, of the port or section that it may name. @param clients  namespaces */
export function targetsOfParent(
  configuration: Configuration,
  parent: RouteParent & Partial<OutboundParent>,
  clients: readonly string[],
): readonly Target[] {
  const { kind, namespace, name } = parent;
  const policyOf =
    kind === 'Service'
      ? (port: number, client: string) => outboundOf(configuration, namespace, name, port, client)
      : ofNetwork(configuration, parent);
  return portsOf(configuration, parent).flatMap((port) =>
    clients.flatMap((client) => {
      const policy = policyOf(port, client);
      return policy === undefined ? [] : [{ parent: { kind, namespace, name }, port, policy }];
    }),
  );
}

function portsOf(
  { services, routes }: Configuration,
  parent: RouteParent & Partial<OutboundParent>,
): readonly number[] {
  const { kind, namespace, name } = parent;
  if (kind === 'EgressNetwork') {
    if (parent.port !== undefined) return [parent.port];
    const named = [...routes.ofParent(parent)].flatMap((route) =>
      outboundParents(route).flatMap((one) => (isSame(one, parent) && one.port !== undefined ? [one.port] : [])),
    );
    return [...new Set(named)];
  }
  const service = services.get(namespace, name);
  const ports = service?.ports.filter((port) => isAttached({ index: 0, ...parent }, service, port)) ?? [];
  return ports.map(({ port }) => port);
}

function isSame(a: RouteParent, b: RouteParent): boolean {
  return a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;
}

/** What is said about an address of the network, if there is one that no other network decides about. */
function ofNetwork(
  configuration: Configuration,
  { namespace, name }: RouteParent,
): (port: number, client: string) => OutboundPolicy | undefined {
  const address = addressOf(configuration, namespace, name);
  return (port, client) => {
    const policy = address && outboundOfAddress(configuration, address, port, client);
    const isOwn = policy?.ref.type === 'resource' && policy.ref.namespace === namespace && policy.ref.name === name;
    return isOwn ? policy : undefined;
  };
}

/** An address that an EgressNetwork holds. */
function addressOf({ egress }: Configuration, namespace: string, name: string): IpAddress | undefined {
  const object = egress.store.get(namespace, name);
  const networks = (object && readEgressNetwork(object, egress.settings.clusterNetworks).value?.networks) ?? [];
  for (const { network, except } of networks) {
    const address = addressBeside(except, network);
    if (address !== undefined) return address;
  }
  return undefined;
}

/** Namespaces from which a parent is looked at differently: its own, and those with routes for it. */
function clientNamespaces({ routes }: Configuration, parent: RouteParent): readonly string[] {
  return [...new Set([parent.namespace, ...[...routes.ofParent(parent)].map(({ namespace }) => namespace)])];
}
