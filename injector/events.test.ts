import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '#k8s/client.ts';
import { createLogger } from '#runtime/log.ts';
import { recordEvent, subjectOf } from './events.ts';

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
    const subject = subjectOf('shop', pod);
    assert.ok(subject);
    recordEvent(client, createLogger('injector', 'silent'), subject, {
      type: 'Normal',
      reason: 'Injected',
      message: 'm',
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

test('events about a pod without a workload are about the pod, where its name is known', () => {
  assert.deepEqual(subjectOf('shop', { metadata: { name: 'bare' } }), { namespace: 'shop', kind: 'Pod', name: 'bare' });
  assert.equal(subjectOf('shop', { metadata: { generateName: 'bare-' } }), undefined);
});
