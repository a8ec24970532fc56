import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseNetwork } from '#model/address.ts';
import type { Client } from '#model/authorization.ts';
import { authorizeConnection, authorizeRequest } from '#model/inbound.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { annotationProblem, defaultInboundServer, type InboundSettings } from './inbound-policy.ts';
import { Patterns } from '#runtime/pattern.ts';
import { parseWorkload } from './inbound-server.ts';

const SETTINGS: InboundSettings = {
  defaultPolicy: 'all-unauthenticated',
  opaquePorts: { ranges: [[3306, 3306]] },
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  probeNetworks: [parseNetwork('0.0.0.0/0')!],
  identitySuffix: 'serviceaccount.identity.tulle.cluster.local',
};
const MESHED: Client = { address: '10.1.1.1', tls: { kind: 'mesh', identity: 'web.shop' } };
const PLAIN: Client = { address: '10.1.1.1', tls: { kind: 'none' } };
const OUTSIDE: Client = { address: '8.8.8.8', tls: { kind: 'none' } };

function pod(annotations: Record<string, string> = {}, containers: readonly object[] = []): Pod {
  const parsed = PODS.parse({ metadata: { namespace: 'shop', name: 'web', annotations }, spec: { containers } });
  assert.ok(parsed);
  return parsed;
}

function allowed(annotations: Record<string, string>, port = 80): readonly boolean[] {
  const server = defaultInboundServer(pod(annotations), port, SETTINGS);
  return [MESHED, PLAIN, OUTSIDE].map((client) => authorizeConnection(server, client).isAllowed);
}

test('each default policy lets in whom its name says', () => {
  const policy = (name: string) => allowed({ 'config.linkerd.io/default-inbound-policy': name });
  assert.deepEqual(allowed({}), [true, true, true]);
  assert.deepEqual(policy('all-authenticated'), [true, false, false]);
  assert.deepEqual(policy('cluster-unauthenticated'), [true, true, false]);
  assert.deepEqual(policy('cluster-authenticated'), [true, false, false]);
  assert.deepEqual(policy('deny'), [false, false, false]);
  assert.deepEqual(policy('audit'), [true, true, true]);
});

test('an annotation with an unknown policy changes nothing and is reported', () => {
  const annotations = { 'config.linkerd.io/default-inbound-policy': 'nobody' };
  assert.deepEqual(allowed(annotations), [true, true, true]);
  assert.match(annotationProblem(pod(annotations)) ?? '', /"nobody": use one of all-unauthenticated/);
  assert.equal(annotationProblem(pod()), undefined);
});

test('single ports can demand an identity', () => {
  const annotations = { 'config.linkerd.io/proxy-require-identity-inbound-ports': '80,90' };
  assert.deepEqual(allowed(annotations, 80), [true, false, false]);
  assert.deepEqual(allowed(annotations, 81), [true, true, true]);
  assert.equal(defaultInboundServer(pod(annotations), 80, SETTINGS).ref.name, 'all-authenticated');
});

test('opaque ports are those annotated, else those of the cluster', () => {
  const kind = (annotations: Record<string, string>, port: number) =>
    defaultInboundServer(pod(annotations), port, SETTINGS).protocol.kind;
  assert.equal(kind({}, 3306), 'opaque');
  assert.equal(kind({ 'config.linkerd.io/opaque-ports': '5000' }, 3306), 'detect');
  assert.equal(kind({ 'config.linkerd.io/opaque-ports': '5000' }, 5000), 'opaque');
});

test('probes get in where everything else is denied', () => {
  const containers = [
    {
      ports: [{ name: 'http', containerPort: 8080 }],
      readinessProbe: { httpGet: { port: 'http', path: '/ready?full=1' } },
      livenessProbe: { httpGet: { port: 8080, path: 'live' } },
      startupProbe: { tcpSocket: { port: 8080 } },
    },
  ];
  const server = defaultInboundServer(
    pod({ 'config.linkerd.io/default-inbound-policy': 'deny' }, containers),
    8080,
    SETTINGS,
  );
  const get = (path: string, method = 'GET') => {
    const head = {
      method,
      path,
      query: '',
      host: '10.0.0.1',
      header: () => undefined,
      matchesPattern: new Patterns(10).matches,
    };
    return authorizeRequest(server, PLAIN, head).verdict.isAllowed;
  };
  assert.deepEqual(
    [get('/ready'), get('/live'), get('/'), get('/ready/x'), get('/ready', 'POST')],
    [true, true, false, false, false],
  );
});

test('probes by gRPC get in as calls, where everything else is denied', () => {
  const containers = [
    { ports: [{ containerPort: 9000 }], livenessProbe: { grpc: { port: 9000, service: 'shop' } } },
    { readinessProbe: { httpGet: { port: 9000, path: '/ready' } } },
  ];
  const denied = pod({ 'config.linkerd.io/default-inbound-policy': 'deny' }, containers);
  const isAllowed = (port: number, method: string, path: string): boolean => {
    const server = defaultInboundServer(denied, port, SETTINGS);
    const rest = { query: '', host: '10.0.0.1', header: () => undefined, matchesPattern: new Patterns(10).matches };
    return authorizeRequest(server, PLAIN, { method, path, ...rest }).verdict.isAllowed;
  };
  const check = '/grpc.health.v1.Health/Check';
  assert.ok(isAllowed(9000, 'POST', check) && isAllowed(9000, 'GET', '/ready'));
  for (const [port, method, path] of [
    [9001, 'POST', check],
    [9000, 'GET', check],
    [9000, 'POST', '/grpc.health.v1.Health/Watch'],
    [9000, 'POST', '/ready'],
  ] as const)
    assert.ok(!isAllowed(port, method, path), `${method} ${path} on ${port}`);
});

test('workloads are read in all forms', () => {
  const pod = { kind: 'pod', namespace: 'shop', name: 'web-1' };
  assert.deepEqual(parseWorkload('{"ns":"shop","pod":"web-1"}\n'), pod);
  assert.deepEqual(parseWorkload('shop:web-1'), pod);
  const external = { kind: 'external-workload', namespace: 'shop', name: 'vm-1' };
  assert.deepEqual(parseWorkload('{"ns":"shop","external_workload":"vm-1"}'), external);
  for (const text of [
    '',
    'shop',
    'a:b:c',
    '{"ns":"shop"}',
    '{"ns":"","pod":"x"}',
    '{',
    '{"ns":"shop","external_workload":""}',
    '{"external_workload":"x"}',
    '{}null',
  ]) {
    assert.equal(parseWorkload(text), undefined, text);
  }
});
