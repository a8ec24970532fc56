import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODES } from '#k8s/resources/node.ts';
import { EndpointIndex, type EndpointState } from './endpoint-index.ts';
import { createStores } from './stores.ts';
import type { Consumer } from './consumer.ts';
import { parseServiceName } from '#model/service-target.ts';
import { parsed, podAddress, podObject, serviceObject, SETTINGS, sliceObject } from './testing.ts';

const WEB_ID = 'web.shop.serviceaccount.identity.tulle.cluster.local';
const HTTP = { name: 'http', port: 80, targetPort: 'http' };
const SLICE_HTTP = { name: 'http', port: 8080 };

function setUp() {
  const stores = createStores();
  const index = new EndpointIndex(stores, SETTINGS);
  stores.services.apply(parsed.service(serviceObject('web', '10.96.0.7', [HTTP])));
  stores.pods.apply(parsed.pod(podObject('web-1', '10.42.0.1')));
  stores.pods.apply(parsed.pod(podObject('web-2', '10.42.0.2')));
  const addresses = [podAddress('web-1', '10.42.0.1'), podAddress('web-2', '10.42.0.2')];
  stores.slices.apply(parsed.slice(sliceObject('web-x', 'web', [SLICE_HTTP], addresses)));
  const watch = (name = 'web.shop.svc.cluster.local', port = 80, consumer: Consumer = {}) => {
    const target = parseServiceName(name, port, 'cluster.local');
    assert.ok(target);
    return index.watch(target, consumer).slot;
  };
  return { stores, index, watch };
}

function keys(state: EndpointState): readonly string[] {
  assert.equal(state.kind, 'endpoints');
  return state.kind === 'endpoints' ? [...state.endpoints.keys()] : [];
}

test('a meshed pod is reached by its proxy, under the identity of its service account', () => {
  const { watch } = setUp();
  const state = watch().value;
  assert.ok(state.kind === 'endpoints');
  assert.deepEqual(state.labels, { namespace: 'shop', service: 'web' });
  assert.deepEqual(state.endpoints.get('10.42.0.1:8080'), {
    address: '10.42.0.1',
    port: 8080,
    weight: 10_000,
    labels: {
      pod: 'web-1',
      deployment: 'web',
      serviceaccount: 'web',
      control_plane_ns: 'tulle',
      pod_template_hash: 'abc',
      zone: '',
      zone_locality: 'unknown',
    },
    identity: { kind: 'dns', name: WEB_ID, serverName: WEB_ID },
    protocolHint: 'h2',
    opaqueTransportPort: 4143,
    http2: { keepAlive: { intervalMs: 10_000, timeoutMs: 3000, isWhileIdle: true } },
  });
});

test('pods come and go as they become ready', () => {
  const { stores, index, watch } = setUp();
  const slot = watch();
  assert.deepEqual(keys(slot.value), ['10.42.0.1:8080', '10.42.0.2:8080']);
  const unready = podAddress('web-2', '10.42.0.2', { conditions: { ready: false } });
  stores.slices.apply(
    parsed.slice(sliceObject('web-x', 'web', [SLICE_HTTP], [podAddress('web-1', '10.42.0.1'), unready])),
  );
  index.flush();
  assert.deepEqual(keys(slot.value), ['10.42.0.1:8080']);
  stores.slices.apply(parsed.slice(sliceObject('web-y', 'web', [SLICE_HTTP], [podAddress('web-3', '10.42.0.3')])));
  index.flush();
  assert.deepEqual(keys(slot.value), ['10.42.0.1:8080', '10.42.0.3:8080'], 'a Service may have several slices');
  stores.slices.reset([]);
  index.flush();
  assert.deepEqual(keys(slot.value), []);
});

test('an endpoint changes when its pod becomes known or changes', () => {
  const { stores, index, watch } = setUp();
  stores.slices.apply(parsed.slice(sliceObject('web-x', 'web', [SLICE_HTTP], [podAddress('late', '10.42.0.9')])));
  index.flush();
  const slot = watch();
  const endpoint = () => (slot.value.kind === 'endpoints' ? slot.value.endpoints.get('10.42.0.9:8080') : undefined);
  assert.equal(endpoint()?.identity, undefined);
  stores.pods.apply(parsed.pod(podObject('late', '10.42.0.9')));
  index.flush();
  assert.equal(endpoint()?.identity?.name, WEB_ID);
  stores.pods.apply(parsed.pod(podObject('late', '10.42.0.9', { metadata: { labels: {} } })));
  index.flush();
  assert.equal(endpoint()?.identity, undefined, 'without a proxy there is no identity');
  assert.equal(endpoint()?.opaqueTransportPort, undefined);
});

test('ports are opaque by annotation or by default, and skipped ports are not meshed', () => {
  const { stores, index, watch } = setUp();
  const annotated = (annotations: Record<string, string>): void => {
    stores.pods.apply(
      parsed.pod(
        podObject('web-1', '10.42.0.1', {
          metadata: { labels: { 'linkerd.io/control-plane-ns': 'tulle' }, annotations },
        }),
      ),
    );
    index.flush();
  };
  const slot = watch();
  const endpoint = () => (slot.value.kind === 'endpoints' ? slot.value.endpoints.get('10.42.0.1:8080') : undefined);
  annotated({ 'config.linkerd.io/opaque-ports': '8000-9000' });
  assert.equal(endpoint()?.protocolHint, 'opaque');
  assert.equal(endpoint()?.opaqueTransportPort, 4143);
  annotated({ 'config.linkerd.io/skip-inbound-ports': '8080' });
  assert.equal(endpoint()?.identity, undefined);
  assert.equal(endpoint()?.protocolHint, undefined);
  annotated({ 'config.linkerd.io/skip-inbound-ports': '8080,nonsense' });
  assert.equal(endpoint()?.protocolHint, 'h2', 'the injector ignores it, so connections do come to the proxy');
  annotated({});
  assert.equal(endpoint()?.protocolHint, 'h2');
});

test('a Service that does not exist yet appears when it is created, and ends when it becomes an external name', () => {
  const { stores, index, watch } = setUp();
  const slot = watch('new.shop.svc.cluster.local');
  assert.equal(slot.value.kind === 'endpoints' && slot.value.exists, false);
  stores.services.apply(parsed.service(serviceObject('new', '10.96.0.8', [HTTP])));
  stores.slices.apply(parsed.slice(sliceObject('new-x', 'new', [SLICE_HTTP], [podAddress('web-1', '10.42.0.1')])));
  index.flush();
  assert.deepEqual(keys(slot.value), ['10.42.0.1:8080']);
  stores.services.apply(parsed.service(serviceObject('new', '', [], { type: 'ExternalName' })));
  index.flush();
  assert.equal(slot.value.kind, 'failed');
});

test('an instance of a headless Service is found by its host name, and an undeclared port is used as it is', () => {
  const { stores, index, watch } = setUp();
  stores.services.apply(parsed.service(serviceObject('db', 'None', [{ port: 5432 }])));
  const addresses = [
    podAddress('db-0', '10.42.1.1', { hostname: 'db-0' }),
    podAddress('db-1', '10.42.1.2', { hostname: 'db-1' }),
  ];
  stores.slices.apply(parsed.slice(sliceObject('db-x', 'db', [{ name: '', port: 5432 }], addresses)));
  index.flush();
  assert.deepEqual(keys(watch('db-1.db.shop.svc.cluster.local', 5432).value), ['10.42.1.2:5432']);
  assert.deepEqual(keys(watch('db.shop.svc.cluster.local', 9999).value), ['10.42.1.1:9999', '10.42.1.2:9999']);
});

test('consumers get endpoints of their node or zone when the Service asks for it', () => {
  const { stores, index, watch } = setUp();
  for (const [name, zone] of [
    ['node-1', 'a'],
    ['node-2', 'b'],
  ]) {
    const node = NODES.parse({ metadata: { name, labels: { 'topology.kubernetes.io/zone': zone } } });
    assert.ok(node);
    stores.nodes.apply(node);
  }
  const hinted = [
    podAddress('web-1', '10.42.0.1', { hints: { forZones: [{ name: 'a' }] } }),
    podAddress('web-2', '10.42.0.2', { nodeName: 'node-2', hints: { forZones: [{ name: 'b' }] } }),
  ];
  stores.slices.apply(parsed.slice(sliceObject('web-x', 'web', [SLICE_HTTP], hinted)));
  index.flush();
  const name = 'web.shop.svc.cluster.local';
  assert.deepEqual(keys(watch(name, 80, { nodeName: 'node-2' }).value), ['10.42.0.2:8080']);
  assert.deepEqual(keys(watch(name, 80, { nodeName: 'elsewhere' }).value).length, 2);
  const near = watch(name, 80, { nodeName: 'node-1' }).value;
  assert.equal(near.kind === 'endpoints' && near.endpoints.get('10.42.0.1:8080')?.labels['zone_locality'], 'local');
  stores.services.apply(parsed.service(serviceObject('web', '10.96.0.7', [HTTP], { internalTrafficPolicy: 'Local' })));
  index.flush();
  assert.deepEqual(keys(watch(name, 80, { nodeName: 'node-1' }).value), ['10.42.0.1:8080']);
  assert.deepEqual(keys(watch(name, 80, {}).value), []);
});

test('a mirrored Service is reached by the gateway of its cluster, under the name it has there', () => {
  const { stores, watch } = setUp();
  const gateway = 'gw.mc.serviceaccount.identity.tulle.cluster.local';
  const mirror = serviceObject('web-west', '10.96.0.8', [HTTP]) as { metadata: object };
  const name = 'mirror.linkerd.io/remote-svc-fq-name';
  const remote = 'web.shop.svc.cluster.local';
  const labels = { 'mirror.linkerd.io/cluster-name': 'west' };
  stores.services.apply(
    parsed.service({ ...mirror, metadata: { ...mirror.metadata, labels, annotations: { [name]: remote } } }),
  );
  const slice = sliceObject('web-west', 'web-west', [{ name: 'http', port: 4143 }], [{ addresses: ['10.43.0.1'] }]);
  const annotations = { [name]: remote, 'mirror.linkerd.io/remote-gateway-identity': gateway };
  const { metadata } = slice as { metadata: object };
  stores.slices.apply(parsed.slice({ ...slice, metadata: { ...metadata, annotations } }));
  const state = watch('web-west.shop.svc.cluster.local', 80).value;
  assert.ok(state.kind === 'endpoints');
  assert.deepEqual(state.labels, {
    namespace: 'shop',
    service: 'web-west',
    target_cluster: 'west',
    target_service: 'web',
    target_service_namespace: 'shop',
  });
  const endpoint = state.endpoints.get('10.43.0.1:4143');
  assert.equal(endpoint?.authorityOverride, 'web.shop.svc.cluster.local:80');
  assert.deepEqual(endpoint.identity, { kind: 'dns', name: gateway, serverName: gateway });
});
