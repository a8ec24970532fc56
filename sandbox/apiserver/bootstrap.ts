import type { NewObject } from './object.ts';
import type { LocalClient } from './local-client.ts';
import { RBAC_GROUP } from './rbac.ts';
import { bootstrapClusterRoleBindings, bootstrapClusterRoles } from './bootstrap-roles.ts';
import { StatusError } from './status-error.ts';

/** Where the API is reached: from inside the cluster, and the address behind that. */
export type Endpoint = { readonly serviceIp: string; readonly address: string; readonly port: number };

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Objects that exist in every cluster from its first moment. Doing it again changes nothing. */
export async function createBaseObjects(client: LocalClient): Promise<void> {
  for (const name of NAMESPACES) await ensure(client, 'namespaces', { metadata: { name } });
  for (const [name, value] of [
    ['system-node-critical', 2_000_001_000],
    ['system-cluster-critical', 2_000_000_000],
  ] as const) {
    await ensure(client, 'priorityclasses.scheduling.k8s.io', { metadata: { name }, value });
  }
  for (const role of bootstrapClusterRoles) await ensure(client, `clusterroles.${RBAC_GROUP}`, role);
  for (const binding of bootstrapClusterRoleBindings) {
    await ensure(client, `clusterrolebindings.${RBAC_GROUP}`, binding);
  }
}

/** The Service `kubernetes` and its endpoints, maintained by the server itself since it has no selector. */
export async function publishEndpoint(client: LocalClient, endpoint: Endpoint): Promise<void> {
  const { serviceIp, address, port } = endpoint;
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const metadata = { name: 'kubernetes', namespace: 'default' };
  await ensure(client, 'services', {
    metadata: { ...metadata, labels },
    spec: {
      type: 'ClusterIP',
      clusterIP: serviceIp,
      clusterIPs: [serviceIp],
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }],
    },
  });
  await replace(client, 'endpoints', {
    metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: address }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
  });
  await replace(client, 'endpointslices.discovery.k8s.io', {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  });
}

async function ensure(client: LocalClient, resource: string, object: NewObject): Promise<void> {
  try {
    await client.create(resource, object);
  } catch (error) {
    if (!(error instanceof StatusError) || error.reason !== 'AlreadyExists') throw error;
  }
}

async function replace(client: LocalClient, resource: string, object: NewObject): Promise<void> {
  const { name = '', namespace } = object.metadata;
  if (client.get(resource, namespace, name) === undefined) await ensure(client, resource, object);
  else await client.patch(resource, namespace, name, 'merge', object);
}
