import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type NamespaceFacts } from './decision.ts';
import type { Pod } from './pod.ts';

const pod = (spec: Pod['spec'] = {}, annotations: Record<string, string> = {}): Pod => ({
  metadata: { annotations },
  spec: { containers: [{ name: 'app' }], ...spec },
});
const annotated = (value: string) => ({ 'linkerd.io/inject': value });
const ns = (value?: string, labels: Record<string, string> = {}): NamespaceFacts => ({
  annotations: value === undefined ? {} : annotated(value),
  labels,
});

test('the pod annotation wins over the namespace annotation', () => {
  const cases: readonly (readonly [string | undefined, string | undefined, string])[] = [
    // namespace, pod, outcome
    [undefined, undefined, 'injection_enable_annotation_absent'],
    ['enabled', undefined, 'inject'],
    ['enabled', 'enabled', 'inject'],
    ['enabled', 'disabled', 'injection_disable_annotation_present'],
    ['disabled', undefined, 'injection_disable_annotation_present'],
    ['disabled', 'enabled', 'inject'],
    [undefined, 'enabled', 'inject'],
    ['ingress', undefined, 'inject'],
    ['yes', undefined, 'invalid_inject_annotation_at_ns'],
    ['yes', 'enabled', 'inject'],
    ['enabled', 'Enabled', 'invalid_inject_annotation_at_workload'],
    ['enabled', '', 'invalid_inject_annotation_at_workload'],
  ];
  for (const [inherited, own, outcome] of cases) {
    const decision = decide(pod({}, own === undefined ? {} : annotated(own)), ns(inherited), false);
    assert.equal(
      decision.kind === 'inject' ? 'inject' : decision.reason,
      outcome,
      `namespace ${inherited}, pod ${own}`,
    );
  }
});

test('ingress mode comes from whichever annotation decides', () => {
  assert.deepEqual(decide(pod(), ns('ingress'), false), { kind: 'inject', isIngress: true });
  assert.deepEqual(decide(pod({}, annotated('enabled')), ns('ingress'), false), { kind: 'inject', isIngress: false });
});

test('pods that cannot work with a proxy are left alone with a reason', () => {
  const reasonOf = (spec: Pod['spec'], labels?: Record<string, string>, isRedirectedByNode = false) => {
    const decision = decide(pod(spec), ns('enabled', labels), isRedirectedByNode);
    return decision.kind === 'skip' ? decision.reason : 'inject';
  };
  const enforce = (level: string) => ({ 'pod-security.kubernetes.io/enforce': level });
  assert.equal(reasonOf({ hostNetwork: true }), 'host_network_enabled');
  assert.equal(reasonOf({ containers: [{ name: 'linkerd-proxy' }, { name: 'app' }] }), 'sidecar_already_exists');
  assert.equal(reasonOf({ initContainers: [{ name: 'istio-proxy' }] }), 'sidecar_already_exists');
  assert.equal(reasonOf({ os: { name: 'windows' } }), 'unsupported_operating_system');
  assert.equal(reasonOf({ nodeSelector: { 'kubernetes.io/os': 'windows' } }), 'unsupported_operating_system');
  assert.equal(reasonOf({ os: { name: 'linux' } }), 'inject');
  assert.equal(reasonOf({}, enforce('restricted')), 'pod_security_forbids_redirect');
  assert.equal(reasonOf({}, enforce('baseline')), 'pod_security_forbids_redirect');
  assert.equal(reasonOf({}, enforce('restricted'), true), 'inject');
  assert.equal(reasonOf({}, enforce('privileged')), 'inject');
  assert.equal(reasonOf({}, { 'pod-security.kubernetes.io/warn': 'restricted' }), 'inject');
  assert.equal(reasonOf({ volumes: [{ name: 'data' }, { name: 'linkerd-identity-token' }] }), 'volume_name_taken');
});

test('a wrong annotation value is named with the values that are right', () => {
  const decision = decide(pod({}, annotated('true')), ns(), false);
  assert.ok(
    decision.kind === 'skip' &&
      decision.message.includes('"true"') &&
      decision.message.includes('enabled, ingress or disabled'),
  );
});
