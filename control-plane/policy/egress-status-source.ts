import { keyOf } from '#k8s/resources/metadata.ts';
import { judgeEgressNetwork } from '../dialects/egress-network.ts';
import type { EgressNetworks } from './egress-networks.ts';
import { withCondition, type StatusSource } from './status-writer.ts';

/** The condition Accepted of EgressNetworks. Conditions of other types are left alone. */
export function egressStatusSource({ store, settings }: EgressNetworks): StatusSource {
  return {
    keys: () => [...store.values()].map(({ namespace, name }) => keyOf(namespace, name)),
    get: (key) => store.getByKey(key),
    onChange(listener) {
      store.onChange((next) => {
        if (next !== undefined) listener(keyOf(next.namespace, next.name));
      });
    },
    statusOf(object, now) {
      const { isAccepted, reason, message } = judgeEgressNetwork(object, settings.clusterNetworks);
      const status = isAccepted ? 'True' : 'False';
      return { conditions: withCondition(object, { type: 'Accepted', status, reason, message }, now) };
    },
  };
}
