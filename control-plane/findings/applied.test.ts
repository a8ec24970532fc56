import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { JsonObject } from '#k8s/json.ts';
import { analyzeApplied } from './applied.ts';
import { clusterContextOf } from './cluster-findings.ts';

const CONTEXT = {
  ...clusterContextOf(defaultValues(VERSION)),
  defaultNamespace: 'shop',
  isRedirectedByNode: false,
  isWholeCluster: true,
};
const PRESENT = objectsOf(`
apiVersion: v1
kind: Namespace
metadata: { name: shop, annotations: { linkerd.io/inject: enabled } }
---
apiVersion: v1
kind: Pod
metadata:
  name: web-abc-x
  namespace: shop
  labels: { app: web, pod-template-hash: abc }
  ownerReferences: [{ apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, uid: u, controller: true }]
spec: { containers: [{ name: app, image: app, ports: [{ containerPort: 80 }] }] }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z' }
spec: { podSelector: { matchLabels: { app: web } }, port: 80 }
`);

function objectsOf(yaml: string): readonly JsonObject[] {
  return parseAllDocuments(yaml).map((document) => document.toJS() as JsonObject);
}

/** @param app  label of its pods */
function deployment(app: string): readonly JsonObject[] {
  return objectsOf(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: ${app} } }
  template:
    metadata: { labels: { app: ${app} } }
    spec: { containers: [{ name: app, image: app, ports: [{ containerPort: 80 }] }] }
`);
}

test('a workload takes the place of the pods that are there of it', () => {
  const found = analyzeApplied(deployment('site'), PRESENT, CONTEXT, []);
  assert.deepEqual(
    found.map(({ code, kind, name }) => [code, kind, name]),
    [['TL0201', 'Server', 'web']],
  );
  assert.deepEqual(analyzeApplied(deployment('web'), PRESENT, CONTEXT, []), []);
});

test('an object that is new displaces nothing, one that is changed keeps its age', () => {
  const server = (name: string): readonly JsonObject[] =>
    objectsOf(`
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: ${name}, namespace: shop }
spec: { podSelector: {}, port: 80 }
`);
  const displaced = (name: string, present: readonly JsonObject[]): readonly string[] =>
    analyzeApplied(server(name), present, CONTEXT, [])
      .filter(({ code }) => code === 'TL0202')
      .map((one) => `${one.name}: ${one.message}`);
  assert.deepEqual(displaced('a', PRESENT), ['a: Server shop/web decides about port 80 of Pod shop/web-abc-x']);
  const [young = {}] = server('a');
  const metadata = { name: 'a', namespace: 'shop', creationTimestamp: '2026-02-02T00:00:00Z' };
  assert.deepEqual(displaced('web', [...PRESENT, { ...young, metadata }]), []);
});

test('an object that is applied keeps its status, and an account of a namespace that is new there is the default one', () => {
  const workload = (status: string): readonly JsonObject[] =>
    objectsOf(`
apiVersion: workload.linkerd.io/v1beta1
kind: ExternalWorkload
metadata: { name: vm, namespace: shop }
spec: { meshTLS: { identity: vm.test, serverName: vm.test }, workloadIPs: [{ ip: 192.0.2.1 }], ports: [{ port: 80 }] }
${status}`);
  const ready = "status: { conditions: [{ type: Ready, status: 'True' }] }";
  const codes = (objects: readonly JsonObject[], present: readonly JsonObject[]): readonly string[] =>
    analyzeApplied(objects, present, CONTEXT, []).map(({ code }) => code);
  const kind = 'TL0002'; // no definitions are given here
  assert.deepEqual(codes(workload(''), PRESENT), [kind, 'TL0305']);
  assert.deepEqual(codes(workload(''), [...PRESENT, ...workload(ready)]), [kind]);
  const required = (name: string): readonly JsonObject[] =>
    objectsOf(`
apiVersion: v1
kind: Namespace
metadata: { name: new }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: m, namespace: shop }
spec: { identityRefs: [{ kind: ServiceAccount, name: ${name}, namespace: new }] }`);
  assert.ok(!codes(required('default'), PRESENT).includes('TL0209'));
  assert.ok(codes(required('client'), PRESENT).includes('TL0209'));
});
