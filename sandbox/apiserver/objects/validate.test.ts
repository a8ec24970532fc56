import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asObject, field, withFieldAt, type JsonObject } from './json.ts';
import { validateObject } from './validate.ts';
import { complete, faults, typeOf } from './validate/test-faults.ts';

const deployments = typeOf('apps/v1', 'Deployment');
const pods = typeOf('v1', 'Pod');
const services = typeOf('v1', 'Service');

function pod(spec: JsonObject, metadata: JsonObject = {}): JsonObject {
  return {
    metadata: { name: 'p', namespace: 'ns', ...metadata },
    spec: { containers: [{ name: 'a', image: 'a' }], ...spec },
  };
}

function container(extra: JsonObject): JsonObject {
  return pod({ containers: [{ name: 'a', image: 'a', ...extra }] });
}

function deployment(spec: JsonObject): JsonObject {
  return {
    metadata: { name: 'web', namespace: 'ns' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'a' }] } },
      ...spec,
    },
  };
}

test('good objects have no faults', () => {
  const injected = pod({
    initContainers: [
      { name: 'linkerd-init', image: 'p', args: ['x'], securityContext: { capabilities: { add: ['NET_ADMIN'] } } },
      {
        name: 'linkerd-proxy',
        image: 'p',
        restartPolicy: 'Always',
        ports: [{ containerPort: 4143, name: 'linkerd-proxy' }],
        livenessProbe: { httpGet: { path: '/live', port: 4191 } },
        lifecycle: { preStop: { exec: { command: ['x'] } } },
        env: [
          { name: '_pod_name', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'L', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        ],
        volumeMounts: [
          { name: 'id', mountPath: '/var/run/linkerd/identity' },
          { name: 'token', mountPath: '/token' },
        ],
      },
    ],
    volumes: [
      { name: 'id', emptyDir: { medium: 'Memory' } },
      {
        name: 'token',
        projected: { sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 86_400, audience: 'x' } }] },
      },
    ],
    tolerations: [
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
    ],
  });
  assert.deepEqual(faults(pods, injected), []);
  assert.deepEqual(faults(deployments, deployment({})), []);
  assert.deepEqual(
    faults(services, {
      metadata: { name: 's' },
      spec: { selector: { a: 'b' }, ports: [{ port: 80, targetPort: 'http' }] },
    }),
    [],
  );
  assert.deepEqual(faults(services, { metadata: { name: 's' }, spec: { clusterIP: 'None' } }), []);
  assert.deepEqual(
    faults(typeOf('batch/v1', 'CronJob'), {
      metadata: { name: 'c' },
      spec: {
        schedule: '*/5 0-6,12 * jan-mar MON',
        jobTemplate: {
          spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'a' }] } } },
        },
      },
    }),
    [],
  );
});

test('metadata', () => {
  const shape =
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  assert.deepEqual(faults(pods, pod({}, { name: '' })), [
    'metadata.name: Required value: name or generateName is required',
  ]);
  assert.match(
    faults(pods, pod({}, { name: 'A_b' }))[0] ?? '',
    /^metadata\.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist/,
  );
  assert.match(
    faults(services, { metadata: { name: '1s' }, spec: { clusterIP: 'None' } })[0] ?? '',
    /a DNS-1035 label must consist/,
  );
  assert.match(faults(typeOf('v1', 'Namespace'), { metadata: { name: 'a.b' } })[0] ?? '', /must not contain dots/);
  assert.deepEqual(
    faults(typeOf('rbac.authorization.k8s.io/v1', 'Role'), { metadata: { name: 'system:x' }, rules: [] }),
    [],
  );
  assert.deepEqual(faults(pods, pod({}, { labels: { 'a b': 'x' } })), [
    `metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character ${shape}`,
  ]);
  assert.match(
    faults(pods, pod({}, { labels: { a: 'b c' } }))[0] ?? '',
    /^metadata\.labels: Invalid value: "b c": a valid label must be an empty string/,
  );
  assert.deepEqual(faults(pods, pod({}, { annotations: { 'Linkerd.io/Inject': 'any text at all ✓' } })), []);
  assert.deepEqual(faults(pods, pod({}, { annotations: { a: 'x'.repeat(300_000) } })), [
    'metadata.annotations: Too long: may not be more than 262144 bytes',
  ]);
  assert.deepEqual(faults(pods, pod({}, { ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'x' }] })), [
    'metadata.ownerReferences.uid: Invalid value: "": uid must not be empty',
  ]);
  assert.deepEqual(faults(pods, pod({}, { name: 'other' }), pod({})), [
    'metadata.name: Invalid value: "other": field is immutable',
  ]);
  const deleted = { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['a/b'] };
  assert.deepEqual(faults(pods, pod({}, { ...deleted, finalizers: ['a/b', 'c/d'] }), pod({}, deleted)), [
    'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"c/d"}',
  ]);
});

test('containers', () => {
  const cases: readonly (readonly [object: JsonObject, ...faults: string[]])[] = [
    [pod({ containers: [] }), 'spec.containers: Required value'],
    [container({ image: '' }), 'spec.containers[0].image: Required value'],
    [
      pod({
        containers: [
          { name: 'a', image: 'a' },
          { name: 'a', image: 'b' },
        ],
      }),
      'spec.containers[1].name: Duplicate value: "a"',
    ],
    [pod({ initContainers: [{ name: 'a', image: 'a' }] }), 'spec.initContainers[0].name: Duplicate value: "a"'],
    [
      container({ imagePullPolicy: 'Sometimes' }),
      'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [container({ ports: [{ containerPort: 0 }] }), 'spec.containers[0].ports[0].containerPort: Required value'],
    [
      container({ ports: [{ containerPort: 70_000 }] }),
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
    [
      container({
        ports: [
          { containerPort: 1, name: 'x' },
          { containerPort: 2, name: 'x' },
        ],
      }),
      'spec.containers[0].ports[1].name: Duplicate value: "x"',
    ],
    [
      container({ ports: [{ containerPort: 1, name: 'much-too-long-name' }] }),
      'spec.containers[0].ports[0].name: Invalid value: "much-too-long-name": must be no more than 15 characters',
    ],
    [
      container({ ports: [{ containerPort: 1, protocol: 'HTTP' }] }),
      'spec.containers[0].ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"',
    ],
    [
      container({ env: [{ name: 'A=B' }] }),
      'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than \'=\'',
    ],
    [
      container({ env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }),
      'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ],
    [
      container({ env: [{ name: 'A', valueFrom: {} }] }),
      'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
    ],
    [
      container({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.zap' } } }] }),
      'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.zap": error converting fieldPath: field label not supported: spec.zap',
    ],
    [
      container({ volumeMounts: [{ name: 'v', mountPath: '/x' }] }),
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
    [container({ livenessProbe: {} }), 'spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    [
      container({ livenessProbe: { successThreshold: 2, tcpSocket: { port: 1 } } }),
      'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
    ],
    [
      container({ readinessProbe: { exec: { command: ['x'] }, tcpSocket: { port: 1 } } }),
      'spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type',
    ],
    [
      container({ readinessProbe: { httpGet: { port: 'not_a_port' } } }),
      'spec.containers[0].readinessProbe.httpGet.port: Invalid value: "not_a_port": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    ],
    [
      container({ restartPolicy: 'Always' }),
      'spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers',
    ],
    [
      container({ resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }),
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
    [
      pod({ initContainers: [{ name: 'i', image: 'i', readinessProbe: { tcpSocket: { port: 1 } } }] }),
      'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
    [
      pod({ restartPolicy: 'Never ever' }),
      'spec.restartPolicy: Unsupported value: "Never ever": supported values: "Always", "Never", "OnFailure"',
    ],
    [
      pod({
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'v', emptyDir: {} },
        ],
      }),
      'spec.volumes[1].name: Duplicate value: "v"',
    ],
    [
      pod({ volumes: [{ name: 'v', emptyDir: {}, configMap: { name: 'c' } }] }),
      'spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type',
    ],
    [pod({ volumes: [{ name: 'v', configMap: {} }] }), 'spec.volumes[0].configMap.name: Required value'],
    [
      pod({ volumes: [{ name: 'v', hostPath: { path: '/a/../b' } }] }),
      'spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain \'..\'',
    ],
    [
      pod({ tolerations: [{ operator: 'Equal' }] }),
      'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ],
  ];
  for (const [object, ...expected] of cases) assert.deepEqual(faults(pods, object), expected);
});

test('a pod may change its images and little else', () => {
  assert.deepEqual(faults(pods, container({ image: 'b' }), container({})), []);
  assert.deepEqual(faults(pods, pod({ tolerations: [{ operator: 'Exists' }] }), pod({})), []);
  assert.match(
    faults(pods, pod({ nodeName: 'n' }), pod({}))[0] ?? '',
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`/,
  );
  assert.deepEqual(
    faults(
      pods,
      pod({
        containers: [
          { name: 'a', image: 'a' },
          { name: 'b', image: 'b' },
        ],
      }),
      pod({}),
    ),
    ['spec.containers: Forbidden: pod updates may not add or remove containers'],
  );
  const old = complete(pods, pod({}));
  const changed = withFieldAt(old, ['status'], { phase: 'Running' });
  assert.deepEqual(validateObject(pods, changed, old, 'status'), []);
});

test('services', () => {
  const service = (spec: JsonObject): JsonObject => ({ metadata: { name: 's', namespace: 'ns' }, spec });
  const cases: readonly (readonly [spec: JsonObject, ...faults: string[]])[] = [
    [{}, 'spec.ports: Required value'],
    [
      { ports: [{ port: 0 }] },
      'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
      'spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive',
    ],
    [
      { ports: [{ port: 80 }, { port: 81 }] },
      'spec.ports[0].name: Required value',
      'spec.ports[1].name: Required value',
    ],
    [
      {
        ports: [
          { name: 'a', port: 80 },
          { name: 'a', port: 81 },
        ],
      },
      'spec.ports[1].name: Duplicate value: "a"',
    ],
    [
      { type: 'Fancy', ports: [{ port: 80 }] },
      'spec.type: Unsupported value: "Fancy": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
    [{ type: 'ExternalName' }, 'spec.externalName: Required value'],
    [
      { ports: [{ port: 80, nodePort: 30_000 }] },
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ],
    [
      { externalTrafficPolicy: 'Local', ports: [{ port: 80 }] },
      'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ],
  ];
  for (const [spec, ...expected] of cases) assert.deepEqual(faults(services, service(spec)), expected);
  const old = service({ clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [{ port: 80 }] });
  assert.deepEqual(
    faults(services, service({ clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8'], ports: [{ port: 80 }] }), old),
    [
      'spec.clusterIPs[0]: Invalid value: "10.96.0.8": may not change once set',
      'spec.clusterIP: Invalid value: "10.96.0.8": field is immutable',
    ],
  );
});

test('workloads', () => {
  const other = { matchLabels: { app: 'other' } };
  assert.deepEqual(faults(deployments, deployment({ selector: other })), [
    'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: `selector` does not match template `labels`',
  ]);
  assert.deepEqual(faults(deployments, deployment({ selector: undefined })), ['spec.selector: Required value']);
  assert.deepEqual(faults(deployments, deployment({ replicas: -1 })), [
    'spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  ]);
  assert.deepEqual(faults(deployments, deployment({ strategy: { type: 'Recreate', rollingUpdate: {} } })), [
    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
  ]);
  assert.deepEqual(
    faults(deployments, deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } })),
    ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0'],
  );
  const template = { metadata: { labels: { app: 'other' } }, spec: { containers: [{ name: 'a', image: 'a' }] } };
  assert.deepEqual(faults(deployments, deployment({ selector: other, template }), deployment({})), [
    'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"other"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable',
  ]);
  const restart = {
    metadata: { labels: { app: 'web' } },
    spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'a' }] },
  };
  assert.deepEqual(faults(deployments, deployment({ template: restart })), [
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ]);
  const sets = typeOf('apps/v1', 'StatefulSet');
  assert.deepEqual(faults(sets, deployment({ serviceName: 'b' }), deployment({ serviceName: 'a' })), [
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
  ]);
  assert.deepEqual(faults(sets, deployment({ replicas: 3 }), deployment({})), []);
  const jobs = typeOf('batch/v1', 'Job');
  assert.deepEqual(faults(jobs, deployment({})), [
    'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
  ]);
  const cron = (schedule: string): string[] =>
    faults(typeOf('batch/v1', 'CronJob'), {
      metadata: { name: 'c' },
      spec: {
        schedule,
        jobTemplate: {
          spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'a' }] } } },
        },
      },
    });
  assert.deepEqual(cron('* * * *'), [
    'spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]',
  ]);
  assert.deepEqual(cron('61 * * * *'), [
    'spec.schedule: Invalid value: "61 * * * *": failed to parse minute field: 61',
  ]);
});

test('misshapen objects are faulty, not fatal', () => {
  for (const [apiVersion, kind] of [
    ['v1', 'Pod'],
    ['v1', 'Service'],
    ['apps/v1', 'Deployment'],
    ['batch/v1', 'Job'],
    ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'],
    ['discovery.k8s.io/v1', 'EndpointSlice'],
  ] as const) {
    const type = typeOf(apiVersion, kind);
    assert.ok(validateObject(type, {}).length > 0, kind);
    assert.doesNotThrow(() =>
      validateObject(type, { metadata: [], spec: { containers: 3, template: 'x', versions: [null], ports: [1] } }),
    );
  }
  assert.deepEqual(asObject(field({}, 'constructor')), {});
});
