// Identity and destination as they run in a cluster: their service accounts, exactly their rights, TLS between all.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { defaultValues } from '#config/values.ts';
import { DestinationClient } from '#api/gen/destination.ts';
import { InboundServerPoliciesClient } from '#api/gen/inbound.ts';
import { OutboundPoliciesClient } from '#api/gen/outbound.ts';
import type { Connection } from '#k8s/connection.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';
import { createLogger } from '#runtime/log.ts';
import { readIdentityConfig } from '../identity/config.ts';
import { startIdentity } from '../identity/process.ts';
import { destinationComponent } from '../install/manifests/destination.ts';
import { identityComponent } from '../install/manifests/identity.ts';
import { componentManifests } from '../install/manifests/workload.ts';
import { readDestinationConfig } from './config.ts';
import { startDestination } from './process.ts';

const log = createLogger('test', 'silent');
export const SERVER_NAME = 'tulle-destination.tulle.serviceaccount.identity.tulle.cluster.local';
const RESOURCES: Readonly<Record<string, string>> = {
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles.rbac.authorization.k8s.io',
  ClusterRoleBinding: 'clusterrolebindings.rbac.authorization.k8s.io',
  Role: 'roles.rbac.authorization.k8s.io',
  RoleBinding: 'rolebindings.rbac.authorization.k8s.io',
};

/** Grants to a process what the installation does. @returns the token of its service account for the API server */
export async function grantRights(cluster: TestCluster, name: string, manifests: readonly object[]): Promise<string> {
  for (const manifest of manifests as readonly { kind: string; metadata: { name: string; namespace?: string } }[]) {
    const resource = RESOURCES[manifest.kind];
    if (resource !== undefined) await cluster.server.client.create(resource, manifest);
  }
  return cluster.token('tulle', name, 'https://kubernetes.default.svc.cluster.local');
}

/** A connection that has no more rights than the installation grants. */
async function connectionOf(cluster: TestCluster, name: string, manifests: readonly object[]): Promise<Connection> {
  const token = await grantRights(cluster, name, manifests);
  return {
    server: cluster.connection.server,
    credentials: () =>
      Promise.resolve({ headers: { authorization: `Bearer ${token}` }, tls: { ca: cluster.server.caCertificate } }),
    refresh() {},
  };
}

/** Manifests without the rights to some resources. */
function withoutRights(manifests: readonly object[], resources: readonly string[]): readonly object[] {
  return manifests.map((manifest) => {
    const { rules } = manifest as { readonly rules?: readonly { readonly resources: readonly string[] }[] };
    if (rules === undefined) return manifest;
    const left = (all: readonly string[]): readonly string[] => all.filter((one) => !resources.includes(one));
    return { ...manifest, rules: rules.map((rule) => ({ ...rule, resources: left(rule.resources) })) };
  });
}

/**
 * A cluster with both processes in it, and clients of the three services.
 *
 * @param withheld  resources that the destination process may not read, though the installation says so
 */
export async function startControlPlane(withheld: readonly string[] = []) {
  const cluster = await startTestCluster();
  const folder = mkdtempSync(join(tmpdir(), 'destination-'));
  const values = defaultValues('0.0.0');
  const identityConnection = await connectionOf(
    cluster,
    'tulle-identity',
    componentManifests(values, identityComponent(values)),
  );
  const destinationConnection = await connectionOf(
    cluster,
    'tulle-destination',
    withoutRights(componentManifests(values, destinationComponent(values)), withheld),
  );
  await cluster.server.client.create('namespaces', { metadata: { name: 'shop' } });
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, await cluster.token('tulle', 'tulle-destination'));

  const common = { TULLE_ADMIN_PORT: '0', TULLE_SHUTDOWN_GRACE: '2s' };
  const identity = await startIdentity(
    readIdentityConfig({ ...common, TULLE_IDENTITY_PORT: '0' }),
    identityConnection,
    log,
  );
  const identityPort = await identity.port;
  const config = readDestinationConfig({
    ...common,
    TULLE_DESTINATION_PORT: '0',
    TULLE_POLICY_PORT: '0',
    TULLE_IDENTITY_ADDRESS: `127.0.0.1:${identityPort}`,
    TULLE_IDENTITY_TOKEN_FILE: tokenFile,
  });
  const destination = await startDestination(config, destinationConnection, log);
  const ports = await destination.ports;
  const map = cluster.server.client.get('configmaps', 'tulle', 'linkerd-identity-trust-roots');
  const anchorsPem = (map as unknown as { data: Record<string, string> }).data['ca-bundle.crt'] ?? '';
  const options = { 'grpc.ssl_target_name_override': SERVER_NAME };
  const channel = credentials.createSsl(Buffer.from(anchorsPem));
  const clients = {
    destination: new DestinationClient(`127.0.0.1:${ports.destination}`, channel, options),
    policy: new InboundServerPoliciesClient(`127.0.0.1:${ports.policy}`, channel, options),
    outbound: new OutboundPoliciesClient(`127.0.0.1:${ports.policy}`, channel, options),
  };
  return {
    cluster,
    destination,
    ports: { ...ports, identity: identityPort },
    anchorsPem,
    clients,
    async [Symbol.asyncDispose]() {
      clients.destination.close();
      clients.policy.close();
      clients.outbound.close();
      await destination.stop();
      await identity.stop();
      await cluster[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Everything a stream says, as it comes. */
export function collect<M, T>(
  stream: ClientReadableStream<M>,
  decode: (message: M) => T,
): { readonly seen: T[]; end: () => string | undefined } {
  const seen: T[] = [];
  let end: string | undefined;
  stream.on('data', (message: M) => seen.push(decode(message)));
  stream.on('end', () => (end ??= 'OK'));
  stream.on('error', (error: ServiceError) => (end = status[error.code]));
  return { seen, end: () => end };
}
