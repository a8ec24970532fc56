import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '#k8s/client.ts';
import { createLogger } from '#runtime/log.ts';
import { recordEvent } from './events.ts';

test('an event has a name that API servers accept, whatever the workload is called', () => {
  const sent: { path: string; body: { metadata: { generateName: string }; involvedObject: object } }[] = [];
  const client = {
    request: (request: (typeof sent)[number]) => {
      sent.push(request);
      return Promise.resolve({});
    },
  } as unknown as KubeClient;
  for (const name of ['web', `${'a'.repeat(39)}.b`]) {
    const pod = {
      metadata: {
        labels: { 'pod-template-hash': '77b' },
        ownerReferences: [
          { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${name}-77b`, uid: 'u', controller: true },
        ],
      },
    };
    recordEvent(client, createLogger('injector', 'silent'), 'shop', pod, {
      decision: { kind: 'inject', isIngress: false },
      problems: [],
      patch: [],
    });
    const event = sent.at(-1);
    assert.equal(event?.path, '/api/v1/namespaces/shop/events');
    assert.deepEqual(event.body.involvedObject, { apiVersion: 'apps/v1', kind: 'Deployment', name, namespace: 'shop' });
    // A trailing dash is what generateName may have beyond a name.
    assert.match(
      event.body.metadata.generateName.replace(/-$/, 'a'),
      /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    );
  }
});
