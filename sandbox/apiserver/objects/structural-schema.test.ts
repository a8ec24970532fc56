import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../status-error.ts';
import type { FieldCause } from './field-error.ts';
import { field, type JsonObject } from './json.ts';
import { validateBySchema } from './schema-validation.ts';
import { applySchemaDefaults, decodeCustom } from './structural-schema.ts';

const schema: JsonObject = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10 },
        name: { type: 'string', minLength: 2, maxLength: 5, pattern: '^[a-z]+$' },
        color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
        when: { type: 'string', format: 'date-time' },
        port: { 'x-kubernetes-int-or-string': true },
        note: { type: 'string', nullable: true },
        rules: {
          type: 'array',
          minItems: 1,
          maxItems: 2,
          items: { type: 'object', properties: { weight: { type: 'integer', default: 1 }, name: { type: 'string' } } },
        },
        free: {
          type: 'object',
          'x-kubernetes-preserve-unknown-fields': true,
          properties: { known: { type: 'object' } },
        },
        labels: { type: 'object', additionalProperties: { type: 'string' } },
        template: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { spec: { type: 'object' } } },
        list: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
        map: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', properties: { name: { type: 'string' }, value: { type: 'integer', minimum: 0 } } },
        },
        nested: { type: 'object', properties: { deep: { type: 'string', default: 'x' } } },
        defaulted: { type: 'object', default: {}, properties: { deep: { type: 'string', default: 'x' } } },
        choice: {
          type: 'object',
          properties: { a: { type: 'string' }, b: { type: 'string' } },
          oneOf: [{ required: ['a'] }, { required: ['b'] }],
        },
        some: { type: 'string', anyOf: [{ format: 'ipv4' }, { pattern: '^x' }] },
        step: { type: 'number', multipleOf: 0.5, exclusiveMinimum: true, minimum: 0 },
      },
    },
  },
};

test('unknown fields are pruned and named, except where the schema preserves them', () => {
  const { object, problems } = decodeCustom(schema, {
    apiVersion: 'demo.io/v1',
    kind: 'Foo',
    metadata: { name: 'f', labels: { a: 'b' }, zap: 1 },
    extra: 1,
    spec: {
      size: 1,
      zzz: { a: 1 },
      rules: [{ name: 'a', bad: 1 }],
      free: { any: { thing: [1] }, known: { gone: 1 } },
      labels: { x: 'y' },
      template: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', wrong: 1 }, spec: { a: 1 }, other: 1 },
    },
  });
  assert.deepEqual(problems, [
    'unknown field "extra"',
    'unknown field "metadata.zap"',
    'unknown field "spec.free.known.gone"',
    'unknown field "spec.rules[0].bad"',
    'unknown field "spec.template.metadata.wrong"',
    'unknown field "spec.template.other"',
    'unknown field "spec.template.spec.a"',
    'unknown field "spec.zzz"',
  ]);
  assert.deepEqual(object, {
    apiVersion: 'demo.io/v1',
    kind: 'Foo',
    metadata: { name: 'f', labels: { a: 'b' } },
    spec: {
      size: 1,
      rules: [{ name: 'a' }],
      free: { any: { thing: [1] }, known: {} },
      labels: { x: 'y' },
      template: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: {} },
    },
  });
  const text = '{"spec":{"size":1,"size":2}}';
  assert.deepEqual(decodeCustom(schema, JSON.parse(text), text).problems, ['duplicate field "spec.size"']);
});

test('nulls go where they are not allowed, or give way to the default', () => {
  const { object } = decodeCustom(schema, { spec: { size: null, note: null, color: null, labels: { a: null } } });
  assert.deepEqual(object, { spec: { note: null, color: null, labels: {} } });
  assert.deepEqual(field(applySchemaDefaults(schema, object), 'spec'), {
    note: null,
    color: 'red',
    labels: {},
    defaulted: { deep: 'x' },
  });
});

test('defaults reach into lists and existing objects, and leave the input alone', () => {
  const input = { spec: { size: 1, rules: [{ name: 'a' }, { weight: 5 }], nested: {} } };
  const before = structuredClone(input);
  const result = applySchemaDefaults(schema, input);
  assert.deepEqual(result, {
    spec: {
      size: 1,
      rules: [{ name: 'a', weight: 1 }, { weight: 5 }],
      nested: { deep: 'x' },
      color: 'red',
      defaulted: { deep: 'x' },
    },
  });
  assert.deepEqual(input, before);
  assert.equal(applySchemaDefaults(schema, result), result);
  assert.deepEqual(applySchemaDefaults(schema, {}), {});
});

function causes(spec: JsonObject, old?: JsonObject): readonly FieldCause[] {
  return validateBySchema(schema, { spec }, old === undefined ? undefined : { spec: old });
}

test('faults are worded as the API server words them', () => {
  const cases: readonly (readonly [spec: JsonObject, field: string, reason: string, message: string])[] = [
    [{}, 'spec.size', 'FieldValueRequired', 'Required value'],
    [
      { size: 99 },
      'spec.size',
      'FieldValueInvalid',
      'Invalid value: 99: spec.size in body should be less than or equal to 10',
    ],
    [
      { size: 0 },
      'spec.size',
      'FieldValueInvalid',
      'Invalid value: 0: spec.size in body should be greater than or equal to 1',
    ],
    [
      { size: 'x' },
      'spec.size',
      'FieldValueTypeInvalid',
      'Invalid value: "string": spec.size in body must be of type integer: "string"',
    ],
    [
      { size: 1.5 },
      'spec.size',
      'FieldValueTypeInvalid',
      'Invalid value: "number": spec.size in body must be of type integer: "number"',
    ],
    [
      { size: 1, name: 'UP' },
      'spec.name',
      'FieldValueInvalid',
      `Invalid value: "UP": spec.name in body should match '^[a-z]+$'`,
    ],
    [
      { size: 1, name: 'a' },
      'spec.name',
      'FieldValueInvalid',
      'Invalid value: "a": spec.name in body should be at least 2 chars long',
    ],
    [{ size: 1, name: 'abcdef' }, 'spec.name', 'FieldValueTooLong', 'Too long: may not be more than 5 bytes'],
    [
      { size: 1, color: 'green' },
      'spec.color',
      'FieldValueNotSupported',
      'Unsupported value: "green": supported values: "red", "blue"',
    ],
    [
      { size: 1, when: 'noon' },
      'spec.when',
      'FieldValueTypeInvalid',
      'Invalid value: "noon": spec.when in body must be of type date-time: "noon"',
    ],
    [
      { size: 1, port: true },
      'spec.port',
      'FieldValueTypeInvalid',
      'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
    ],
    [
      { size: 1, rules: [] },
      'spec.rules',
      'FieldValueInvalid',
      'Invalid value: 0: spec.rules in body should have at least 1 items',
    ],
    [{ size: 1, rules: [{}, {}, {}] }, 'spec.rules', 'FieldValueTooMany', 'Too many: 3: must have at most 2 items'],
    [
      { size: 1, rules: [{ name: 1 }] },
      'spec.rules[0].name',
      'FieldValueTypeInvalid',
      'Invalid value: "integer": spec.rules[0].name in body must be of type string: "integer"',
    ],
    [
      { size: 1, labels: { a: 1 } },
      'spec.labels.a',
      'FieldValueTypeInvalid',
      'Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
    ],
    [{ size: 1, list: ['a', 'b', 'a'] }, 'spec.list[2]', 'FieldValueDuplicate', 'Duplicate value: "a"'],
    [
      { size: 1, map: [{ name: 'a' }, { name: 'a' }] },
      'spec.map[1]',
      'FieldValueDuplicate',
      'Duplicate value: map[string]interface {}{"name":"a"}',
    ],
    [
      { size: 1, step: 0.3 },
      'spec.step',
      'FieldValueInvalid',
      'Invalid value: 0.3: spec.step in body should be a multiple of 0.5',
    ],
    [
      { size: 1, step: 0 },
      'spec.step',
      'FieldValueInvalid',
      'Invalid value: 0: spec.step in body should be greater than 0',
    ],
    [
      { size: 1, choice: { a: 'x', b: 'y' } },
      '<nil>',
      'FieldValueInvalid',
      'Invalid value: "": "spec.choice" must validate one and only one schema (oneOf). Found 2 valid alternatives',
    ],
  ];
  for (const [spec, name, reason, message] of cases) {
    assert.deepEqual(causes(spec), [{ reason, message, field: name }], JSON.stringify(spec));
  }
  assert.deepEqual(validateBySchema(schema, {}), [
    { reason: 'FieldValueRequired', message: 'Required value', field: 'spec' },
  ]);
  assert.equal(
    causes({ size: 1, choice: {} })[0]?.message,
    'Invalid value: "": "spec.choice" must validate one and only one schema (oneOf). Found none valid',
  );
  assert.equal(
    causes({ size: 1, some: 'y' })[0]?.message,
    'Invalid value: "": "spec.some" must validate at least one schema (anyOf)',
  );
});

test('good values have no faults', () => {
  const spec = {
    size: 10,
    name: 'abc',
    color: 'blue',
    when: '2026-01-01T00:00:00Z',
    port: 80,
    note: null,
    rules: [{ weight: 1 }],
    list: ['a', 'b'],
    map: [{ name: 'a' }, {}],
    choice: { a: 'x' },
    some: '10.0.0.1',
    step: 1.5,
  };
  assert.deepEqual(causes(spec), []);
  assert.deepEqual(causes({ ...spec, port: 'http', some: 'xyz' }), []);
});

test('an update forgives faults in what it does not touch', () => {
  const bad = { size: 99, map: [{ name: 'a', value: -1 }, { name: 'b' }], list: ['x', 'x'] };
  assert.equal(causes(bad).length, 3);
  assert.deepEqual(causes({ ...bad, color: 'red' }, bad), []);
  assert.deepEqual(
    causes(
      {
        ...bad,
        map: [
          { name: 'b', value: 2 },
          { name: 'a', value: -1 },
        ],
      },
      bad,
    ),
    [],
  );
  assert.equal(causes({ ...bad, size: 98 }, bad).length, 1);
});

test('length counts code points', () => {
  assert.deepEqual(causes({ size: 1, note: 'x' }), []);
  assert.deepEqual(
    validateBySchema({ type: 'object', properties: { t: { type: 'string', maxLength: 2 } } }, { t: '😀😀' }),
    [],
  );
});

test('RE2 patterns that JavaScript writes differently work', () => {
  const cases: readonly (readonly [pattern: string, value: string, matches: boolean])[] = [
    ['(?i)^abc$', 'ABC', true],
    ['^[[:alnum:]_]+$', 'a_1', true],
    ['\\A[a-z]+\\z', 'abc', true],
    ['^(?P<first>a)b$', 'ab', true],
    ['^\\p{L}+$', 'é', true],
    ['^a\\-b$', 'a-b', true],
    ['^(unclosed', 'x', false],
  ];
  for (const [pattern, value, matches] of cases) {
    const faults = validateBySchema({ type: 'object', properties: { t: { type: 'string', pattern } } }, { t: value });
    assert.equal(faults.length === 0, matches, pattern);
  }
});

test('hostile input: deep nesting, __proto__, arrays where objects are expected', () => {
  const deep: JsonObject = JSON.parse(`${'{"spec":'.repeat(10_000)}1${'}'.repeat(10_000)}`);
  assert.throws(
    () => decodeCustom(schema, deep),
    (error) => error instanceof StatusError && error.code === 400,
  );
  const { object, problems } = decodeCustom(
    schema,
    JSON.parse('{"__proto__":{"a":1},"spec":{"size":1,"constructor":1,"labels":{"__proto__":"x"}}}'),
  );
  assert.deepEqual(problems, ['unknown field "__proto__"', 'unknown field "spec.constructor"']);
  assert.ok(Object.hasOwn(field(field(object, 'spec'), 'labels') as object, '__proto__'));
  assert.deepEqual(
    validateBySchema(schema, { spec: [] })[0]?.message,
    'Invalid value: "array": spec in body must be of type object: "array"',
  );
  assert.doesNotThrow(() => applySchemaDefaults(schema, { spec: { rules: {}, nested: [], map: 'x' } }));
  assert.doesNotThrow(() =>
    validateBySchema({ properties: 3, items: [], required: 'x', enum: {}, oneOf: 'y', pattern: 4 }, { a: 1 }),
  );
});
