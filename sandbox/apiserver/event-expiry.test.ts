import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sweepEvents } from './event-expiry.ts';
import { timestamp } from './object-meta.ts';
import { Store } from './store.ts';

function withEvent(store: Store, name: string, lastSeenMs: number): void {
  const metadata = { name, namespace: 'default', uid: name, resourceVersion: '', creationTimestamp: timestamp(0) };
  store.add('events', { apiVersion: 'v1', kind: 'Event', metadata, lastTimestamp: timestamp(lastSeenMs) });
}

test('an event goes an hour after it last happened', () => {
  const store = new Store((error) => assert.fail(String(error)));
  const now = Date.parse('2026-01-01T12:00:00Z');
  withEvent(store, 'old', now - 3601_000);
  withEvent(store, 'recent', now - 3500_000);
  sweepEvents(store, now);
  assert.deepEqual(
    store.list('events').map(({ metadata }) => metadata.name),
    ['recent'],
  );
});

test('of too many events the oldest go', () => {
  const store = new Store((error) => assert.fail(String(error)));
  const now = Date.parse('2026-01-01T12:00:00Z');
  for (let index = 0; index < 5003; index += 1) withEvent(store, `e${index}`, now - index * 100);
  sweepEvents(store, now);
  assert.equal(store.list('events').length, 5000);
  assert.equal(store.get('events', 'default', 'e5002'), undefined);
  assert.ok(store.get('events', 'default', 'e0') !== undefined);
});
