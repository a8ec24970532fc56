import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { after, before, test } from 'node:test';
import { isJsonObject } from './object.ts';
import { at, TestServer } from './test-server.ts';
import { seededRandom } from '../../test/harness/random.ts';

let server: TestServer;
before(async () => {
  server = await TestServer.start();
  await server.server.client.create('serviceaccounts', { metadata: { name: 'default', namespace: 'default' } });
});
after(() => server[Symbol.asyncDispose]());

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const oddities: readonly unknown[] = [
  null,
  '',
  'x',
  ' ',
  '../..',
  '\u0000',
  'ä'.repeat(300),
  -1,
  0,
  0.5,
  1e300,
  2 ** 53,
  true,
  [],
  [null],
  [[]],
  {},
  { '': 1 },
  { a: { b: null } },
  ['a', 1],
  { __proto__: null, constructor: 'x' },
  '2026-01-01T00:00:00Z',
  '10%',
  { kind: 'List' },
];

/** A copy with one random part replaced, removed or doubled. */
function mutated(value: unknown, random: () => number): unknown {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  if (random() < 0.15) return pick(oddities);
  if (Array.isArray(value)) {
    const index = Math.floor(random() * value.length);
    if (random() < 0.2) return [...(value as unknown[]), ...(value as unknown[])];
    return value.map((item: unknown, position) => (position === index ? mutated(item, random) : item));
  }
  if (!isJsonObject(value)) return pick(oddities);
  const key = pick(Object.keys(value));
  if (key === undefined) return pick(oddities);
  if (random() < 0.1) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
  return { ...value, [key]: mutated(value[key], random) };
}

const template = {
  metadata: { labels: { app: 'x' }, annotations: { a: 'b' } },
  spec: {
    initContainers: [
      { name: 'i', image: 'x', restartPolicy: 'Always', startupProbe: { httpGet: { path: '/', port: 80 } } },
    ],
    containers: [
      {
        name: 'c',
        image: 'x',
        args: ['a'],
        env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        ports: [{ name: 'http', containerPort: 80 }],
        resources: { limits: { cpu: '2', memory: '1Gi' }, requests: { cpu: 1 } },
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
        readinessProbe: { tcpSocket: { port: 'http' } },
      },
    ],
    volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't', audience: 'a' } }] } }],
    tolerations: [{ key: 'a', operator: 'Exists' }],
  },
};
const selector = { matchLabels: { app: 'x' }, matchExpressions: [{ key: 'app', operator: 'In', values: ['x'] }] };
const metadata = { generateName: 'fuzz-', labels: { a: 'b' }, finalizers: [], ownerReferences: [] };
const schema = {
  type: 'object',
  properties: { spec: { type: 'object', 'x-kubernetes-validations': [{ rule: 'true' }] } },
};
const version = {
  name: 'v1',
  served: true,
  storage: true,
  schema: { openAPIV3Schema: schema },
  subresources: { status: {} },
};

const kinds: readonly (readonly [path: string, object: Record<string, unknown>])[] = [
  ['/api/v1/namespaces/default/pods', { metadata, spec: template.spec }],
  [
    '/apis/apps/v1/namespaces/default/deployments',
    { metadata, spec: { selector, template, strategy: { rollingUpdate: { maxSurge: '25%' } } } },
  ],
  [
    '/apis/batch/v1/namespaces/default/jobs',
    { metadata, spec: { template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } } },
  ],
  [
    '/api/v1/namespaces/default/services',
    {
      metadata,
      spec: { type: 'NodePort', selector: { a: 'b' }, ports: [{ port: 80, targetPort: 'http', protocol: 'TCP' }] },
    },
  ],
  ['/api/v1/namespaces/default/secrets', { metadata, stringData: { a: 'b' }, data: { c: 'ZA==' } }],
  [
    '/apis/rbac.authorization.k8s.io/v1/clusterroles',
    {
      metadata,
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
      aggregationRule: { clusterRoleSelectors: [selector] },
    },
  ],
  [
    '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings',
    {
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
      subjects: [{ kind: 'User', name: 'u' }],
    },
  ],
  [
    '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
    {
      metadata,
      webhooks: [
        {
          name: 'a.b.c',
          clientConfig: { url: 'https://127.0.0.1:1/x', caBundle: '' },
          rules: [{ operations: ['CREATE'], apiGroups: ['none'], apiVersions: ['v1'], resources: ['none'] }],
          objectSelector: selector,
          matchConditions: [{ name: 'x', expression: 'true' }],
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          failurePolicy: 'Ignore',
        },
      ],
    },
  ],
  [
    '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices',
    {
      metadata,
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
      ports: [{ port: 80 }],
    },
  ],
  ['/apis/policy/v1/namespaces/default/poddisruptionbudgets', { metadata, spec: { minAvailable: '50%', selector } }],
  [
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    {
      metadata: { ...metadata, name: 'foos.demo.io' },
      spec: { group: 'demo.io', scope: 'Namespaced', names: { plural: 'foos', kind: 'Foo' }, versions: [version] },
    },
  ],
  [
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    { spec: { user: 'u', groups: ['g'], resourceAttributes: { verb: 'get', resource: 'pods' } } },
  ],
  ['/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: 'x', audiences: ['a'] } }],
];

for (const [index, [path, object]] of kinds.entries()) {
  test(`broken ${path.split('/').at(-1)} are refused as such, never with a fault of the server (SEED=${seed})`, async () => {
    const random = seededRandom(seed + index);
    const whole = await server.request(`${path}?dryRun=All`, { body: object });
    assert.equal(whole.status, 201, `the undamaged object: ${whole.text}`);
    for (let round = 0; round < 60; round += 1) {
      const body = mutated(mutated(object, random), random);
      const reply = await server.request(`${path}?dryRun=All`, { body: JSON.stringify(body) });
      assert.ok(reply.status < 500, `${reply.status} ${reply.text}\n${JSON.stringify(body)}`);
    }
  });
}

test(`broken patches are refused as such (SEED=${seed})`, async () => {
  const random = seededRandom(seed);
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const created = await server.request(path, { body: { metadata: { name: 'patched' }, spec: { selector, template } } });
  assert.equal(created.status, 201, created.text);
  const merge = { metadata: { labels: { a: null } }, spec: { replicas: 2, template } };
  const operations = [
    { op: 'replace', path: '/spec/replicas', value: 3 },
    { op: 'add', path: '/metadata/labels', value: {} },
  ];
  const apply = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'patched' },
    spec: { selector, template },
  };
  const patches = [
    ['application/strategic-merge-patch+json', merge],
    ['application/merge-patch+json', merge],
    ['application/json-patch+json', operations],
    ['application/apply-patch+yaml', apply],
  ] as const;
  for (const [contentType, patch] of patches) {
    for (let round = 0; round < 60; round += 1) {
      const body = JSON.stringify(mutated(mutated(patch, random), random));
      const query = 'dryRun=All&fieldManager=fuzz&fieldValidation=Strict';
      const reply = await server.request(`${path}/patched?${query}`, { method: 'PATCH', contentType, body });
      assert.ok(reply.status < 500, `${contentType} ${reply.status} ${reply.text}\n${body}`);
    }
  }
});

test('a reader that stops reading is cut off instead of being buffered for without end', async () => {
  const target = { host: '127.0.0.1', port: server.port, path: '/api/v1/namespaces/default/configmaps?watch=true' };
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = httpsRequest({ ...server.tls(), ...target }, resolve);
  request.on('error', reject);
  request.end();
  const response = await promise; // nothing is read as long as nobody listens for data
  const { client } = server.server;
  await client.create('configmaps', { metadata: { name: 'big', namespace: 'default' } });
  const changes = 100;
  for (let round = 0; round < changes; round += 1) {
    const data = { blob: `${round}`.padEnd(400_000, 'x') };
    await client.patch('configmaps', 'default', 'big', 'merge', { data });
  }
  let bytes = 0;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  response.on('error', () => end());
  response.on('close', end);
  response.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await ended;
  assert.equal(response.complete, false);
  assert.ok(bytes < changes * 400_000, `${bytes} bytes were kept for it`);
});

test('Services created at once have cluster IPs of their own', async () => {
  const path = '/api/v1/namespaces/default/services';
  const body = { metadata: { generateName: 'many-' }, spec: { ports: [{ port: 80 }] } };
  const replies = await Promise.all(Array.from({ length: 30 }, () => server.request(path, { body })));
  assert.equal(new Set(replies.map(({ json }) => at(json, 'spec', 'clusterIP'))).size, 30);
});
