import assert from 'node:assert/strict';
import { test } from 'node:test';
import { qosClass } from './qos.ts';

test('the quality of service class follows requests and limits', () => {
  const pod = (...resources: readonly object[]): { spec: object } => ({
    spec: { containers: resources.map((item) => ({ resources: item })) },
  });
  const full = { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } };
  assert.equal(qosClass(pod({})), 'BestEffort');
  assert.equal(qosClass({}), 'BestEffort');
  assert.equal(qosClass(pod(full)), 'Guaranteed');
  assert.equal(qosClass(pod(full, {})), 'Burstable');
  assert.equal(qosClass(pod({ requests: { cpu: '1' } })), 'Burstable');
  assert.equal(qosClass(pod({ ...full, requests: { cpu: '500m', memory: '1Gi' } })), 'Burstable');
  assert.equal(qosClass({ spec: { containers: [{ resources: full }], initContainers: [{}] } }), 'Burstable');
});
