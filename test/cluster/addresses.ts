/** Where things are in the network of one cluster. All clusters of a machine share a bridge. */
export type ClusterAddresses = {
  readonly letter: string;
  readonly name: string; // of the node, the network namespace and the control group
  readonly nodeIP: string;
  readonly podNetwork: string; // CIDR
  readonly podNetworkOfNode: string; // CIDR
  readonly serviceNetwork: string; // CIDR
  readonly apiServerIP: string; // inside
  readonly dnsIP: string;
};

export const LETTERS = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
export const BRIDGE = 'tullebr0';
export const BRIDGE_IP = '10.213.88.1';
/** Pods and Services of all clusters are inside. */
export const ALL_CLUSTERS = '10.96.0.0/11';

/** @param letter  one of `LETTERS`: clusters with different letters run side by side */
export function clusterAddresses(letter: (typeof LETTERS)[number]): ClusterAddresses {
  const index = LETTERS.indexOf(letter) + 1;
  const services = `10.${112 + index}`;
  return {
    letter,
    name: `tulle-${letter}`,
    nodeIP: `10.213.88.${10 + index}`,
    podNetwork: `10.${96 + index}.0.0/16`,
    podNetworkOfNode: `10.${96 + index}.0.0/24`,
    serviceNetwork: `${services}.0.0/16`,
    apiServerIP: `${services}.0.1`,
    dnsIP: `${services}.0.10`,
  };
}
