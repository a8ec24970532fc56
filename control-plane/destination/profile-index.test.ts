import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProfileIndex } from './profile-index.ts';
import { createStores } from './stores.ts';
import { parseConsumer } from './consumer.ts';
import { parseHostPort, parseServiceName } from '#model/service-target.ts';
import { parsed, podObject, serviceObject, SETTINGS } from './testing.ts';

const OPAQUE = 'config.linkerd.io/opaque-ports';

function setUp() {
  const stores = createStores();
  const index = new ProfileIndex(stores, SETTINGS);
  const profile = (ip: string, port: number) => {
    const { value } = index.watchAddress(ip, port, {}).slot;
    assert.ok(value.kind === 'profile', value.kind === 'failed' ? value.failure.details : '');
    return value.profile;
  };
  return { stores, index, profile };
}

test('the address of a Service leads to its name', () => {
  const { stores, profile } = setUp();
  stores.services.apply(
    parsed.service(serviceObject('web', '10.96.0.7', [{ port: 80 }, { name: 'redis', port: 6379 }])),
  );
  const found = profile('10.96.0.7', 80);
  assert.equal(found.fullyQualifiedName, 'web.shop.svc.cluster.local');
  assert.equal(found.isOpaque, false);
  assert.equal(found.endpoint, undefined);
  assert.deepEqual(found.parent, {
    type: 'resource',
    group: 'core',
    kind: 'Service',
    name: 'web',
    namespace: 'shop',
    port: 80,
  });
  assert.equal(profile('10.96.0.7', 6379).isOpaque, true, 'a port that is opaque by default');
  assert.deepEqual(profile('10.96.0.7', 81), { isOpaque: false }, 'a port that the Service does not have');
});

test('an annotation of the Service says which ports are opaque, and changes take effect at once', () => {
  const { stores, index } = setUp();
  const apply = (annotations: Record<string, string>): void => {
    const ports = [
      { name: 'web', port: 80 },
      { name: 'redis', port: 6379 },
    ];
    stores.services.apply(parsed.service(serviceObject('web', '10.96.0.7', ports, { annotations })));
    index.flush();
  };
  apply({});
  const slots = [80, 6379].map((port) => index.watchAddress('10.96.0.7', port, {}).slot);
  const opaque = () => slots.map(({ value }) => value.kind === 'profile' && value.profile.isOpaque);
  assert.deepEqual(opaque(), [false, true]);
  apply({ [OPAQUE]: 'web' });
  assert.deepEqual(opaque(), [true, false]);
});

test('the address of a pod leads to that pod', () => {
  const { stores, index } = setUp();
  const { slot } = index.watchAddress('10.42.0.1', 8080, {});
  const endpoint = () => (slot.value.kind === 'profile' ? slot.value.profile.endpoint : undefined);
  assert.deepEqual(endpoint(), { address: '10.42.0.1', port: 8080, weight: 10_000, labels: {} }, 'unknown for now');
  stores.pods.apply(parsed.pod(podObject('web-1', '10.42.0.1')));
  index.flush();
  assert.equal(endpoint()?.identity?.name, 'web.shop.serviceaccount.identity.tulle.cluster.local');
  assert.equal(endpoint()?.labels['namespace'], 'shop');
  stores.pods.apply(parsed.pod(podObject('web-1', '10.42.0.1', { status: { phase: 'Succeeded' } })));
  index.flush();
  assert.equal(endpoint()?.identity, undefined, 'a finished pod does not own its address');
});

test('an address moves from one pod to the next without confusion', () => {
  const { stores, index, profile } = setUp();
  stores.pods.apply(parsed.pod(podObject('old', '10.42.0.1')));
  stores.pods.apply(parsed.pod(podObject('new', '10.42.0.1')));
  stores.pods.delete('shop', 'old');
  index.flush();
  assert.equal(profile('10.42.0.1', 80).endpoint?.labels['pod'], 'new');
});

test('host ports lead to the pod behind them, and pods in the network of the host are left alone', () => {
  const { stores, profile } = setUp();
  const containers = [{ ports: [{ containerPort: 8080, hostPort: 30080 }] }];
  stores.pods.apply(parsed.pod(podObject('hosted', '10.42.0.5', { spec: { containers } })));
  stores.pods.apply(parsed.pod(podObject('host', '192.168.0.1', { spec: { hostNetwork: true, containers: [] } })));
  const { endpoint } = profile('192.168.0.1', 30_080);
  assert.deepEqual([endpoint?.address, endpoint?.port], ['10.42.0.5', 8080]);
  assert.equal(profile('192.168.0.1', 22).endpoint?.identity, undefined);
});

test('two Services with one address are an error', () => {
  const { stores, index } = setUp();
  for (const name of ['a', 'b'])
    stores.services.apply(parsed.service(serviceObject(name, '10.96.0.7', [{ port: 80 }])));
  assert.equal(index.watchAddress('10.96.0.7', 80, {}).slot.value.kind, 'failed');
  stores.services.delete('shop', 'a');
  index.flush();
  assert.equal(index.watchAddress('10.96.0.7', 80, {}).slot.value.kind, 'profile');
});

test('names and tokens that proxies send are read', () => {
  const domain = 'cluster.local';
  assert.deepEqual(parseServiceName('web.shop.svc.cluster.local.', 80, domain), {
    service: 'web',
    namespace: 'shop',
    port: 80,
  });
  assert.equal(parseServiceName('db-0.db.shop.svc.cluster.local', 80, domain)?.hostname, 'db-0');
  for (const name of [
    'example.com',
    'shop.svc.cluster.local',
    'a.b.c.d.svc.cluster.local',
    '.shop.svc.cluster.local',
    '10.0.0.1',
  ]) {
    assert.equal(parseServiceName(name, 80, domain), undefined, name);
  }
  assert.deepEqual(parseHostPort('[fd00::1]:80'), { host: 'fd00::1', port: 80 });
  assert.deepEqual(parseHostPort('web'), { host: 'web', port: 80 });
  for (const path of ['', ':80', 'web:0', 'web:65536', 'web:x', 'a:b:80'])
    assert.equal(parseHostPort(path), undefined, path);
  assert.deepEqual(parseConsumer('{"ns":"shop","nodeName":"n1","pod":"p"}\n'), { namespace: 'shop', nodeName: 'n1' });
  assert.deepEqual(parseConsumer('ns:shop'), { namespace: 'shop' });
  for (const token of ['', 'x', 'null', '[]', '{"ns":1}']) assert.deepEqual(parseConsumer(token), {});
});
