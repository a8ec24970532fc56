import { judgeEgressNetwork } from '../dialects/egress-network.ts';
import type { EgressNetworks } from './egress-networks.ts';
import { storedObjects } from './status-objects.ts';
import { withCondition, type StatusSource } from './status-writer.ts';

/** The condition Accepted of EgressNetworks. Conditions of other types are left alone. */
export function egressStatusSource({ store, settings }: EgressNetworks): StatusSource {
  return {
    ...storedObjects(store),
    statusOf(object, now) {
      const { isAccepted, reason, message } = judgeEgressNetwork(object, settings.clusterNetworks);
      const status = isAccepted ? 'True' : 'False';
      return { conditions: withCondition(object, { type: 'Accepted', status, reason, message }, now) };
    },
  };
}
