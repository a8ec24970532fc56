/** The node, and the gateway of all pods. Pods have the rest of 10.42.0.0/16. */
export const NODE_IP = '10.42.0.1';
export const SERVICE_SUBNET = '10.96.0.0';
export const SERVICE_PREFIX = 16;
export const DNS_IP = '10.96.0.10';
export const DNS_PORT = 53;
export const CLUSTER_DOMAIN = 'cluster.local';
