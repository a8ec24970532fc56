import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '../object.ts';
import { fieldAt } from '../objects/json.ts';
import type { ResourceType } from '../registry.ts';
import { Registry } from '../registry.ts';
import { OpenApi } from './openapi.ts';

const none = new URLSearchParams();

function customType(description: string): ResourceType {
  return {
    group: 'demo.io',
    version: 'v1',
    kind: 'Foo',
    plural: 'foos',
    singular: 'foo',
    listKind: 'FooList',
    shortNames: [],
    categories: [],
    isNamespaced: true,
    hasStatus: false,
    hasScale: false,
    hasGeneration: true,
    subresources: [],
    verbs: ['get', 'list', 'create', 'update', 'patch', 'delete', 'deletecollection', 'watch'],
    custom: {
      definition: 'foos.demo.io',
      storageVersion: 'v1',
      storageSchema: {},
      schema: { type: 'object', properties: { spec: { type: 'object', description } } },
      printerColumns: [],
      selectableFields: [],
    },
  };
}

function index(openApi: OpenApi): Record<string, { serverRelativeURL: string }> {
  const body = openApi.answer('/openapi/v3', none, {})?.body ?? '';
  return (JSON.parse(body) as { paths: Record<string, { serverRelativeURL: string }> }).paths;
}

function documentOf(openApi: OpenApi, path: string): JsonObject {
  const document = openApi.answer(`/openapi/v3/${path}`, none, {});
  assert.equal(document?.status, 200);
  return JSON.parse(document.body) as JsonObject;
}

test('every served group-version has a document, whose references all lead somewhere', () => {
  const registry = new Registry();
  registry.setCustom('foos.demo.io', [customType('a')]);
  const openApi = new OpenApi(registry);
  const paths = Object.keys(index(openApi));
  assert.ok(paths.includes('api/v1') && paths.includes('apis/apps/v1') && paths.includes('apis/demo.io/v1'));
  for (const path of paths) {
    const document = documentOf(openApi, path);
    const schemas = fieldAt(document, 'components', 'schemas') as JsonObject;
    for (const [, name = ''] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      assert.ok(Object.hasOwn(schemas, name), `${path}: ${name}`);
    }
  }
});

test('schemas have the names, descriptions and formats people know from Kubernetes', () => {
  const schemas = fieldAt(documentOf(new OpenApi(new Registry()), 'apis/apps/v1'), 'components', 'schemas');
  assert.match(
    JSON.stringify(fieldAt(schemas, 'io.k8s.api.apps.v1.DeploymentSpec', 'properties', 'replicas')),
    /int32/,
  );
  const container = fieldAt(schemas, 'io.k8s.api.core.v1.Container');
  assert.deepEqual(fieldAt(container, 'required'), ['name']);
  assert.match(JSON.stringify(fieldAt(container, 'properties', 'image')), /"description":"Container image name/);
  assert.deepEqual(fieldAt(schemas, 'io.k8s.api.apps.v1.Deployment', 'x-kubernetes-group-version-kind'), [
    { group: 'apps', version: 'v1', kind: 'Deployment' },
  ]);
  const meta = fieldAt(schemas, 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta', 'properties');
  assert.ok(JSON.stringify(fieldAt(meta, 'creationTimestamp')).includes('meta.v1.Time'));
});

test('PATCH of every kind promises field validation, which is what kubectl apply looks for', () => {
  const document = documentOf(new OpenApi(new Registry()), 'api/v1');
  const patch = fieldAt(document, 'paths', '/api/v1/namespaces/{namespace}/pods/{name}', 'patch');
  assert.match(JSON.stringify(fieldAt(patch, 'parameters')), /"name":"fieldValidation","in":"query"/);
  assert.deepEqual(fieldAt(patch, 'x-kubernetes-group-version-kind'), { group: '', version: 'v1', kind: 'Pod' });
  assert.equal(fieldAt(patch, 'requestBody'), undefined, 'merge keys are not in the schemas');
  assert.ok(fieldAt(document, 'paths', '/api/v1/nodes/{name}', 'patch') !== undefined, 'cluster-scoped kinds too');
});

test('the URL of a document changes with its content and only then', () => {
  const registry = new Registry();
  registry.setCustom('foos.demo.io', [customType('a')]);
  const openApi = new OpenApi(registry);
  const before = index(openApi);
  registry.setCustom('bars.other.io', [{ ...customType('a'), group: 'other.io' }]);
  assert.equal(index(openApi)['apis/demo.io/v1']?.serverRelativeURL, before['apis/demo.io/v1']?.serverRelativeURL);
  registry.setCustom('foos.demo.io', [customType('b')]);
  const after = index(openApi);
  assert.notEqual(after['apis/demo.io/v1']?.serverRelativeURL, before['apis/demo.io/v1']?.serverRelativeURL);
  assert.equal(after['api/v1']?.serverRelativeURL, before['api/v1']?.serverRelativeURL);
  registry.setCustom('bars.other.io', []);
  assert.equal(openApi.answer('/openapi/v3/apis/other.io/v1', none, {}), undefined);
});

test('a document asked for by its hash may be kept for ever, by an old hash it is redirected', () => {
  const openApi = new OpenApi(new Registry());
  const url = new URL(index(openApi)['apis/apps/v1']?.serverRelativeURL ?? '', 'http://x');
  const found = openApi.answer(url.pathname, url.searchParams, {});
  assert.match(found?.headers['Cache-Control'] ?? '', /immutable/);
  const again = openApi.answer(url.pathname, none, { 'if-none-match': found?.headers['ETag'] });
  assert.equal(again?.status, 304);
  const stale = openApi.answer(url.pathname, new URLSearchParams({ hash: 'OLD' }), {});
  assert.equal(stale?.status, 301);
  assert.equal(stale?.headers['Location'], url.pathname + url.search);
});

test('version 2 is empty, as protobuf for kubectl and as JSON for others', () => {
  const openApi = new OpenApi(new Registry());
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  assert.match(openApi.answer('/openapi/v2', none, { accept })?.headers['Content-Type'] ?? '', /protobuf/);
  const json = openApi.answer('/openapi/v2', none, { accept: 'application/json' });
  assert.deepEqual((JSON.parse(json?.body ?? '') as JsonObject)['definitions'], {});
});

test('unknown documents are not found', () => {
  const openApi = new OpenApi(new Registry());
  assert.equal(openApi.answer('/openapi/v3/apis/none.io/v1', none, {}), undefined);
  assert.equal(openApi.answer('/openapi', none, {}), undefined);
});
