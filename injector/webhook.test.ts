import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { eventOf } from './events.ts';
import type { InjectionContext } from './patch.ts';
import { parseReview, review, ReviewError } from './webhook.ts';

const context: InjectionContext = {
  values: defaultValues('0.0.0-test'),
  trustAnchorsPem: 'anchor',
  namespace: { annotations: { 'linkerd.io/inject': 'enabled' }, labels: {} },
};
const request = {
  uid: 'u-1',
  kind: { group: '', version: 'v1', kind: 'Pod' },
  namespace: 'shop',
  operation: 'CREATE',
  object: { metadata: { generateName: 'web-' }, spec: { containers: [{ name: 'app' }] } },
};

test('a pod that wants a proxy gets a patch under the uid of the request', () => {
  const { response, decided } = review(parseReview({ request }), context);
  assert.equal(response.response.uid, 'u-1');
  assert.equal(response.response.allowed, true);
  const patch: unknown = JSON.parse(Buffer.from(response.response.patch ?? '', 'base64').toString());
  assert.ok(Array.isArray(patch) && patch.length > 5);
  assert.equal(decided?.outcome.decision.kind, 'inject');
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
  const inherited = { ...context.namespace.annotations, 'config.linkerd.io/opaque-port': '9000' };
  const { response, decided } = review(parseReview({ request }), {
    ...context,
    namespace: { annotations: inherited, labels: {} },
  });
  const said = 'config.linkerd.io/opaque-port is no known annotation: did you mean config.linkerd.io/opaque-ports?';
  assert.deepEqual(response.response.warnings, [`tulle: ${said} (ignored)`]);
  assert.ok(decided);
  assert.deepEqual(eventOf(decided.outcome), {
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
  const inherited = { ...context, namespace: { annotations: { 'linkerd.io/inject': 'on' }, labels: {} } };
  assert.deepEqual(review(parseReview({ request }), inherited).response.response.warnings, [
    'tulle: no proxy: linkerd.io/inject of the namespace is "on": use enabled, ingress or disabled',
  ]);
  const unasked = review(parseReview({ request }), { ...context, namespace: { annotations: {}, labels: {} } });
  assert.equal(unasked.response.response.warnings, undefined);
});

test('anything but the creation of a pod or Service passes untouched', () => {
  for (const other of [
    { operation: 'UPDATE' },
    { kind: { group: 'apps', kind: 'Deployment' } },
    { kind: { group: 'serving.knative.dev', kind: 'Service' } },
    { object: null, operation: 'DELETE' },
  ]) {
    const { response, decided } = review(parseReview({ request: { ...request, ...other } }), context);
    assert.equal(response.response.allowed, true);
    assert.equal(response.response.patch, undefined);
    assert.equal(decided, undefined);
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
    [
      { request: { ...request, object: { metadata: {}, spec: { containers: 'app' } } } },
      'object: spec.containers is not a list',
    ],
    [{ request: { ...request, object: { metadata: {} } } }, 'object: spec is missing'],
    [
      { request: { ...request, object: { metadata: { labels: [] }, spec: {} } } },
      'object: metadata.labels is not an object',
    ],
  ];
  for (const [body, name] of cases) {
    assert.throws(
      () => review(parseReview(body), context),
      (error: unknown) => error instanceof ReviewError && error.message.includes(name),
    );
  }
});

test('Services learn the opaque ports of their namespace, or the default ones that they have', () => {
  const patchOf = (object: object, annotations: Record<string, string> = {}): unknown => {
    const service = { ...request, kind: { group: '', kind: 'Service' }, object };
    const { response } = review(parseReview({ request: service }), {
      ...context,
      namespace: { annotations, labels: {} },
    });
    const { patch } = response.response;
    return patch === undefined ? undefined : JSON.parse(Buffer.from(patch, 'base64').toString());
  };
  const path = '/metadata/annotations/config.linkerd.io~1opaque-ports';
  const ports = [
    { port: 80, targetPort: 8080 },
    { port: 3306 },
    { port: 6000, targetPort: 6379 },
    { port: 25, targetPort: 'smtp' },
  ];
  assert.deepEqual(patchOf({ metadata: { annotations: {} }, spec: { ports } }), [
    { op: 'add', path, value: '3306,6000' },
  ]);
  assert.deepEqual(patchOf({ metadata: {}, spec: { ports } }, { 'config.linkerd.io/opaque-ports': '7000' }), [
    { op: 'add', path: '/metadata/annotations', value: {} },
    { op: 'add', path, value: '7000' },
  ]);
  const own = { metadata: { annotations: { 'config.linkerd.io/opaque-ports': '' } }, spec: { ports } };
  assert.equal(patchOf(own), undefined);
  assert.equal(patchOf({ metadata: {}, spec: { ports: [{ port: 80 }] } }), undefined);
});
