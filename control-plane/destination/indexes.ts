import { identitySuffix } from '#pki/names.ts';
import { InboundIndex } from '../policy/inbound-index.ts';
import { EgressNetworks } from '../policy/egress-networks.ts';
import { policyContext, type InboundSettings } from '../policy/inbound-policy.ts';
import { OpaqueServers } from '../policy/opaque-servers.ts';
import { OutboundIndex } from '../policy/outbound-index.ts';
import { PolicyStore } from '../policy/policy-store.ts';
import { RouteIndex } from '../policy/route-index.ts';
import { trafficKinds, TrafficObjects } from '../policy/traffic-objects.ts';
import { ServiceAccounts } from '../findings/service-accounts.ts';
import { externalWorkloadKind } from '../dialects/external-workload.ts';
import type { DestinationConfig } from './config.ts';
import { EndpointIndex } from './endpoint-index.ts';
import { ProfileIndex } from './profile-index.ts';
import { PortKinds } from './port-kinds.ts';
import { createStores } from './stores.ts';

/** The settings that answers depend on. */
export type IndexSettings = Pick<
  DestinationConfig,
  | 'domain'
  | 'clusterDomain'
  | 'clusterNetworks'
  | 'probeNetworks'
  | 'defaultInboundPolicy'
  | 'opaquePorts'
  | 'isH2UpgradeEnabled'
  | 'allowsRequestHeaders'
  | 'globalEgressNamespace'
>;

/** Everything that is kept of the cluster, and what is computed from it. Informers fill it; the gRPC services read it. */
export type Indexes = ReturnType<typeof createIndexes>;

export function createIndexes(settings: IndexSettings) {
  const inboundSettings: InboundSettings = {
    ...settings,
    defaultPolicy: settings.defaultInboundPolicy,
    identitySuffix: identitySuffix(settings.domain),
  };
  const stores = createStores();
  const traffic = new TrafficObjects(settings.clusterDomain);
  const routes = new RouteIndex(stores.services);
  const policies = new PolicyStore(routes);
  const ports = new PortKinds(settings.opaquePorts, new OpaqueServers(policies, policyContext(inboundSettings)));
  const egress = new EgressNetworks(settings);
  const serviceAccounts = new ServiceAccounts();
  return {
    stores,
    traffic,
    routes,
    policies,
    egress,
    serviceAccounts,
    inboundSettings,
    endpoints: new EndpointIndex(stores, settings, ports),
    profiles: new ProfileIndex(stores, settings, traffic, ports, egress),
    inbound: new InboundIndex(stores, policies, inboundSettings),
    outbound: new OutboundIndex(stores.services, settings, routes, egress),
    /** Kinds that are read while they are defined. */
    optionalKinds: [
      externalWorkloadKind(stores.externalWorkloads),
      ...policies.kinds,
      ...trafficKinds(traffic, routes, egress),
    ],
  };
}
