import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceType } from '../registry.ts';
import { Registry } from '../registry.ts';
import { Discovery } from './discovery.ts';
import { compareVersions } from './version-order.ts';

const AGGREGATED =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,' +
  'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json';

function customType(version: string): ResourceType {
  return {
    group: 'demo.io',
    version,
    kind: 'Foo',
    plural: 'foos',
    singular: 'foo',
    listKind: 'FooList',
    shortNames: ['fo'],
    categories: ['all'],
    isNamespaced: true,
    hasStatus: true,
    hasScale: false,
    hasGeneration: true,
    subresources: [{ name: 'status', group: 'demo.io', version, kind: 'Foo', verbs: ['get'] }],
    verbs: ['get', 'list'],
  };
}

function fixture(): { registry: Registry; discovery: Discovery } {
  const registry = new Registry();
  return { registry, discovery: new Discovery(registry, () => '127.0.0.1:6443') };
}

function read(discovery: Discovery, path: string, accept?: string): Record<string, unknown> {
  const document = discovery.answer(path, { accept });
  assert.equal(document?.status, 200, path);
  return JSON.parse(document.body) as Record<string, unknown>;
}

type Item = { metadata: { name?: string }; versions: { version: string; resources: Record<string, unknown>[] }[] };

test('/api in aggregated form holds only the core group, which has no name', () => {
  const { discovery } = fixture();
  const document = discovery.answer('/api', { accept: AGGREGATED });
  assert.equal(
    document?.headers['Content-Type'],
    'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  );
  const body = JSON.parse(document.body) as { items: Item[]; kind: string; apiVersion: string };
  assert.equal(body.kind, 'APIGroupDiscoveryList');
  assert.equal(body.apiVersion, 'apidiscovery.k8s.io/v2');
  assert.deepEqual(
    body.items.map((item) => item.metadata.name),
    [undefined],
  );
  const pods = body.items[0]?.versions[0]?.resources.find((resource) => resource['resource'] === 'pods');
  assert.equal(pods?.['scope'], 'Namespaced');
  assert.deepEqual(pods?.['responseKind'], { group: '', version: 'v1', kind: 'Pod' });
  assert.ok(JSON.stringify(pods?.['subresources']).includes('"portforward"'));
});

test('/apis holds every named group, and a client of v2beta1 gets v2beta1', () => {
  const { discovery } = fixture();
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList';
  const body = read(discovery, '/apis', accept) as unknown as { apiVersion: string; items: Item[] };
  assert.equal(body.apiVersion, 'apidiscovery.k8s.io/v2beta1');
  const names = body.items.map((item) => item.metadata.name);
  assert.equal(names[0], 'apps');
  assert.ok(names.includes('apiextensions.k8s.io') && !names.includes(''));
});

test('an unchanged aggregated document is answered 304, a changed registry with a new ETag', () => {
  const { registry, discovery } = fixture();
  const first = discovery.answer('/apis', { accept: AGGREGATED });
  const etag = first?.headers['ETag'] ?? '';
  const again = discovery.answer('/apis', { accept: AGGREGATED, 'if-none-match': etag });
  assert.equal(again?.status, 304);
  assert.equal(again?.body, '');
  registry.setCustom('foos.demo.io', [customType('v1alpha1'), customType('v1')]);
  const changed = discovery.answer('/apis', { accept: AGGREGATED, 'if-none-match': etag });
  assert.equal(changed?.status, 200);
  const item = (JSON.parse(changed.body) as { items: Item[] }).items.find(
    ({ metadata }) => metadata.name === 'demo.io',
  );
  assert.deepEqual(
    item?.versions.map(({ version }) => version),
    ['v1', 'v1alpha1'],
    'preferred version first',
  );
});

test('legacy discovery lists versions, groups, resources and subresources of another group', () => {
  const { discovery } = fixture();
  assert.deepEqual(read(discovery, '/api')['versions'], ['v1']);
  const groups = read(discovery, '/apis', 'application/json')['groups'] as { name: string }[];
  assert.ok(groups.some(({ name }) => name === 'rbac.authorization.k8s.io'));
  const list = read(discovery, '/api/v1')['resources'] as Record<string, unknown>[];
  const token = list.find((resource) => resource['name'] === 'serviceaccounts/token');
  assert.equal(token?.['group'], 'authentication.k8s.io');
  assert.equal(token?.['kind'], 'TokenRequest');
  assert.equal(list.find((resource) => resource['name'] === 'pods/status')?.['group'], undefined);
  assert.equal(read(discovery, '/apis/apps/v1')['groupVersion'], 'apps/v1');
  const apps = read(discovery, '/apis/apps');
  assert.equal(apps['kind'], 'APIGroup');
  assert.deepEqual(apps['preferredVersion'], { groupVersion: 'apps/v1', version: 'v1' });
});

test('paths that name nothing are left to the caller', () => {
  const { discovery } = fixture();
  for (const path of ['/apis/none.io', '/apis/apps/v9', '/api/v2', '/apix', '/apis/apps/v1/pods', '/apis//v1', '']) {
    assert.equal(discovery.answer(path, {}), undefined, path);
  }
});

test('a client that accepts no JSON is refused with 406', () => {
  const { discovery } = fixture();
  assert.throws(() => discovery.answer('/apis', { accept: 'application/cbor' }), { code: 406 });
  assert.throws(() => discovery.answer('/apis/apps/v1', { accept: 'application/cbor' }), { code: 406 });
});

test('versions are ordered by stability, then by number', () => {
  const sorted = ['v1alpha1', 'foo1', 'v2beta1', 'v1', 'v10', 'v2', 'v1beta2', 'bar'].sort(compareVersions);
  assert.deepEqual(sorted, ['v10', 'v2', 'v1', 'v2beta1', 'v1beta2', 'v1alpha1', 'bar', 'foo1']);
});
