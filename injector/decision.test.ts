import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type PodFacts } from './decision.ts';

const pod = (changes: Partial<PodFacts> = {}): PodFacts => ({
  annotations: {},
  isHostNetwork: false,
  containerNames: ['app'],
  operatingSystem: undefined,
  ...changes,
});
const annotated = (value: string) => ({ 'linkerd.io/inject': value });

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
  for (const [ns, own, outcome] of cases) {
    const decision = decide(
      pod({ annotations: own === undefined ? {} : annotated(own) }),
      ns === undefined ? {} : annotated(ns),
    );
    assert.equal(decision.kind === 'inject' ? 'inject' : decision.reason, outcome, `namespace ${ns}, pod ${own}`);
  }
});

test('ingress mode comes from whichever annotation decides', () => {
  assert.deepEqual(decide(pod(), annotated('ingress')), { kind: 'inject', isIngress: true });
  assert.deepEqual(decide(pod({ annotations: annotated('enabled') }), annotated('ingress')), {
    kind: 'inject',
    isIngress: false,
  });
});

test('pods that cannot work with a proxy are left alone with a reason', () => {
  const reasonOf = (facts: PodFacts) => {
    const decision = decide(facts, annotated('enabled'));
    return decision.kind === 'skip' ? decision.reason : 'inject';
  };
  assert.equal(reasonOf(pod({ isHostNetwork: true })), 'host_network_enabled');
  assert.equal(reasonOf(pod({ containerNames: ['linkerd-proxy', 'app'] })), 'sidecar_already_exists');
  assert.equal(reasonOf(pod({ containerNames: ['app', 'istio-proxy'] })), 'sidecar_already_exists');
  assert.equal(reasonOf(pod({ operatingSystem: 'windows' })), 'unsupported_operating_system');
  assert.equal(reasonOf(pod({ operatingSystem: 'linux' })), 'inject');
});

test('a wrong annotation value is named with the values that are right', () => {
  const decision = decide(pod({ annotations: annotated('true') }), {});
  assert.ok(
    decision.kind === 'skip' &&
      decision.message.includes('"true"') &&
      decision.message.includes('enabled, ingress or disabled'),
  );
});
