import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PODS } from '#k8s/resources/pod.ts';
import { TestServer } from '../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../sandbox/demo/apply.ts';
import { connect, type Cluster } from './cluster.ts';
import { describedClient } from './diagnostics/described-client.ts';
import { podsOf } from './workloads.ts';

const SHOP = '/api/v1/namespaces/shop';
const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: web, namespace: shop }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: app, image: x }] } }
`;

describe('the pods of a workload during a rollout', () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
    await applyAll(cluster, readManifests(OBJECTS));
    for (const [index, name] of ['web-new', 'web-going'].entries()) {
      await cluster.request('POST', `${SHOP}/pods`, {
        metadata: { name, labels: { app: 'web' }, finalizers: ['tulle.dev/test'] },
        spec: { serviceAccountName: 'web', containers: [{ name: 'app', image: 'x' }] },
      });
      const podIP = `10.0.0.${index + 1}`;
      const body = { status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }] } };
      await cluster.request('PATCH', `${SHOP}/pods/${name}/status`, body, 'application/merge-patch+json');
    }
    await cluster.request('DELETE', `${SHOP}/pods/web-going`);
  });
  after(async () => {
    cluster?.close();
    await server?.[Symbol.asyncDispose]();
  });

  test('those that are being deleted are the last', async () => {
    const names = (await podsOf(cluster, 'shop', 'deploy/web')).map(({ metadata }) => metadata.name);
    assert.deepEqual(names, ['web-new', 'web-going']);
  });

  test('a client with the account is where one is that stays', async () => {
    const pod = PODS.parse(await cluster.get(`${SHOP}/pods/web-going`));
    assert.ok(pod);
    const client = await describedClient(cluster, { name: 'web', namespace: 'shop' }, 'suffix', undefined, pod);
    assert.deepEqual([client.pod, client.client.address, client.isAssumed], ['shop/web-new', '10.0.0.1', false]);
    const nobody = await describedClient(cluster, { name: 'nope', namespace: 'shop' }, 'suffix', undefined, pod);
    assert.deepEqual([nobody.pod, nobody.client.address, nobody.isAssumed], [undefined, '10.0.0.2', true]);
  });
});
