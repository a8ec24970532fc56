import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyDefaults } from './defaults.ts';
import { fieldAt, type JsonObject } from './json.ts';

function defaulted(apiVersion: string, kind: string, object: JsonObject): JsonObject {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const before = structuredClone(object);
  const result = applyDefaults({ group: group ?? '', version: version ?? '', kind }, object);
  assert.deepEqual(object, before, 'the input is not changed');
  assert.equal(
    applyDefaults({ group: group ?? '', version: version ?? '', kind }, result),
    result,
    'a second pass changes nothing',
  );
  return result;
}

const containerDefaults = {
  imagePullPolicy: 'Always',
  resources: {},
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
};

const podDefaults = {
  dnsPolicy: 'ClusterFirst',
  restartPolicy: 'Always',
  schedulerName: 'default-scheduler',
  securityContext: {},
  terminationGracePeriodSeconds: 30,
};

test('a deployment gets what a real API server gives it', () => {
  const result = defaulted('apps/v1', 'Deployment', {
    metadata: { name: 'web' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'main', image: 'web', ports: [{ containerPort: 80 }] }] },
      },
    },
  });
  assert.deepEqual(result['spec'], {
    selector: { matchLabels: { app: 'web' } },
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        ...podDefaults,
        containers: [
          { name: 'main', image: 'web', ports: [{ containerPort: 80, protocol: 'TCP' }], ...containerDefaults },
        ],
      },
    },
  });
});

test('zero is a value where the API can tell it from absence', () => {
  const result = defaulted('apps/v1', 'Deployment', {
    spec: {
      replicas: 0,
      strategy: { type: 'Recreate' },
      template: { spec: { terminationGracePeriodSeconds: 0, containers: [] } },
    },
  });
  assert.equal(fieldAt(result, 'spec', 'replicas'), 0);
  assert.deepEqual(fieldAt(result, 'spec', 'strategy'), { type: 'Recreate' });
  assert.equal(fieldAt(result, 'spec', 'template', 'spec', 'terminationGracePeriodSeconds'), 0);
});

test('a pod gets probes, volumes, environment and requests filled in', () => {
  const result = defaulted('v1', 'Pod', {
    metadata: { name: 'p' },
    spec: {
      serviceAccountName: 'sa',
      initContainers: [
        { name: 'i', image: 'host:5000/tool:v1', livenessProbe: { httpGet: { port: 80 }, periodSeconds: 5 } },
      ],
      containers: [
        {
          name: 'a',
          image: 'a@sha256:00',
          env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m' } },
          readinessProbe: { grpc: { port: 1 } },
        },
      ],
      volumes: [
        { name: 'none' },
        { name: 'cm', configMap: { name: 'c' } },
        { name: 'proj', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
        { name: 'host', hostPath: { path: '/x' } },
      ],
    },
  });
  const probe = { periodSeconds: 10, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3 };
  assert.deepEqual(result['spec'], {
    ...podDefaults,
    enableServiceLinks: true,
    serviceAccountName: 'sa',
    serviceAccount: 'sa',
    initContainers: [
      {
        ...containerDefaults,
        name: 'i',
        image: 'host:5000/tool:v1',
        imagePullPolicy: 'IfNotPresent',
        livenessProbe: { ...probe, periodSeconds: 5, httpGet: { port: 80, path: '/', scheme: 'HTTP' } },
      },
    ],
    containers: [
      {
        ...containerDefaults,
        name: 'a',
        image: 'a@sha256:00',
        imagePullPolicy: 'IfNotPresent',
        env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP', apiVersion: 'v1' } } }],
        resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m', memory: '1Gi' } },
        readinessProbe: { ...probe, grpc: { port: 1, service: '' } },
      },
    ],
    volumes: [
      { name: 'none', emptyDir: {} },
      { name: 'cm', configMap: { name: 'c', defaultMode: 420 } },
      {
        name: 'proj',
        projected: { defaultMode: 420, sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }] },
      },
      { name: 'host', hostPath: { path: '/x', type: '' } },
    ],
  });
});

test('host network fills in host ports', () => {
  const result = defaulted('v1', 'Pod', {
    spec: { hostNetwork: true, containers: [{ name: 'a', image: 'a:1', ports: [{ containerPort: 8080 }] }] },
  });
  assert.match(JSON.stringify(result), /"containerPort":8080,"protocol":"TCP","hostPort":8080|"hostPort":8080/);
});

test('services', () => {
  assert.deepEqual(defaulted('v1', 'Service', { spec: { ports: [{ port: 80 }] } }), {
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    },
    status: { loadBalancer: {} },
  });
  const external = defaulted('v1', 'Service', { spec: { type: 'LoadBalancer', sessionAffinity: 'ClientIP' } });
  assert.deepEqual(external['spec'], {
    type: 'LoadBalancer',
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    allocateLoadBalancerNodePorts: true,
  });
  const name = defaulted('v1', 'Service', { spec: { type: 'ExternalName', externalName: 'x.y' } });
  assert.deepEqual(name['spec'], { type: 'ExternalName', externalName: 'x.y', sessionAffinity: 'None' });
});

test('the other workloads', () => {
  const template = { spec: { containers: [] } };
  const set = defaulted('apps/v1', 'StatefulSet', {
    spec: { template, volumeClaimTemplates: [{ metadata: { name: 'd' }, spec: {} }] },
  });
  assert.deepEqual(set['spec'], {
    template: { spec: { containers: [], ...podDefaults } },
    podManagementPolicy: 'OrderedReady',
    replicas: 1,
    revisionHistoryLimit: 10,
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
    volumeClaimTemplates: [
      { metadata: { name: 'd' }, spec: { volumeMode: 'Filesystem' }, status: { phase: 'Pending' } },
    ],
  });
  const daemons = defaulted('apps/v1', 'DaemonSet', { spec: {} });
  assert.deepEqual(daemons['spec'], {
    revisionHistoryLimit: 10,
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
  });
  const job = defaulted('batch/v1', 'Job', {
    metadata: { name: 'j' },
    spec: { template: { metadata: { labels: { a: 'b' } }, spec: { containers: [] } } },
  });
  assert.deepEqual(fieldAt(job, 'metadata', 'labels'), { a: 'b' });
  assert.equal(fieldAt(job, 'spec', 'backoffLimit'), 6);
  assert.equal(fieldAt(job, 'spec', 'completions'), 1);
  assert.equal(fieldAt(defaulted('batch/v1', 'Job', { spec: { parallelism: 3 } }), 'spec', 'completions'), undefined);
  const cron = defaulted('batch/v1', 'CronJob', { spec: { jobTemplate: { spec: { template } } } });
  assert.deepEqual(fieldAt(cron, 'spec', 'jobTemplate'), {
    spec: { template: { spec: { containers: [], ...podDefaults } } },
  });
  assert.equal(fieldAt(cron, 'spec', 'concurrencyPolicy'), 'Allow');
});

test('configuration kinds', () => {
  const hooks = defaulted('admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration', {
    webhooks: [
      { name: 'w', clientConfig: { service: { name: 's', namespace: 'n' } }, rules: [{ resources: ['pods'] }] },
    ],
  });
  assert.deepEqual(hooks['webhooks'], [
    {
      name: 'w',
      clientConfig: { service: { name: 's', namespace: 'n', port: 443 } },
      rules: [{ resources: ['pods'], scope: '*' }],
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      reinvocationPolicy: 'Never',
    },
  ]);
  const crd = defaulted('apiextensions.k8s.io/v1', 'CustomResourceDefinition', {
    spec: { names: { kind: 'Foo', plural: 'foos' }, versions: [{ name: 'v1alpha1' }, { name: 'v1', storage: true }] },
  });
  assert.deepEqual(fieldAt(crd, 'spec', 'names'), {
    kind: 'Foo',
    plural: 'foos',
    singular: 'foo',
    listKind: 'FooList',
  });
  assert.deepEqual(fieldAt(crd, 'spec', 'conversion'), { strategy: 'None' });
  assert.deepEqual(fieldAt(crd, 'status', 'storedVersions'), ['v1']);
  const secret = defaulted('v1', 'Secret', { data: { a: 'QQ==', b: 'Qg==' }, stringData: { b: 'x', c: 'é' } });
  assert.deepEqual(secret, { type: 'Opaque', data: { a: 'QQ==', b: 'eA==', c: 'w6k=' } });
  const namespace = defaulted('v1', 'Namespace', { metadata: { name: 'n', labels: { a: 'b' } } });
  assert.deepEqual(namespace, {
    metadata: { name: 'n', labels: { a: 'b', 'kubernetes.io/metadata.name': 'n' } },
    status: { phase: 'Active' },
  });
  const binding = defaulted('rbac.authorization.k8s.io/v1', 'RoleBinding', {
    roleRef: { kind: 'Role', name: 'r' },
    subjects: [
      { kind: 'User', name: 'u' },
      { kind: 'ServiceAccount', name: 's', namespace: 'n' },
    ],
  });
  assert.equal(fieldAt(binding, 'roleRef', 'apiGroup'), 'rbac.authorization.k8s.io');
  assert.deepEqual(binding['subjects'], [
    { kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' },
    { kind: 'ServiceAccount', name: 's', namespace: 'n' },
  ]);
});

test('custom resources and misshapen objects come back unchanged', () => {
  const object = { spec: { template: [], containers: 3 } };
  assert.equal(applyDefaults({ group: 'demo.io', version: 'v1', kind: 'Deployment' }, object), object);
  defaulted('v1', 'Pod', { spec: { containers: [null, 'x', []], volumes: {} } });
});
