import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureAccrual, trafficAnnotations } from './annotations.ts';
import { annotationMistake, annotationMistakes, KNOWN_ANNOTATIONS } from './known-annotations.ts';
import { Problems } from './problem.ts';

/** Whether a reader complains about an annotation when its value is nonsense. */
function isRead(name: string): boolean {
  const problems = new Problems();
  const annotations = { 'balancer.linkerd.io/failure-accrual': 'unified', [name]: '?' };
  trafficAnnotations(annotations, problems);
  failureAccrual(annotations, problems);
  return problems.found.some(({ field }) => field === name);
}

test('what the table says of Services is what is read from them', () => {
  const names = [...KNOWN_ANNOTATIONS].flatMap(([name, kinds]) => (kinds.includes('Service') ? [name] : []));
  assert.deepEqual(
    names.filter((name) => !isRead(name)),
    ['config.linkerd.io/opaque-ports'], // read with the ports of the Service
  );
});

test('a mistake says what is meant, or where the annotation has an effect', () => {
  for (const [annotation, kind, says] of [
    ['retry.linkerd.io/limits', 'HTTPRoute', /^is no known annotation: did you mean retry\.linkerd\.io\/limit\?$/],
    ['timeout.linkerd.io/respons', 'Service', /did you mean timeout\.linkerd\.io\/response\?/],
    ['timeouts.linkerd.io/request', 'Service', /did you mean timeout\.linkerd\.io\/request\?/],
    ['timeout.linkerd.io/connection', 'GRPCRoute', /: timeout\.linkerd\.io\/ has request, response, idle$/],
    [
      'balancer.linkerd.io/failure-accrual',
      'HTTPRoute',
      /^has no effect on an HTTPRoute: it has one on Services and EgressNetworks$/,
    ],
    ['balancer.linkerd.io/failure-acrual', 'HTTPRoute', /failure-accrual, if that is meant, .* either: .* on Services/],
    ['retry.linkerd.io/http', 'GRPCRoute', /on Services, EgressNetworks and HTTPRoutes$/],
    ['timeout.linkerd.io/request', 'TCPRoute', /^has no effect on a TCPRoute/],
    ['config.linkerd.io/proxy-cpu-limit', 'Service', /^has no effect on a Service: it has one on Namespaces and Pods$/],
    ['config.linkerd.io/opaque-port', 'Service', /did you mean config\.linkerd\.io\/opaque-ports\?/],
    ['linkerd.io/inject', 'Service', /on Namespaces and Pods$/],
  ] as const)
    assert.match(annotationMistake(annotation, kind)?.message ?? '', says, annotation);
});

test('what is read, or is no setting, is no mistake', () => {
  for (const [annotation, kind] of [
    ['retry.linkerd.io/limit', 'HTTPRoute'],
    ['balancer.linkerd.io/failure-accrual', 'EgressNetwork'],
    ['config.linkerd.io/opaque-ports', 'Service'],
    ['config.linkerd.io/proxy-cpu-limit', 'Pod'],
    ['config.linkerd.io/proxy-cpu-limt', 'Pod'], // the injector names it
    ['linkerd.io/created-by', 'Service'],
    ['viz.linkerd.io/tap-enabled', 'Pod'],
    ['kubectl.kubernetes.io/last-applied-configuration', 'HTTPRoute'],
    ['retry.example.com/limits', 'HTTPRoute'],
  ] as const)
    assert.equal(annotationMistake(annotation, kind), undefined, annotation);
});

test('of many unknown names some are judged, and what the injector judges does not count', () => {
  const named = (prefix: string): Record<string, string> =>
    Object.fromEntries(Array.from({ length: 1_000 }, (_, nth) => [`${prefix}linkerd.io/${'x'.repeat(50)}${nth}`, '']));
  const annotations = { ...named('config.'), ...named('retry.') };
  const mistakes = annotationMistakes(annotations, 'Pod');
  assert.equal(mistakes.length, 32);
  assert.ok(mistakes.every(({ annotation, kind }) => annotation.startsWith('retry.') && kind === 'unknown'));
});
