import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../status-error.ts';
import { duplicateFields } from './duplicate-fields.ts';
import { field, fieldAt, type JsonObject } from './json.ts';
import { parseQuantity, printQuantity } from './quantity.ts';
import { decodeBuiltin, strictDecodingError } from './strict-fields.ts';

const deployment = { group: 'apps', version: 'v1', kind: 'Deployment' };
const pod = { group: '', version: 'v1', kind: 'Pod' };

test('unknown fields fall away and are named with their path', () => {
  const { object, problems } = decodeBuiltin(deployment, {
    kind: 'Deployment',
    spec: { zzz: 1, replicas: 2, template: { spec: { containers: [{ name: 'a', imagee: 'x' }] } } },
    extra: {},
  });
  assert.deepEqual(problems, [
    'unknown field "spec.zzz"',
    'unknown field "spec.template.spec.containers[0].imagee"',
    'unknown field "extra"',
  ]);
  assert.deepEqual(object, {
    kind: 'Deployment',
    spec: { replicas: 2, template: { spec: { containers: [{ name: 'a' }] } } },
  });
  assert.equal(
    strictDecodingError(deployment, problems.slice(0, 1)).message,
    'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.zzz"',
  );
});

test('duplicate fields are found in the text, at any depth', () => {
  const text = '{"a":1,"b":{"c":[{"d":1,"e":{},"d":2}],"c":3},"x\\"y":"{\\"a\\":1,\\"a\\":2}","\\u0061":2}';
  assert.deepEqual(duplicateFields(text), ['b.c[0].d', 'b.c', 'a']);
  const body = '{"metadata":{"labels":{"a":"1","a":"2"}}}';
  assert.deepEqual(decodeBuiltin(pod, JSON.parse(body), body).problems, ['duplicate field "metadata.labels.a"']);
  assert.deepEqual(duplicateFields('{"a":[[1,2],[3]],"b":"x"}'), []);
});

test('a value of the wrong type is a bad request in the words of the Go decoder', () => {
  const cases: readonly (readonly [object: JsonObject, message: string])[] = [
    [
      { spec: { replicas: 'x' } },
      'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [
      { spec: { replicas: 1.5 } },
      'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [
      { spec: { replicas: 2147483648 } },
      'json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [
      { spec: { template: { spec: { containers: [{ env: [{ name: 'A', value: 1 }] }] } } } },
      'json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string',
    ],
    [
      { spec: { paused: 'true' } },
      'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool',
    ],
    [{ spec: [] }, 'json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec'],
    [
      { spec: { template: { spec: { containers: {} } } } },
      'json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container',
    ],
    [
      { metadata: { labels: { a: true } } },
      'json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    [
      { spec: { template: { spec: { containers: [{ resources: { limits: { cpu: 'lots' } } }] } } } },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [
      { metadata: { creationTimestamp: 'yesterday' } },
      'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
    ],
  ];
  for (const [object, message] of cases) {
    assert.throws(
      () => decodeBuiltin(deployment, object),
      (error) =>
        error instanceof StatusError &&
        error.code === 400 &&
        error.message === `Deployment in version "v1" cannot be handled as a Deployment: ${message}`,
      message,
    );
  }
  assert.throws(() => decodeBuiltin(pod, []), /cannot unmarshal array into Go value of type v1\.Pod/);
  assert.throws(
    () => decodeBuiltin({ group: '', version: 'v1', kind: 'Secret' }, { data: { a: 'not base64!' } }),
    /illegal base64 data at input byte 3/,
  );
  assert.throws(
    () => decodeBuiltin({ group: 'demo.io', version: 'v1', kind: 'Pod' }, {}),
    /no kind "Pod" is registered/,
  );
});

test('nulls and empty optional lists and maps are left out, empty structs stay', () => {
  const { object, problems } = decodeBuiltin(pod, {
    metadata: { name: 'p', labels: {}, annotations: null, finalizers: [], creationTimestamp: null },
    spec: { containers: [], volumes: [{ name: 'v', emptyDir: {} }], securityContext: {}, nodeSelector: { a: null } },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(object, {
    metadata: { name: 'p' },
    spec: { containers: [], volumes: [{ name: 'v', emptyDir: {} }], securityContext: {}, nodeSelector: { a: '' } },
  });
});

test('free-form parts are kept as they are', () => {
  const crd = { group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition' };
  const schema = {
    type: 'object',
    properties: { a: { default: { x: null, y: [] }, enum: [1, 'a', null], type: 'string' } },
  };
  const { object } = decodeBuiltin(crd, { spec: { versions: [{ schema: { openAPIV3Schema: schema } }] } });
  const versions = fieldAt(object, 'spec', 'versions');
  assert.ok(Array.isArray(versions));
  assert.deepEqual(fieldAt(versions[0], 'schema', 'openAPIV3Schema'), schema);
});

test('times and quantities take their canonical form', () => {
  const { object } = decodeBuiltin(
    { group: 'coordination.k8s.io', version: 'v1', kind: 'Lease' },
    {
      metadata: { creationTimestamp: '2026-01-02T03:04:05.678+01:00' },
      spec: { renewTime: '2026-01-02T03:04:05.123456Z', acquireTime: '2026-01-02T03:04:05Z' },
    },
  );
  assert.equal(fieldAt(object, 'metadata', 'creationTimestamp'), '2026-01-02T02:04:05Z');
  assert.deepEqual(field(object, 'spec'), {
    renewTime: '2026-01-02T03:04:05.123456Z',
    acquireTime: '2026-01-02T03:04:05.000000Z',
  });
  const quantities: readonly (readonly [text: string, canonical: string])[] = [
    ['0.5', '500m'],
    ['1000m', '1'],
    ['1024Mi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['100', '100'],
    ['1e3', '1e3'],
    ['2000', '2k'],
    ['0', '0'],
    ['0Mi', '0'],
    ['1', '1'],
    ['250M', '250M'],
    ['0.1', '100m'],
    ['512', '512'],
    ['512Ki', '512Ki'],
    ['-1500m', '-1500m'],
    ['0.5Ki', '512'],
    ['1Ei', '1Ei'],
    ['0.0000000001', '1n'],
    ['.5', '500m'],
  ];
  for (const [text, canonical] of quantities) {
    const quantity = parseQuantity(text);
    assert.ok(quantity !== undefined, text);
    assert.equal(printQuantity(quantity), canonical, text);
  }
  for (const text of ['', 'm', '1mi', '1 Gi', '1.2.3', '--1', '1e', `1e${'9'.repeat(9)}`, 'NaN', '0x10']) {
    assert.equal(parseQuantity(text), undefined, text);
  }
});

test('documents nested beyond the bound are refused, not recursed into', () => {
  const deep: unknown = JSON.parse(`${'{"spec":'.repeat(100_000)}1${'}'.repeat(100_000)}`);
  assert.throws(
    () => decodeBuiltin(pod, deep),
    (error) => error instanceof StatusError && error.code === 400,
  );
});

test('keys that Object has by itself are unknown fields like any other', () => {
  const body = '{"__proto__":{"a":1},"constructor":{},"toString":1,"metadata":{"labels":{"__proto__":"x"}}}';
  const { object, problems } = decodeBuiltin(pod, JSON.parse(body), body);
  assert.deepEqual(problems, ['unknown field "__proto__"', 'unknown field "constructor"', 'unknown field "toString"']);
  assert.ok(Object.hasOwn(fieldAt(object, 'metadata', 'labels') as object, '__proto__'));
});
