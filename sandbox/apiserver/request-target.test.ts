import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from './registry.ts';
import { parseTarget, verbOf, type ResourceTarget } from './request-target.ts';
import { StatusError } from './status-error.ts';

const registry = new Registry();

function resource(path: string): ResourceTarget {
  const target = parseTarget(registry, path);
  assert.ok(target.kind === 'resource', `${path} is a resource`);
  return target;
}

function codeOf(path: string): number {
  try {
    parseTarget(registry, path);
    return 200;
  } catch (error) {
    assert.ok(error instanceof StatusError);
    return error.code;
  }
}

test('paths of namespaced objects name namespace, object and subresource', () => {
  const { type, namespace, name, subresource } = resource('/apis/apps/v1/namespaces/shop/deployments/web/scale');
  assert.deepEqual([type.kind, namespace, name, subresource], ['Deployment', 'shop', 'web', 'scale']);
});

test('a namespace is an object itself, and its subresources are no resources inside it', () => {
  const object = resource('/api/v1/namespaces/shop');
  assert.deepEqual([object.type.kind, object.namespace, object.name], ['Namespace', undefined, 'shop']);
  assert.equal(resource('/api/v1/namespaces/shop/finalize').subresource, 'finalize');
  assert.equal(resource('/api/v1/namespaces/shop/pods').type.kind, 'Pod');
});

test('collections exist with and without a namespace, objects only with it', () => {
  assert.equal(resource('/api/v1/pods').namespace, undefined);
  assert.equal(codeOf('/api/v1/pods/web'), 404);
  assert.equal(codeOf('/api/v1/namespaces/shop/nodes/n1'), 404);
});

test('unknown resources and subresources of a known group are 404', () => {
  assert.equal(codeOf('/api/v1/namespaces/shop/unicorns'), 404);
  assert.equal(codeOf('/api/v1/namespaces/shop/pods/web/unicorn'), 404);
  assert.equal(codeOf('/api/v1/namespaces/shop/pods/web/log/more'), 404);
});

test('groups nobody serves and paths outside the API are paths, not resources', () => {
  for (const path of ['/apis/unknown.io/v1/things', '/apis', '/api/v1', '/version', '/metrics', '/']) {
    assert.equal(parseTarget(registry, path).kind, 'path', path);
  }
});

test('names that could be mistaken for paths are refused', () => {
  for (const name of ['..', '.', '%2e%2e', 'a%2Fb', '%2e%2e%2fsecrets', 'a%00b', '%zz', 'a%25b']) {
    assert.equal(codeOf(`/api/v1/namespaces/shop/configmaps/${name}`), 400, name);
  }
});

test('verbs follow method, collection and watch', () => {
  const collection = resource('/api/v1/pods');
  const object = resource('/api/v1/namespaces/shop/pods/web');
  assert.equal(verbOf('GET', collection, false), 'list');
  assert.equal(verbOf('GET', collection, true), 'watch');
  assert.equal(verbOf('GET', object, true), 'get');
  assert.equal(verbOf('DELETE', collection, false), 'deletecollection');
  assert.equal(verbOf('DELETE', object, false), 'delete');
  assert.equal(verbOf('PATCH', object, false), 'patch');
  assert.equal(verbOf('OPTIONS', object, false), undefined);
});
