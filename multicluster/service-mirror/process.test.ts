import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createTestAuthority } from '#pki/testing.ts';
import { createLogger } from '#runtime/log.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';
import { until } from '../../test/harness/until.ts';
import { multiclusterManifests } from '../install/manifest.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { startServiceMirror, type ServiceMirrorProcess } from './process.ts';

const NAMESPACE = 'tulle-multicluster';
const MIRROR = ['services', 'shop', 'cart-west'] as const;
const SLICE = ['endpointslices.discovery.k8s.io', 'shop', 'cart-west'] as const;
const RESOURCES: Readonly<Record<string, string>> = {
  Namespace: 'namespaces',
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles.rbac.authorization.k8s.io',
  ClusterRoleBinding: 'clusterrolebindings.rbac.authorization.k8s.io',
  Role: 'roles.rbac.authorization.k8s.io',
  RoleBinding: 'rolebindings.rbac.authorization.k8s.io',
  CustomResourceDefinition: 'customresourcedefinitions.apiextensions.k8s.io',
};

/** An API server with the extension's accounts and rights, namespace `shop` and a trust anchor. */
async function startCluster(anchorsPem: string): Promise<TestCluster> {
  const cluster = await startTestCluster();
  const { client } = cluster.server;
  for (const manifest of multiclusterManifests(defaultValues(VERSION), {
    serviceType: 'LoadBalancer',
    probeSeconds: 1,
  })) {
    const resource = RESOURCES[manifest.kind];
    if (resource !== undefined) await client.create(resource, manifest);
  }
  await client.create('namespaces', { metadata: { name: 'shop' } });
  const data = { 'ca-bundle.crt': anchorsPem };
  const metadata = { namespace: 'tulle', name: 'linkerd-identity-trust-roots' };
  await client.create('configmaps', { metadata, data });
  return cluster;
}

describe('the service mirror between two API servers', () => {
  let east: TestCluster;
  let west: TestCluster;
  let gateway: Server;
  let running: ServiceMirrorProcess;
  let isReady = true;

  before(async () => {
    [east, west] = await Promise.all([
      startCluster(createTestAuthority().anchorsPem),
      startCluster(createTestAuthority().anchorsPem),
    ]);
    gateway = createServer((_request, response) => response.writeHead(isReady ? 200 : 503).end());
    await new Promise<void>((resolve) => void gateway.listen(0, '127.0.0.1', resolve));
    await west.server.client.create('services', {
      metadata: { namespace: 'shop', name: 'cart', labels: { 'mirror.linkerd.io/exported': 'true' } },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    });
    await west.server.client.create('endpointslices.discovery.k8s.io', {
      metadata: { namespace: 'shop', name: 'cart-1', labels: { 'kubernetes.io/service-name': 'cart' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [{ addresses: ['10.43.0.9'], conditions: { ready: true } }],
    });
    const log = createLogger('service-mirror', 'silent');
    const options = { adminPort: 0, controlNamespace: 'tulle', intervalMs: 100 };
    running = await startServiceMirror(options, east.connection, log);
    await link();
  });
  after(async () => {
    await running?.stop();
    gateway?.close();
    await Promise.all([east?.[Symbol.asyncDispose](), west?.[Symbol.asyncDispose]()]);
  });

  test('an exported Service is mirrored with the rights that a link has, and no other Service', async () => {
    await until('the mirror', 10_000, () => endpoints() === 1);
    const mirror = east.server.client.get(...MIRROR);
    assert.ok(mirror);
    const [port] = (mirror['spec'] as { ports: { name: string; port: number }[] }).ports;
    assert.deepEqual([port?.name, port?.port], ['http', 80]);
    assert.equal(east.server.client.list('services', 'shop').length, 1);
  });

  test('clusters with different trust anchors are told so', async () => {
    const condition = await until('the condition', 10_000, () => conditionOf('TrustAnchors') ?? false);
    assert.ok(condition);
    assert.equal(condition.status, 'False');
    assert.match(condition.message, /no trust anchor of west is one of this cluster/);
  });

  test('a Service of this cluster that has the name of a mirror is left alone, and the Link says so', async () => {
    await east.server.client.create('services', {
      metadata: { namespace: 'shop', name: 'till-west' },
      spec: { ports: [{ port: 1 }] },
    });
    await west.server.client.create('services', {
      metadata: { namespace: 'shop', name: 'till', labels: { 'mirror.linkerd.io/exported': 'true' } },
      spec: { ports: [{ port: 81 }] },
    });
    await until('the problem', 10_000, () => conditionOf('Mirrored')?.message.includes('till-west exists') ?? false);
    const spec = east.server.client.get('services', 'shop', 'till-west')?.['spec'] as { ports: { port: number }[] };
    assert.equal(spec.ports[0]?.port, 1);
  });

  test('a dead gateway empties the slice, and fills it when it is back', async () => {
    isReady = false;
    await until('the empty slice', 10_000, () => endpoints() === 0);
    await until('the reason', 10_000, () => conditionOf('GatewayAlive')?.message.includes('answered 503') ?? false);
    isReady = true;
    await until('the slice with the gateway', 10_000, () => endpoints() === 1);
  });

  test('without the Link nothing of it is left', async () => {
    await east.server.client.delete('links.multicluster.linkerd.io', NAMESPACE, 'west');
    const { client } = east.server;
    await until(
      'the mirrors to go',
      10_000,
      () => client.get(...MIRROR) === undefined && client.get(...SLICE) === undefined,
    );
    assert.notEqual(east.server.client.get('services', 'shop', 'till-west'), undefined);
  });

  async function link(): Promise<void> {
    const access = 'tulle-service-mirror-remote-access-default';
    const user = { token: await west.token(NAMESPACE, access, 'https://kubernetes.default.svc.cluster.local') };
    const ca = Buffer.from(west.server.caCertificate).toString('base64');
    const server = `https://127.0.0.1:${west.port}`;
    const kubeconfig = JSON.stringify({
      clusters: [{ name: 'west', cluster: { server, 'certificate-authority-data': ca } }],
      users: [{ name: access, user }],
    });
    const name = 'cluster-credentials-west';
    await east.server.client.create('secrets', {
      metadata: { namespace: NAMESPACE, name },
      data: { kubeconfig: Buffer.from(kubeconfig).toString('base64') },
    });
    const { port } = gateway.address() as AddressInfo;
    await east.server.client.create('links.multicluster.linkerd.io', {
      apiVersion: 'multicluster.linkerd.io/v1alpha2',
      kind: 'Link',
      metadata: { namespace: NAMESPACE, name: 'west' },
      spec: {
        targetClusterName: 'west',
        clusterCredentialsSecret: name,
        gatewayAddress: '127.0.0.1',
        gatewayPort: '4143',
        gatewayIdentity: 'gw.mc.serviceaccount.identity.tulle.cluster.local',
        probeSpec: { path: '/ready', port: String(port), period: '100ms' },
        selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
      },
    });
  }

  function endpoints(): number {
    const slice = east.server.client.get(...SLICE) as { endpoints?: unknown[] } | undefined;
    return slice?.endpoints?.length ?? -1;
  }

  function conditionOf(type: string): { status: string; message: string } | undefined {
    const { status } = (east.server.client.get('links.multicluster.linkerd.io', NAMESPACE, 'west') ?? {}) as {
      status?: { conditions?: { type: string; status: string; message: string }[] };
    };
    return status?.conditions?.find((condition) => condition.type === type);
  }
});
