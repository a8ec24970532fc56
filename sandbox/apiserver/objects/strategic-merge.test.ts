import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../status-error.ts';
import type { JsonObject } from './json.ts';
import { applyStrategicMerge } from './strategic-merge.ts';

const two = {
  spec: {
    containers: [
      { name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }] },
      { name: 'b', image: 'b:1' },
    ],
  },
};

type Case = readonly [name: string, model: string, document: JsonObject, patch: JsonObject, result: JsonObject];

const cases: readonly Case[] = [
  [
    'a list with a merge key merges item by item, items of the patch keep the order of the server',
    'V1Pod',
    two,
    { spec: { containers: [{ name: 'b', image: 'b:2' }] } },
    {
      spec: {
        containers: [
          { name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }] },
          { name: 'b', image: 'b:2' },
        ],
      },
    },
  ],
  [
    'an unknown key is a new item; without an order directive it goes first',
    'V1Pod',
    { spec: { containers: [{ name: 'a' }] } },
    { spec: { containers: [{ name: 'c', image: 'c' }] } },
    { spec: { containers: [{ name: 'c', image: 'c' }, { name: 'a' }] } },
  ],
  [
    '$patch: delete removes an item',
    'V1Pod',
    two,
    { spec: { containers: [{ name: 'a', $patch: 'delete' }] } },
    { spec: { containers: [{ name: 'b', image: 'b:1' }] } },
  ],
  [
    '$patch: replace in a list drops what the patch does not name',
    'V1Pod',
    two,
    { spec: { containers: [{ name: 'c', image: 'c' }, { $patch: 'replace' }] } },
    { spec: { containers: [{ name: 'c', image: 'c' }] } },
  ],
  [
    '$patch: replace in an object replaces it',
    'V1Deployment',
    { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } },
    { spec: { strategy: { $patch: 'replace', type: 'Recreate' } } },
    { spec: { strategy: { type: 'Recreate' } } },
  ],
  [
    '$retainKeys drops the fields that go with the old type',
    'V1Deployment',
    { spec: { replicas: 1, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } },
    { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
    { spec: { replicas: 1, strategy: { type: 'Recreate' } } },
  ],
  [
    'a volume changes its source, as kubectl apply sends it',
    'V1Pod',
    { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
    { spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] } },
    { spec: { volumes: [{ name: 'v', configMap: { name: 'c' } }] } },
  ],
  [
    'kubectl set image: the order directive keeps the order',
    'V1Deployment',
    { spec: { template: two } },
    {
      spec: {
        template: {
          spec: {
            '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }],
            containers: [{ name: 'a', image: 'a:2' }],
          },
        },
      },
    },
    {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'a', image: 'a:2', env: [{ name: 'X', value: '1' }] },
              { name: 'b', image: 'b:1' },
            ],
          },
        },
      },
    },
  ],
  [
    'the order directive alone reorders',
    'V1Pod',
    { spec: { containers: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] } },
    { spec: { '$setElementOrder/containers': [{ name: 'c' }, { name: 'a' }] } },
    { spec: { containers: [{ name: 'b' }, { name: 'c' }, { name: 'a' }] } },
  ],
  [
    'an injected sidecar that the order does not name stays where it was',
    'V1Pod',
    { spec: { containers: [{ name: 'proxy' }, { name: 'a' }, { name: 'b' }] } },
    {
      spec: {
        '$setElementOrder/containers': [{ name: 'a' }, { name: 'b' }, { name: 'n' }],
        containers: [{ name: 'n', image: 'n' }],
      },
    },
    { spec: { containers: [{ name: 'proxy' }, { name: 'a' }, { name: 'b' }, { name: 'n', image: 'n' }] } },
  ],
  [
    'a list without merge key is replaced',
    'V1Pod',
    { spec: { tolerations: [{ key: 'a' }], containers: [{ name: 'a', args: ['1', '2'] }] } },
    { spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', args: ['3'] }] } },
    { spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', args: ['3'] }] } },
  ],
  [
    'service ports merge by port number',
    'V1Service',
    { spec: { ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: 30000 }] } },
    {
      spec: {
        ports: [
          { name: 'http', port: 80, targetPort: 9090 },
          { name: 'admin', port: 81 },
        ],
      },
    },
    {
      spec: {
        ports: [
          { name: 'http', port: 80, targetPort: 9090, nodePort: 30000 },
          { name: 'admin', port: 81 },
        ],
      },
    },
  ],
  [
    'finalizers merge as a set',
    'V1Pod',
    { metadata: { finalizers: ['a/x', 'b/y'] } },
    { metadata: { finalizers: ['b/y', 'c/z'] } },
    { metadata: { finalizers: ['a/x', 'b/y', 'c/z'] } },
  ],
  [
    '$deleteFromPrimitiveList removes from a set',
    'V1Pod',
    { metadata: { finalizers: ['a/x', 'b/y'] } },
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['a/x'], '$setElementOrder/finalizers': ['b/y'] } },
    { metadata: { finalizers: ['b/y'] } },
  ],
  [
    'null deletes a field, also where there is none',
    'V1Deployment',
    { metadata: { labels: { a: '1', b: '2' } }, spec: { replicas: 3 } },
    { metadata: { labels: { a: null, c: null }, annotations: { x: null } }, spec: { replicas: null } },
    { metadata: { labels: { b: '2' }, annotations: {} }, spec: {} },
  ],
  [
    'webhooks merge by name, as a certificate injector patches them',
    'V1MutatingWebhookConfiguration',
    { webhooks: [{ name: 'w', failurePolicy: 'Fail', clientConfig: { service: { name: 's' } } }] },
    { webhooks: [{ name: 'w', clientConfig: { caBundle: 'QQ==' } }] },
    { webhooks: [{ name: 'w', failurePolicy: 'Fail', clientConfig: { service: { name: 's' }, caBundle: 'QQ==' } }] },
  ],
  [
    'status conditions merge by type',
    'V1Pod',
    {
      status: {
        conditions: [
          { type: 'Ready', status: 'False', reason: 'x' },
          { type: 'Initialized', status: 'True' },
        ],
      },
    },
    { status: { conditions: [{ type: 'Ready', status: 'True' }] } },
    {
      status: {
        conditions: [
          { type: 'Ready', status: 'True', reason: 'x' },
          { type: 'Initialized', status: 'True' },
        ],
      },
    },
  ],
  [
    'the selector of a disruption budget is replaced',
    'V1PodDisruptionBudget',
    { spec: { selector: { matchLabels: { a: '1' } } } },
    { spec: { selector: { matchLabels: { b: '2' } } } },
    { spec: { selector: { matchLabels: { b: '2' } } } },
  ],
  [
    '$patch: delete empties an object',
    'V1Pod',
    { spec: { securityContext: { runAsUser: 1 } } },
    { spec: { securityContext: { $patch: 'delete' } } },
    { spec: { securityContext: {} } },
  ],
];

test('strategic merge patches apply as the API machinery does and leave their input alone', () => {
  for (const [name, model, document, patch, result] of cases) {
    const given: JsonObject = JSON.parse(JSON.stringify(patch));
    const before = structuredClone([document, given]);
    assert.deepEqual(applyStrategicMerge(model, document, given), result, name);
    assert.deepEqual([document, given], before, name);
  }
});

test('a malformed strategic merge patch is a bad request', () => {
  const patches: readonly (readonly [patch: unknown, message: RegExp])[] = [
    [[], /invalid JSON document/],
    [{ spec: { containers: [{ image: 'x' }] } }, /does not contain declared merge key: name/],
    [{ spec: { containers: ['a'] } }, /list element types are not identical/],
    [{ spec: { containers: [['a']] } }, /lists of lists/],
    [{ spec: { $patch: 'zap' } }, /unknown patch type: "zap"/],
    [{ spec: { $retainKeys: 'x' } }, /invalid patch format of retainKeys/],
    [{ spec: { $retainKeys: ['volumes'], containers: [{ name: 'a' }] } }, /invalid patch format of retainKeys/],
    [{ spec: { '$setElementOrder/containers': 'x' } }, /setElementOrder list/],
    [{ spec: { '$setElementOrder/containers': [{ name: 'b' }], containers: [{ name: 'a' }] } }, /order in patch list/],
    [{ metadata: { '$deleteFromPrimitiveList/finalizers': 'a' } }, /primitive list/],
  ];
  for (const [patch, message] of patches) {
    assert.throws(
      () =>
        applyStrategicMerge('V1Pod', { spec: { containers: [{ name: 'a' }] }, metadata: { finalizers: ['a'] } }, patch),
      (error) => error instanceof StatusError && error.code === 400 && message.test(error.message),
      JSON.stringify(patch),
    );
  }
});

test('hostile keys and objects where lists belong do not disturb a merge', () => {
  const patch = JSON.parse(
    '{"__proto__":{"x":1},"metadata":{"labels":{"__proto__":"v","constructor":"w"}},"spec":{"containers":{"a":1}}}',
  );
  const result = applyStrategicMerge('V1Pod', { spec: { containers: [{ name: 'a' }] } }, patch);
  assert.equal(Object.getPrototypeOf(result), Object.prototype);
  assert.deepEqual(Object.keys(result).sort(), ['__proto__', 'metadata', 'spec']);
  assert.deepEqual(result['spec'], { containers: { a: 1 } });
  assert.equal((Object.prototype as { x?: number }).x, undefined);
});

test('huge lists merge in time', () => {
  const env = Array.from({ length: 20_000 }, (_, index) => ({ name: `V${index}`, value: 'a' }));
  const patch = { spec: { containers: [{ name: 'a', env: env.map(({ name }) => ({ name, value: 'b' })) }] } };
  const result = applyStrategicMerge('V1Pod', { spec: { containers: [{ name: 'a', env }] } }, patch);
  assert.equal(JSON.stringify(result).includes('"value":"a"'), false);
});
