import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '../json.ts';
import { faults, typeOf } from './test-faults.ts';

test('access control, webhooks and the rest', () => {
  const rbac = 'rbac.authorization.k8s.io/v1';
  const bindings = typeOf(rbac, 'RoleBinding');
  const binding = (name: string): JsonObject => ({
    metadata: { name: 'b' },
    roleRef: { kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name: 's' }],
  });
  assert.deepEqual(faults(bindings, binding('r')), []);
  assert.deepEqual(faults(bindings, binding('x'), binding('r')), [
    'roleRef: Invalid value: rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"x"}: cannot change roleRef',
  ]);
  assert.deepEqual(faults(typeOf(rbac, 'ClusterRoleBinding'), binding('r')), [
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
    'subjects[0].namespace: Required value',
  ]);
  assert.deepEqual(
    faults(typeOf(rbac, 'Role'), {
      metadata: { name: 'r' },
      rules: [
        { verbs: [], resources: ['pods'] },
        { verbs: ['get'], nonResourceURLs: ['/x'] },
      ],
    }),
    [
      'rules[0].verbs: Required value: verbs must contain at least one value',
      'rules[0].apiGroups: Required value: resource rules must supply at least one api group',
      'rules[1].nonResourceURLs: Invalid value: []string{"/x"}: namespaced rules cannot apply to non-resource URLs',
    ],
  );
  const hooks = typeOf('admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration');
  const hook = {
    name: 'a.b.c',
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    clientConfig: { service: { name: 's', namespace: 'n' } },
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
  };
  assert.deepEqual(faults(hooks, { metadata: { name: 'h' }, webhooks: [hook] }), []);
  assert.deepEqual(
    faults(hooks, {
      metadata: { name: 'h' },
      webhooks: [
        {
          ...hook,
          name: 'short',
          sideEffects: undefined,
          clientConfig: {},
          admissionReviewVersions: [],
          timeoutSeconds: 99,
        },
        hook,
        hook,
      ],
    }),
    [
      'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots',
      'webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun',
      'webhooks[0].timeoutSeconds: Invalid value: 99: the timeout value must be between 1 and 30 seconds',
      'webhooks[0].clientConfig: Required value: exactly one of url or service is required',
      'webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1',
      'webhooks[2].name: Duplicate value: "a.b.c"',
    ],
  );
  assert.deepEqual(
    faults(hooks, { metadata: { name: 'h' }, webhooks: [{ ...hook, clientConfig: { url: 'http://x/y?z=1' } }] }),
    [
      'webhooks[0].clientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: https://host[/path]',
      'webhooks[0].clientConfig.url: Invalid value: "z=1": query parameters are not permitted in the URL',
    ],
  );
  assert.deepEqual(
    faults(
      typeOf('v1', 'ConfigMap'),
      { metadata: { name: 'c' }, immutable: true, data: { a: '2' } },
      { metadata: { name: 'c' }, immutable: true, data: { a: '1' } },
    ),
    ['data: Forbidden: field is immutable when `immutable` is set'],
  );
  assert.match(
    faults(typeOf('v1', 'ConfigMap'), { metadata: { name: 'c' }, data: { 'a b': '2' } })[0] ?? '',
    /^data\[a b\]: Invalid value: "a b": a valid config key must consist/,
  );
  assert.deepEqual(
    faults(typeOf('v1', 'Secret'), { metadata: { name: 's' }, type: 'kubernetes.io/tls', data: { 'tls.crt': '' } }),
    ['data[tls.key]: Required value'],
  );
  assert.deepEqual(
    faults(typeOf('v1', 'Secret'), { metadata: { name: 's' }, type: 'x' }, { metadata: { name: 's' } }),
    ['type: Invalid value: "x": field is immutable'],
  );
  assert.deepEqual(
    faults(typeOf('policy/v1', 'PodDisruptionBudget'), { metadata: { name: 'p' }, spec: { maxUnavailable: '101%' } }),
    ['spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
  );
  assert.deepEqual(
    faults(typeOf('discovery.k8s.io/v1', 'EndpointSlice'), {
      metadata: { name: 'e' },
      addressType: 'IPv4',
      endpoints: [{ addresses: [] }, { addresses: ['::1'] }],
    }),
    [
      'endpoints[0].addresses: Required value: must contain at least 1 address',
      'endpoints[1].addresses[0]: Invalid value: "::1": must be an IPv4 address',
    ],
  );
});

test('custom resource definitions', () => {
  const type = typeOf('apiextensions.k8s.io/v1', 'CustomResourceDefinition');
  const version = {
    name: 'v1',
    served: true,
    storage: true,
    schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object' } } } },
  };
  const crd = (spec: JsonObject, metadata: JsonObject = {}): JsonObject => ({
    metadata: { name: 'foos.demo.io', ...metadata },
    spec: {
      group: 'demo.io',
      scope: 'Namespaced',
      names: { kind: 'Foo', plural: 'foos' },
      versions: [version],
      ...spec,
    },
  });
  const schema = (openAPIV3Schema: JsonObject): JsonObject =>
    crd({ versions: [{ ...version, schema: { openAPIV3Schema } }] });
  const good = crd({
    versions: [
      {
        ...version,
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
        },
        additionalPrinterColumns: [
          { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
        ],
      },
      { ...version, name: 'v1beta1', storage: false },
    ],
  });
  assert.deepEqual(faults(type, good), []);
  const cases: readonly (readonly [object: JsonObject, ...faults: string[]])[] = [
    [
      crd({}, { name: 'x.demo.io' }),
      'metadata.name: Invalid value: "x.demo.io": must be spec.names.plural+"."+spec.group',
    ],
    [crd({ scope: 'Global' }), 'spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"'],
    [
      crd({ versions: [{ ...version, storage: false }] }),
      'spec.versions: Invalid value: [{"name":"v1","served":true,"storage":false}]: must have exactly one version marked as storage version',
    ],
    [
      crd({ versions: [{ ...version, schema: undefined }] }),
      'spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required',
    ],
    [
      schema({ type: 'object', properties: { spec: {} } }),
      'spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields',
    ],
    [
      schema({ type: 'string' }),
      'spec.validation.openAPIV3Schema.type: Invalid value: "string": must be object at the root',
    ],
    [
      schema({ type: 'object', properties: { a: { type: 'array' } } }),
      'spec.validation.openAPIV3Schema.properties[a].items: Required value: must be specified',
    ],
    [
      schema({ type: 'object', properties: { a: { type: 'string', anyOf: [{ type: 'string' }] } } }),
      'spec.validation.openAPIV3Schema.properties[a].anyOf[0].type: Forbidden: must be empty to be structural',
    ],
    [
      schema({ type: 'object', properties: { a: { type: 'string', pattern: '(' } } }),
      'spec.validation.openAPIV3Schema.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: `(`',
    ],
    [
      schema({
        type: 'object',
        properties: {
          a: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['n'],
            items: { type: 'object', properties: { n: { type: 'string' } } },
          },
        },
      }),
      'spec.validation.openAPIV3Schema.properties[a].items.properties[n].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
    ],
    [
      crd({ versions: [{ ...version, additionalPrinterColumns: [{ name: 'A', type: 'text', jsonPath: 'x' }] }] }),
      'spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string',
      'spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple json path starting with .',
    ],
  ];
  for (const [object, ...expected] of cases) assert.deepEqual(faults(type, object), expected);
  const ours = crd({ group: 'x.k8s.io' }, { name: 'foos.x.k8s.io' });
  assert.match(
    faults(type, ours)[0] ?? '',
    /^metadata\.annotations\[api-approved\.kubernetes\.io\]: Required value: protected groups must have approval annotation/,
  );
  assert.deepEqual(faults(type, crd({ scope: 'Cluster' }), crd({})), [
    'spec.scope: Invalid value: "Cluster": field is immutable',
  ]);
});

test('a definition with a rule that does not parse is refused', () => {
  const type = typeOf('apiextensions.k8s.io/v1', 'CustomResourceDefinition');
  const spec = { type: 'object', 'x-kubernetes-validations': [{ rule: 'self.a >' }] };
  const version = {
    name: 'v1',
    served: true,
    storage: true,
    schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
  };
  const crd = {
    metadata: { name: 'foos.demo.io' },
    spec: { group: 'demo.io', scope: 'Cluster', names: { kind: 'Foo', plural: 'foos' }, versions: [version] },
  };
  assert.match(
    faults(type, crd)[0] ?? '',
    /^spec\.validation\.openAPIV3Schema\.properties\[spec\]\.x-kubernetes-validations\[0\]\.rule: Invalid value: "self\.a >": compilation failed: ERROR: <input>:1:9: Syntax error/,
  );
});
