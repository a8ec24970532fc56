import type { OutboundPolicy } from '#model/outbound.ts';
import type { Profile } from '#model/profile.ts';
import { OutboundIndex } from '../policy/outbound-index.ts';
import type { Inventory } from './inventory.ts';

const INDEXES = new WeakMap<Inventory, OutboundIndex>();

/** The policy that clients of a namespace get for a port of a Service, from the index that the control plane answers with. */
export function outboundOf(
  inventory: Inventory,
  namespace: string,
  service: string,
  port: number,
  clientNamespace: string,
): OutboundPolicy | undefined {
  let index = INDEXES.get(inventory);
  if (index === undefined) {
    const { clusterDomain, opaquePorts, policy } = inventory.context;
    const settings = {
      clusterDomain,
      clusterNetworks: policy.clusterNetworks,
      opaquePorts,
      allowsRequestHeaders: false,
    };
    index = new OutboundIndex(inventory.services, settings, inventory.routes);
    INDEXES.set(inventory, index);
  }
  using lease = index.watchName({ namespace, service, port }, clientNamespace);
  const { value } = lease.slot;
  return value.kind === 'policy' ? value.policy : undefined;
}

/** What clients of a namespace are told by ServiceProfiles and TrafficSplits about a port of a Service. */
export function profileOf(
  inventory: Inventory,
  namespace: string,
  service: string,
  port: number,
  clientNamespace: string,
): Profile {
  const { traffic, context } = inventory;
  const parent = { type: 'resource', group: 'core', kind: 'Service', name: service, namespace, port } as const;
  const isOpaque = outboundOf(inventory, namespace, service, port, clientNamespace)?.protocol.kind === 'opaque';
  const fullyQualifiedName = `${service}.${namespace}.svc.${context.clusterDomain}`;
  return { fullyQualifiedName, isOpaque, parent, ...traffic.ofService(namespace, service, port, clientNamespace) };
}
