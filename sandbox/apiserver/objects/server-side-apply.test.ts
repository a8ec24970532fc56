import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../status-error.ts';
import { field, fieldAt, objectsIn, type JsonObject } from './json.ts';
import { serverSideApply, trackUpdate } from './server-side-apply.ts';

const maps = { group: '', version: 'v1', kind: 'ConfigMap', hasStatus: false };
const deployments = { group: 'apps', version: 'v1', kind: 'Deployment', hasStatus: true };
const services = { group: '', version: 'v1', kind: 'Service', hasStatus: true };
const first = '2026-01-01T00:00:00Z';
const later = '2026-01-02T00:00:00Z';

type Options = {
  readonly force?: boolean;
  readonly now?: string;
  readonly type?: typeof maps;
  readonly schema?: JsonObject;
  readonly subresource?: string;
};

function apply(live: JsonObject | undefined, applied: JsonObject, manager: string, options: Options = {}): JsonObject {
  const { type = maps, force = false, now = first, schema, subresource } = options;
  const apiVersion = type.group === '' ? type.version : `${type.group}/${type.version}`;
  const before = structuredClone([live, applied]);
  const result = serverSideApply({
    type,
    live,
    force,
    manager,
    now,
    applied: { apiVersion, kind: type.kind, ...applied },
    ...(schema === undefined ? {} : { schema }),
    ...(subresource === undefined ? {} : { subresource }),
  });
  assert.deepEqual([live, applied], before, 'inputs are not changed');
  return result;
}

function update(old: JsonObject | undefined, object: JsonObject, manager: string, options: Options = {}): JsonObject {
  const { type = maps, now = first, schema, subresource } = options;
  return trackUpdate({
    type,
    old,
    object,
    manager,
    now,
    ...(schema === undefined ? {} : { schema }),
    ...(subresource === undefined ? {} : { subresource }),
  });
}

/** `manager:operation` -> owned fields. */
function owners(object: JsonObject): Record<string, unknown> {
  const list = objectsIn(fieldAt(object, 'metadata', 'managedFields'));
  return Object.fromEntries(
    list.map((entry) => [`${String(entry['manager'])}:${String(entry['operation'])}`, entry['fieldsV1']]),
  );
}

function map(data: Record<string, string>): JsonObject {
  return { metadata: { name: 'm', namespace: 'ns' }, data };
}

test('the first apply makes the object and owns what it names', () => {
  const object = apply(undefined, map({ a: '1' }), 'me');
  assert.deepEqual(object, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: 'm',
      namespace: 'ns',
      managedFields: [
        {
          manager: 'me',
          operation: 'Apply',
          apiVersion: 'v1',
          time: first,
          fieldsType: 'FieldsV1',
          fieldsV1: { 'f:data': { 'f:a': {} } },
        },
      ],
    },
    data: { a: '1' },
  });
});

test('the same apply again changes nothing, not even the time', () => {
  const object = apply(undefined, map({ a: '1' }), 'me');
  assert.equal(apply(object, map({ a: '1' }), 'me', { now: later }), object);
});

test('a field that is applied no longer goes, unless somebody else owns it', () => {
  const one = apply(undefined, map({ a: '1', b: '2', c: '3' }), 'me');
  const two = apply(one, map({ c: '3' }), 'other', { now: later });
  const three = apply(two, map({ a: '1' }), 'me', { now: later });
  assert.deepEqual(three['data'], { a: '1', c: '3' });
  assert.deepEqual(owners(three), {
    'me:Apply': { 'f:data': { 'f:a': {} } },
    'other:Apply': { 'f:data': { 'f:c': {} } },
  });
});

test('another value than the owner gave is a conflict that names owner and field; the same value is shared', () => {
  const object = update(undefined, map({ a: '1', b: '2' }), 'm');
  assert.throws(
    () => apply(object, map({ a: '9' }), 'me'),
    (error) =>
      error instanceof StatusError &&
      error.code === 409 &&
      error.reason === 'Conflict' &&
      error.message === 'Apply failed with 1 conflict: conflict with "m" using v1: .data.a' &&
      JSON.stringify(error.details?.causes) ===
        JSON.stringify([{ reason: 'FieldManagerConflict', message: 'conflict with "m" using v1', field: '.data.a' }]),
  );
  assert.throws(
    () => apply(object, map({ a: '9', b: '9' }), 'me'),
    /^StatusError: Apply failed with 2 conflicts: conflicts with "m" using v1:\n- \.data\.a\n- \.data\.b$/,
  );
  const shared = apply(object, map({ a: '1' }), 'me');
  assert.deepEqual(owners(shared)['me:Apply'], { 'f:data': { 'f:a': {} } });
  assert.deepEqual(owners(shared)['m:Update'], owners(object)['m:Update']);
});

test('force takes the field over', () => {
  const object = apply(apply(undefined, map({ a: '1', b: '2' }), 'owner'), map({ a: '9' }), 'me', {
    force: true,
    now: later,
  });
  assert.deepEqual(object['data'], { a: '9', b: '2' });
  assert.deepEqual(owners(object), {
    'owner:Apply': { 'f:data': { 'f:b': {} } },
    'me:Apply': { 'f:data': { 'f:a': {} } },
  });
});

test('a write that is no apply takes the fields it changes, so the next apply conflicts', () => {
  const applied = apply(undefined, map({ a: '1', b: '2' }), 'me');
  const edited = update(applied, { ...applied, data: { a: 'x', b: '2' } }, 'kubectl-edit', { now: later });
  assert.deepEqual(owners(edited), {
    'me:Apply': { 'f:data': { 'f:b': {} } },
    'kubectl-edit:Update': { 'f:data': { 'f:a': {} } },
  });
  assert.throws(() => apply(edited, map({ a: '1', b: '2' }), 'me'), /conflict with "kubectl-edit" using v1: \.data\.a/);
});

test('a write that changes nothing keeps managed fields and their time', () => {
  const applied = apply(undefined, map({ a: '1' }), 'me');
  assert.deepEqual(update(applied, { ...applied }, 'other', { now: later }), applied);
  const { managedFields: _gone, ...metadata } = applied['metadata'] as Record<string, unknown>;
  assert.deepEqual(
    update(applied, { ...applied, metadata }, 'other', { now: later }),
    applied,
    'clients that drop the list cannot clear it',
  );
});

test('an empty list of managed fields resets them', () => {
  const applied = apply(undefined, map({ a: '1' }), 'me');
  for (const managedFields of [[], [{}]]) {
    const reset = update(
      applied,
      { ...applied, metadata: { ...(applied['metadata'] as object), managedFields } },
      'me',
    );
    assert.equal(fieldAt(reset, 'metadata', 'managedFields'), undefined);
  }
});

test('an object that nobody tracked belongs to before-first-apply', () => {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', ...map({ a: '1', b: '2' }) };
  assert.throws(() => apply(object, map({ a: '9' }), 'me'), /conflict with "before-first-apply" using v1: \.data\.a/);
});

const container = (name: string, extra: JsonObject = {}): JsonObject => ({ name, image: `${name}:1`, ...extra });
const deployment = (containers: readonly JsonObject[], extra: JsonObject = {}): JsonObject => ({
  metadata: { name: 'web', namespace: 'ns' },
  spec: { template: { spec: { containers } }, ...extra },
});
const containersOf = (object: JsonObject): unknown => fieldAt(object, 'spec', 'template', 'spec', 'containers');

test('list items merge by key in the order of the configuration; dropped ones go with all that others put in them', () => {
  const options = { type: deployments };
  const one = apply(undefined, deployment([container('a'), container('b')]), 'me', options);
  const injected = update(
    one,
    deployment([container('proxy'), container('a', { env: [{ name: 'X', value: '1' }] }), container('b')]),
    'injector',
    options,
  );
  const two = apply(injected, deployment([container('b', { image: 'b:2' }), container('c')]), 'me', {
    ...options,
    now: later,
  });
  assert.deepEqual(containersOf(two), [container('proxy'), container('b', { image: 'b:2' }), container('c')]);
});

test('a dropped item that nobody else touched goes as a whole', () => {
  const options = { type: deployments };
  const one = apply(undefined, deployment([container('a'), container('b')]), 'me', options);
  const two = apply(one, deployment([container('b')]), 'me', { ...options, now: later });
  assert.deepEqual(containersOf(two), [container('b')]);
});

test('keys of ports are completed with the default protocol', () => {
  const options = { type: services };
  const live = update(
    undefined,
    { metadata: { name: 's' }, spec: { ports: [{ port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 30_000 }] } },
    'm',
    options,
  );
  const result = apply(
    live,
    { metadata: { name: 's' }, spec: { ports: [{ port: 80, targetPort: 8080 }] } },
    'me',
    options,
  );
  assert.deepEqual(fieldAt(result, 'spec', 'ports'), [
    { port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 30_000 },
  ]);
  assert.deepEqual(fieldAt(owners(result), 'me:Apply', 'f:spec', 'f:ports'), {
    'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {}, 'f:targetPort': {} },
  });
});

test('replicas that an autoscaler owns survive an apply that leaves them out', () => {
  const options = { type: deployments };
  const one = apply(undefined, deployment([container('a')], { replicas: 1 }), 'me', options);
  const scaled = update(one, { ...one, spec: { ...(one['spec'] as object), replicas: 5 } }, 'hpa', options);
  assert.throws(() => apply(scaled, deployment([container('a')], { replicas: 1 }), 'me', options), /\.spec\.replicas/);
  const two = apply(scaled, deployment([container('a')]), 'me', { ...options, now: later });
  assert.equal(fieldAt(two, 'spec', 'replicas'), 5);
});

test('status belongs to the status subresource only', () => {
  const options = { type: deployments };
  const one = update(undefined, { ...deployment([container('a')]), status: { replicas: 1 } }, 'kubectl', options);
  assert.equal(field(owners(one)['kubectl:Update'], 'f:status'), undefined);
  const two = update(one, { ...one, status: { replicas: 2 } }, 'controller', {
    ...options,
    subresource: 'status',
    now: later,
  });
  const entry = objectsIn(fieldAt(two, 'metadata', 'managedFields')).find((item) => item['manager'] === 'controller');
  assert.equal(entry?.['subresource'], 'status');
  assert.deepEqual(entry?.['fieldsV1'], { 'f:status': { 'f:replicas': {} } });
});

test('atomic structs and lists are owned as a whole', () => {
  const options = { type: services };
  const one = apply(undefined, { metadata: { name: 's' }, spec: { selector: { a: '1', b: '2' } } }, 'me', options);
  assert.deepEqual(fieldAt(owners(one), 'me:Apply'), { 'f:spec': { 'f:selector': {} } });
  const two = apply(one, { metadata: { name: 's' }, spec: { selector: { a: '1' } } }, 'me', { ...options, now: later });
  assert.deepEqual(fieldAt(two, 'spec', 'selector'), { a: '1' });
});

const schema: JsonObject = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        items: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['id'],
          items: { type: 'object', properties: { id: { type: 'integer' }, text: { type: 'string' } } },
        },
        tags: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
        plain: { type: 'array', items: { type: 'string' } },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
  },
};

test('custom resources merge as their schema says', () => {
  const options = { type: { group: 'demo.io', version: 'v1', kind: 'Foo', hasStatus: true }, schema };
  const foo = (spec: JsonObject): JsonObject => ({ metadata: { name: 'f' }, spec });
  const one = apply(
    undefined,
    foo({ items: [{ id: 1, text: 'a' }], tags: ['x', 'y'], plain: ['p'], free: { a: { b: 1 } } }),
    'me',
    options,
  );
  const two = apply(one, foo({ items: [{ id: 2, text: 'b' }], tags: ['z'], free: { c: 1 } }), 'other', {
    ...options,
    now: later,
  });
  assert.deepEqual(two['spec'], {
    items: [
      { id: 1, text: 'a' },
      { id: 2, text: 'b' },
    ],
    tags: ['x', 'y', 'z'],
    plain: ['p'],
    free: { a: { b: 1 }, c: 1 },
  });
  const three = apply(two, foo({ tags: ['y'], plain: ['q'] }), 'me', { ...options, now: later });
  assert.deepEqual(three['spec'], { items: [{ id: 2, text: 'b' }], tags: ['y', 'z'], plain: ['q'], free: { c: 1 } });
  assert.deepEqual(fieldAt(owners(three), 'other:Apply', 'f:spec', 'f:tags'), { 'v:"z"': {} });
  assert.throws(
    () => apply(two, foo({ items: [{ text: 'no id' }] }), 'me', options),
    /element that omits key field "id"/,
  );
  assert.throws(
    () => apply(two, foo({ items: [{ id: 1 }, { id: 1 }] }), 'me', options),
    /duplicate entries for key \{"id":1\}/,
  );
});

test('bad configurations are bad requests', () => {
  for (const applied of [{ ...map({}), apiVersion: 'v2' }, { metadata: { name: 'm', managedFields: [] } }]) {
    assert.throws(
      () => apply(undefined, applied, 'me'),
      (error) => error instanceof StatusError && error.code === 400,
    );
  }
});

test('the note of kubectl apply lets kubectl take its own fields over', () => {
  const note = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', ...map({ a: '1' }) });
  const metadata = {
    name: 'm',
    namespace: 'ns',
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': note },
  };
  const live = update(undefined, { ...map({ a: '1', b: '2' }), metadata }, 'kubectl-client-side-apply');
  const result = apply(live, map({ a: '9' }), 'kubectl');
  assert.deepEqual(result['data'], { a: '9', b: '2' });
  assert.throws(() => apply(live, map({ b: '9' }), 'kubectl'), /\.data\.b/);
  assert.throws(() => apply(live, map({ a: '9' }), 'someone'), /\.data\.a/);
});

test('many updaters are put together beyond ten', () => {
  let object: JsonObject = update(undefined, map({ k0: '0' }), 'm0');
  for (let index = 1; index < 15; index += 1) {
    object = update(object, { ...object, data: { ...(object['data'] as object), [`k${index}`]: 'x' } }, `m${index}`, {
      now: `2026-01-01T00:00:${10 + index}Z`,
    });
  }
  const names = objectsIn(fieldAt(object, 'metadata', 'managedFields')).map((entry) => entry['manager']);
  assert.equal(names.length, 10);
  assert.ok(names.includes('ancient-changes') && names.includes('m14'));
});

test('broken managed fields and hostile keys do no harm', () => {
  const metadata = { name: 'm', managedFields: [{ manager: 'x', operation: 'Apply', fieldsV1: { bad: {} } }] };
  assert.doesNotThrow(() => apply({ ...map({ a: '1' }), metadata }, map({ a: '1' }), 'me'));
  const object = update(
    undefined,
    { metadata: { name: 'm' }, data: JSON.parse('{"__proto__":"x","constructor":"y"}') as JsonObject },
    'me',
  );
  assert.deepEqual(Object.keys(fieldAt(owners(object), 'me:Update', 'f:data') as object), [
    '.',
    'f:__proto__',
    'f:constructor',
  ]);
});
