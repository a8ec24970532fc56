import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtinResources } from '../builtin-resources.ts';
import { knownModel, modelOfKind, modelSchema, modelText, type FieldType } from './builtin-schema.ts';

test('every kind of the registry has a model with apiVersion, kind and metadata', () => {
  for (const { group, version, kind } of builtinResources) {
    const model = modelOfKind(group, version, kind);
    assert.ok(model !== undefined, `${group}/${version} ${kind}`);
    const { fields } = knownModel(model);
    assert.ok(fields.has('apiVersion') && fields.has('kind') && fields.has('metadata'), kind);
  }
});

test('every model that a kind leads to exists', () => {
  const seen = new Set<string>();
  const visit = (type: FieldType): void => {
    if (type.kind === 'list') visit(type.items);
    if (type.kind === 'map') visit(type.values);
    if (type.kind !== 'model' || seen.has(type.model)) return;
    seen.add(type.model);
    for (const field of knownModel(type.model).fields.values()) visit(field);
  };
  for (const { group, version, kind } of builtinResources) {
    const model = modelOfKind(group, version, kind);
    if (model !== undefined) visit({ kind: 'model', model });
  }
  assert.ok(seen.size > 200);
});

test('field types are read from the class, with quantities told apart from strings', () => {
  const typeOf = (model: string, field: string): FieldType | undefined => knownModel(model).fields.get(field);
  assert.deepEqual(typeOf('V1PodSpec', 'containers'), { kind: 'list', items: { kind: 'model', model: 'V1Container' } });
  assert.deepEqual(typeOf('V1ContainerPort', 'containerPort'), { kind: 'integer', bits: 32 });
  assert.deepEqual(typeOf('V1ServicePort', 'targetPort'), { kind: 'int-or-string' });
  assert.deepEqual(typeOf('V1Secret', 'data'), { kind: 'map', values: { kind: 'bytes' } });
  assert.deepEqual(typeOf('V1Secret', 'stringData'), { kind: 'map', values: { kind: 'string' } });
  assert.deepEqual(typeOf('V1ObjectMeta', 'creationTimestamp'), { kind: 'time' });
  assert.deepEqual(typeOf('V1LeaseSpec', 'renewTime'), { kind: 'micro-time' });
  assert.deepEqual(typeOf('V1ResourceRequirements', 'limits'), { kind: 'map', values: { kind: 'quantity' } });
  assert.deepEqual(typeOf('V1EmptyDirVolumeSource', 'sizeLimit'), { kind: 'quantity' });
  assert.deepEqual(typeOf('V1JSONSchemaProps', '$ref'), { kind: 'string' });
  assert.deepEqual(typeOf('V1JSONSchemaProps', 'default'), { kind: 'any' });
});

test('a kind of the same name in another group is no built-in, and names cannot leave the folder', () => {
  assert.equal(modelOfKind('demo.io', 'v1', 'Pod'), undefined);
  assert.equal(modelOfKind('', 'v1', '../V1Pod'), undefined);
  assert.equal(modelOfKind('', 'v1', 'Nope'), undefined);
  assert.equal(modelOfKind('constructor', 'v1', 'Pod'), undefined);
  assert.equal(modelSchema('ObjectSerializer'), undefined);
  assert.equal(modelOfKind('', 'v1', 'Event'), 'CoreV1Event');
  assert.equal(modelOfKind('events.k8s.io', 'v1', 'Event'), 'EventsV1Event');
});

test('descriptions and required fields come from the type declarations', () => {
  const text = modelText('V1Container');
  assert.equal(text.description, 'A single application container that you want to run within a pod.');
  assert.deepEqual(text.required, ['name']);
  assert.match(text.fields.get('args') ?? '', /^Arguments to the entrypoint\. The container image's CMD is used/);
  assert.match(modelText('V1ConfigMap').fields.get('data') ?? '', /^Data contains the configuration data\./);
  assert.match(modelText('V1JSONSchemaProps').fields.get('x-kubernetes-int-or-string') ?? '', /int/);
});
