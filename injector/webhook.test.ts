import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { eventOf } from './events.ts';
import type { InjectionContext } from './patch.ts';
import { parseReview, review, ReviewError } from './webhook.ts';

const context: InjectionContext = {
  values: defaultValues('0.0.0-test'),
  trustAnchorsPem: 'anchor',
  namespaceAnnotations: { 'linkerd.io/inject': 'enabled' },
};
const request = {
  uid: 'u-1',
  kind: { group: '', version: 'v1', kind: 'Pod' },
  namespace: 'shop',
  operation: 'CREATE',
  object: { metadata: { generateName: 'web-' }, spec: { containers: [{ name: 'app' }] } },
};

test('a pod that wants a proxy gets a patch under the uid of the request', () => {
  const { response, outcome } = review(parseReview({ request }), context);
  assert.equal(response.response.uid, 'u-1');
  assert.equal(response.response.allowed, true);
  const patch: unknown = JSON.parse(Buffer.from(response.response.patch ?? '', 'base64').toString());
  assert.ok(Array.isArray(patch) && patch.length > 5);
  assert.equal(outcome?.decision.kind, 'inject');
});

test('a bad annotation is answered with a warning and never with a refusal', () => {
  const bad = {
    ...request,
    object: { ...request.object, metadata: { annotations: { 'config.linkerd.io/skip-inbound-ports': 'http' } } },
  };
  const { response } = review(parseReview({ request: bad }), context);
  assert.equal(response.response.allowed, true);
  assert.match(response.response.warnings?.[0] ?? '', /skip-inbound-ports.*"http" is not a port.*ignored/);
});

test('an annotation whose name is misspelt is answered with a warning and an event that name the right one', () => {
  const inherited = { ...context.namespaceAnnotations, 'config.linkerd.io/opaque-port': '9000' };
  const { response, outcome } = review(parseReview({ request }), { ...context, namespaceAnnotations: inherited });
  const said = 'config.linkerd.io/opaque-port is no known annotation: did you mean config.linkerd.io/opaque-ports?';
  assert.deepEqual(response.response.warnings, [`tulle: ${said} (ignored)`]);
  assert.ok(outcome);
  assert.deepEqual(eventOf(outcome), {
    type: 'Warning',
    reason: 'InvalidAnnotation',
    message: `Proxy injected, but ignored: ${said}`,
  });
});

test('an inject annotation that means nothing is answered with a warning, of the pod as of the namespace', () => {
  const own = { ...request, object: { ...request.object, metadata: { annotations: { 'linkerd.io/inject': 'yes' } } } };
  assert.deepEqual(review(parseReview({ request: own }), context).response.response.warnings, [
    'tulle: no proxy: linkerd.io/inject of the pod is "yes": use enabled, ingress or disabled',
  ]);
  const inherited = { ...context, namespaceAnnotations: { 'linkerd.io/inject': 'on' } };
  assert.deepEqual(review(parseReview({ request }), inherited).response.response.warnings, [
    'tulle: no proxy: linkerd.io/inject of the namespace is "on": use enabled, ingress or disabled',
  ]);
  const unasked = review(parseReview({ request }), { ...context, namespaceAnnotations: {} });
  assert.equal(unasked.response.response.warnings, undefined);
});

test('anything but the creation of a pod passes untouched', () => {
  for (const other of [
    { operation: 'UPDATE' },
    { kind: { group: 'apps', kind: 'Deployment' } },
    { kind: { group: '', kind: 'Service' } },
  ]) {
    const { response, outcome } = review(parseReview({ request: { ...request, ...other } }), context);
    assert.equal(response.response.allowed, true);
    assert.equal(response.response.patch, undefined);
    assert.equal(outcome, undefined);
  }
});

test('a body that is no review is refused with the field that is wrong', () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [null, 'request'],
    ['text', 'request'],
    [{}, 'request'],
    [{ request: { ...request, uid: 7 } }, 'uid'],
    [{ request: { ...request, kind: 'Pod' } }, 'kind'],
    [{ request: { ...request, object: null } }, 'object'],
  ];
  for (const [body, name] of cases) {
    assert.throws(
      () => parseReview(body),
      (error: unknown) => error instanceof ReviewError && error.message.includes(name),
    );
  }
});
