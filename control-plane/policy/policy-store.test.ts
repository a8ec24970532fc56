import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { ManualClock } from '#runtime/clock.ts';
import { PolicyFindings } from './policy-findings.ts';
import { PolicyStore } from './policy-store.ts';

const CONTEXT = { clusterNetworks: [], accessPolicies: ['deny'], identitySuffix: 'identity' };

function object(kind: string, namespace: string, name: string, spec: object): CustomObject {
  const parsed = customKind({ group: 'policy.linkerd.io', kind, plural: '' }, 'v1').parse({
    metadata: { namespace, name },
    spec,
  });
  assert.ok(parsed);
  return parsed;
}

/** Refers to a MeshTLSAuthentication of namespace `common`. */
const POLICY = object('AuthorizationPolicy', 'shop', 'p', {
  targetRef: { kind: 'Namespace', name: 'shop' },
  requiredAuthenticationRefs: [
    { group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name: 'a', namespace: 'common' },
  ],
});
const AUTHENTICATION = object('MeshTLSAuthentication', 'common', 'a', { identities: ['*'] });

function indexOf(store: PolicyStore, kind: string) {
  const found = store.kinds.find((one) => one.kind === kind)?.index;
  assert.ok(found);
  return found;
}

test('an authentication that changes concerns the namespaces whose policies refer to it', () => {
  const store = new PolicyStore();
  const seen: string[] = [];
  store.onChange((namespace) => seen.push(namespace));
  indexOf(store, 'AuthorizationPolicy').apply(POLICY);
  indexOf(store, 'MeshTLSAuthentication').apply(AUTHENTICATION);
  indexOf(store, 'MeshTLSAuthentication').reset([]);
  assert.deepEqual(seen, ['shop', 'common', 'shop', 'common', 'shop']);
  assert.equal(store.get('MeshTLSAuthentication', 'common', 'a'), undefined);
});

test('what has no effect is reported once when things have settled, and counted until it is repaired', () => {
  const store = new PolicyStore();
  const clock = new ManualClock();
  const reports: string[] = [];
  using findings = new PolicyFindings({
    store,
    context: CONTEXT,
    clock,
    report: (name, problem) => reports.push(`${name} ${problem}`),
  });
  indexOf(store, 'AuthorizationPolicy').apply(POLICY);
  assert.deepEqual(reports, []);
  clock.advance(3_000);
  indexOf(store, 'AuthorizationPolicy').apply(POLICY);
  clock.advance(3_000);
  assert.deepEqual(reports, [
    'authorizationpolicy.policy.linkerd.io shop/p spec.requiredAuthenticationRefs[0]: MeshTLSAuthentication common/a does not exist',
  ]);
  assert.equal(findings.count, 1);
  indexOf(store, 'MeshTLSAuthentication').apply(AUTHENTICATION);
  clock.advance(3_000);
  assert.equal(findings.count, 0);
});
