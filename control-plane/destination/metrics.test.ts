import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDestinationMetrics } from './metrics.ts';

test('objects that had drifted are counted by kind, comparisons that found nothing are not', async () => {
  const gauges = {
    watched: () => ({}),
    certificateTtl: () => undefined,
    ineffectivePolicies: () => 0,
    findings: () => new Map(),
  };
  const { registry, informed } = createDestinationMetrics(gauges);
  informed('pods', { kind: 'check', drifted: ['shop/web-1', 'shop/web-2'] });
  informed('pods', { kind: 'check', drifted: [] });
  informed('services', { kind: 'check', drifted: [] });
  const text = await registry.metrics();
  assert.match(text, /^kube_informer_drifted_objects_total\{kind="pods"\} 2$/m);
  assert.match(text, /^kube_informer_drifted_objects_total\{kind="services"\} 0$/m);
  assert.match(text, /^kube_informer_steps_total\{kind="pods",step="check"\} 2$/m);
});
