import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from './object.ts';
import { Store, type StoreEvent } from './store.ts';

function named(name: string, namespace = 'default', data = ''): KubeObject {
  const metadata = { name, namespace, uid: name, resourceVersion: '', creationTimestamp: '' };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
}

function created(): Store {
  return new Store((error) => {
    throw error;
  }, 4);
}

test('every commit gets the next resourceVersion, whatever the resource', () => {
  const store = created();
  const first = store.add('configmaps', named('a'));
  const second = store.add('secrets', named('b'));
  assert.equal(Number(second?.metadata.resourceVersion), Number(first?.metadata.resourceVersion) + 1);
});

test('a name can be added once, and a replaced object replaces nothing any more', () => {
  const store = created();
  const first = store.add('configmaps', named('a'));
  assert.ok(first !== undefined);
  assert.equal(store.add('configmaps', named('a')), undefined);
  assert.ok(store.replace('configmaps', first, named('a', 'default', 'x')) !== undefined);
  assert.equal(store.replace('configmaps', first, named('a', 'default', 'y')), undefined);
  assert.equal(store.remove('configmaps', first), undefined);
});

test('stored objects are frozen to the bottom', () => {
  const store = created();
  const deep = { value: 1 };
  store.add('configmaps', { ...named('a'), data: { deep } });
  assert.throws(() => Object.assign(deep, { value: 2 }), TypeError);
});

test('lists are sorted by namespace and name', () => {
  const store = created();
  for (const [namespace, name] of [
    ['b', 'x'],
    ['a', 'z'],
    ['a', 'y'],
  ] as const) {
    store.add('configmaps', named(name, namespace));
  }
  const names = store.list('configmaps').map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  assert.deepEqual(names, ['a/y', 'a/z', 'b/x']);
  assert.equal(store.list('configmaps', 'a').length, 2);
});

test('listeners hear commits in order, also the ones a listener makes', () => {
  const store = created();
  const heard: string[] = [];
  store.subscribe('configmaps', ({ object }) => {
    heard.push(`first ${object.metadata.name}`);
    if (object.metadata.name === 'a') store.add('configmaps', named('b'));
  });
  store.subscribe('configmaps', ({ object }) => heard.push(`second ${object.metadata.name}`));
  store.add('configmaps', named('a'));
  assert.deepEqual(heard, ['first a', 'second a', 'first b', 'second b']);
});

test('a listener that throws stops neither the commit nor the others', () => {
  const errors: unknown[] = [];
  const store = new Store((error) => errors.push(error));
  const heard: StoreEvent[] = [];
  store.subscribe('configmaps', () => {
    throw new Error('broken');
  });
  store.subscribe('configmaps', (event) => heard.push(event));
  assert.ok(store.add('configmaps', named('a')) !== undefined);
  assert.equal(heard.length, 1);
  assert.equal(errors.length, 1);
});

test('history is bounded per resource and says when it has forgotten', () => {
  const store = created();
  const start = store.revision;
  store.add('secrets', named('quiet'));
  for (let index = 0; index < 20; index += 1) store.add('configmaps', named(`c${index}`));
  assert.equal(store.since('configmaps', start), undefined);
  assert.equal(store.since('secrets', start)?.length, 1, 'a quiet resource is not forgotten because of a busy one');
  const recent = store.since('configmaps', store.revision - 2);
  assert.deepEqual(
    recent?.map(({ object }) => object.metadata.name),
    ['c18', 'c19'],
  );
});

test('a deletion is told with the last state and the version of the deletion', () => {
  const store = created();
  const events: StoreEvent[] = [];
  store.subscribe('configmaps', (event) => events.push(event));
  const object = store.add('configmaps', named('a', 'default', 'last'));
  assert.ok(object !== undefined);
  store.remove('configmaps', object);
  const [, deletion] = events;
  assert.equal(deletion?.type, 'DELETED');
  assert.equal(deletion.object['data'], 'last');
  assert.equal(deletion.object.metadata.resourceVersion, String(store.revision));
});
