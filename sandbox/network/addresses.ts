export const SERVICE_PREFIX = 16;
export const DNS_PORT = 53;
export const CLUSTER_DOMAIN = 'cluster.local';

/** The addresses of one cluster. Clusters that reach each other have different ones. */
export type ClusterAddresses = {
  readonly podNetwork: string; // first two numbers of a /16
  readonly serviceNetwork: string; // the same
  readonly nodeIP: string; // the node, and the gateway of all pods; pods have the rest of their network
  readonly apiIP: string; // Service `kubernetes`
  readonly dnsIP: string;
};

/**
 * @param podNetwork      such as `10.42`
 * @param serviceNetwork  such as `10.96`
 */
export function clusterAddresses(podNetwork = '10.42', serviceNetwork = '10.96'): ClusterAddresses {
  return {
    podNetwork,
    serviceNetwork,
    nodeIP: `${podNetwork}.0.1`,
    apiIP: `${serviceNetwork}.0.1`,
    dnsIP: `${serviceNetwork}.0.10`,
  };
}

export const DEFAULT_ADDRESSES = clusterAddresses();
export const NODE_IP = DEFAULT_ADDRESSES.nodeIP;
export const DNS_IP = DEFAULT_ADDRESSES.dnsIP;
