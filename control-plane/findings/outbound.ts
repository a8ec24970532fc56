import type { OutboundPolicy } from '#model/outbound.ts';
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
