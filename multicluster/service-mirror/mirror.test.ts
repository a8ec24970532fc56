import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { LINKS, selectorQuery, type Link } from './link.ts';
import { isServiceAsWanted, isSliceAsWanted, mirrorOf, patchTo } from './mirror.ts';

const SPEC = {
  targetClusterName: 'west',
  targetClusterDomain: 'west.local',
  clusterCredentialsSecret: 'cluster-credentials-west',
  gatewayAddress: '10.43.0.1, gw.example.org',
  gatewayPort: '4143',
  gatewayIdentity: 'gw.mc.serviceaccount.identity.tulle.cluster.local',
  probeSpec: { path: '/ready', port: '4191', period: '3s' },
  selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
};

function link(spec: object = SPEC): Link {
  const parsed = LINKS.parse({ metadata: { namespace: 'tulle-multicluster', name: 'west' }, spec });
  assert.ok(parsed);
  return parsed;
}

function service(): Service {
  const labels = { app: 'cart', 'mirror.linkerd.io/exported': 'true' };
  const ports = [
    { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP', appProtocol: 'http' },
    { name: 'dns', port: 53, protocol: 'UDP' },
  ];
  const parsed = SERVICES.parse({ metadata: { namespace: 'shop', name: 'cart', labels }, spec: { ports } });
  assert.ok(parsed);
  return parsed;
}

test('a mirror has the TCP ports of the Service, its own labels and the gateway as its only endpoint', () => {
  const { service: mirror, slice } = mirrorOf(service(), link(), ['10.43.0.1'], true);
  assert.deepEqual(mirror.metadata, {
    namespace: 'shop',
    name: 'cart-west',
    labels: { app: 'cart', 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
    annotations: { 'mirror.linkerd.io/remote-svc-fq-name': 'cart.shop.svc.west.local' },
  });
  assert.deepEqual(mirror['spec'], { ports: [{ name: 'http', port: 80, protocol: 'TCP', appProtocol: 'http' }] });
  assert.deepEqual(slice['ports'], [{ name: 'http', port: 4143, protocol: 'TCP' }]);
  assert.deepEqual(slice['endpoints'], [{ addresses: ['10.43.0.1'], conditions: { ready: true } }]);
  assert.equal(slice.metadata.annotations['mirror.linkerd.io/remote-gateway-identity'], SPEC.gatewayIdentity);
});

test('the slice is empty when the Service has no endpoints, and when the gateway is dead', () => {
  assert.deepEqual(mirrorOf(service(), link(), ['10.43.0.1'], false).slice['endpoints'], []);
  assert.deepEqual(mirrorOf(service(), link(), [], true).slice['endpoints'], []);
});

test('what is stored is as wanted whatever the API server added, and a patch takes away what is wanted no more', () => {
  const { service: wanted, slice } = mirrorOf(service(), link(), ['10.43.0.1'], true);
  const [port] = (wanted['spec'] as { ports: object[] }).ports;
  const stored = { ...wanted, spec: { clusterIP: '10.96.1.1', ports: [{ ...port, targetPort: 80 }] } };
  assert.equal(isServiceAsWanted(stored, wanted), true);
  assert.equal(isSliceAsWanted(slice, slice), true);
  const { slice: dead } = mirrorOf(service(), link(), [], true);
  assert.equal(isSliceAsWanted(slice, dead), false);
  const more = { ...stored, metadata: { ...wanted.metadata, labels: { ...wanted.metadata.labels, old: '1' } } };
  assert.equal(isServiceAsWanted(more, wanted), false);
  assert.equal((patchTo(more, wanted).metadata.labels as Record<string, unknown>)['old'], null);
});

test('a Link says everything that is wrong with it', () => {
  assert.deepEqual(link().problems, []);
  assert.deepEqual(link().gatewayAddresses, ['10.43.0.1', 'gw.example.org']);
  assert.deepEqual(
    link({ ...SPEC, gatewayPort: 'x', gatewayAddress: 'a b', probeSpec: { period: 'soon' } }).problems.length,
    3,
  );
  assert.deepEqual(link({}).problems, [
    'spec.gatewayAddress is missing',
    'spec.targetClusterName is missing',
    'spec.clusterCredentialsSecret is missing',
    'spec.gatewayIdentity is missing',
  ]);
});

test('selectors become queries, and an empty one matches nothing', () => {
  assert.equal(selectorQuery(SPEC.selector), 'mirror.linkerd.io/exported=true');
  const matchExpressions = [
    { key: 'a', operator: 'In', values: ['x', 'y'] },
    { key: 'b', operator: 'DoesNotExist' },
  ];
  assert.equal(selectorQuery({ matchExpressions }), 'a in (x,y),!b');
  assert.equal(selectorQuery({}), undefined);
  assert.equal(selectorQuery(undefined), undefined);
});
