import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { clusterObjects } from '../../cli/analyze/cluster-objects.ts';
import { connect, type Cluster } from '../../cli/cluster.ts';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../../sandbox/demo/apply.ts';
import { formatDiagnosis } from '../diagnosis/diagnosis.ts';
import { renderCrds } from '../install/render.ts';
import { analyze } from './analyze.ts';
import { clusterContextOf, clusterFindings } from './cluster-findings.ts';

const VALUES = defaultValues(VERSION);
const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, annotations: { linkerd.io/inject: enabled } }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: default, namespace: shop }
---
apiVersion: v1
kind: Pod
metadata: { name: new, namespace: shop, labels: { app: web } }
spec:
  initContainers: [{ name: linkerd-proxy, image: x, restartPolicy: Always }]
  containers: [{ name: app, image: x, ports: [{ containerPort: 80 }] }]
---
apiVersion: v1
kind: Pod
metadata: { name: old, namespace: shop, labels: { app: web }, finalizers: [tulle.dev/test] }
spec: { hostNetwork: true, containers: [{ name: app, image: x, ports: [{ containerPort: 80 }] }] }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web, namespace: shop }
spec: { podSelector: { matchLabels: { app: web } }, port: 80, accessPolicy: all-unauthenticated }
`;

describe('pods that a rollout has replaced', () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
    await applyAll(cluster, [...renderCrds(VALUES), ...readManifests(OBJECTS)]);
  });
  after(async () => {
    cluster?.close();
    await server?.[Symbol.asyncDispose]();
  });

  /** What `tulle check` and what `tulle analyze` says. */
  async function found(): Promise<readonly (readonly string[])[]> {
    const context = clusterContextOf(VALUES);
    const listed = { ...context, defaultNamespace: 'default', isRedirectedByNode: false, isWholeCluster: true };
    const all = [await clusterFindings(cluster, context), analyze(await clusterObjects(cluster), listed, [])];
    return all.map((findings) => findings.filter(({ code }) => code !== 'TL0002').map(formatDiagnosis));
  }

  test('count until they are deleted, and not while they end', async () => {
    const wanted = ['TL0502 server.policy.linkerd.io shop/web: spec.podSelector: Pod shop/old without a proxy'];
    assert.deepEqual(await found(), [wanted, wanted]);
    await cluster.request('DELETE', '/api/v1/namespaces/shop/pods/old');
    assert.deepEqual(await found(), [[], []]);
  });
});
