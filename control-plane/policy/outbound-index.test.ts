import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeOutboundPolicy } from '#api/encode/outbound.ts';
import { OutboundPolicy as OutboundPolicyMessage } from '#api/gen/outbound.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { customKind } from '#k8s/resources/custom-object.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { parseAddress, parseNetwork } from '#model/address.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { ROUTE_KINDS } from '../dialects/route-kinds.ts';
import { OutboundIndex, type OutboundState } from './outbound-index.ts';
import { RouteIndex } from './route-index.ts';

const SETTINGS = {
  clusterDomain: 'cluster.local',
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  opaquePorts: { ranges: [[6379, 6379]] as const },
  allowsRequestHeaders: false,
  globalEgressNamespace: 'linkerd-egress',
};

function setUp() {
  const services = new ResourceStore<Service>();
  const routes = new RouteIndex(services);
  const index = new OutboundIndex(services, SETTINGS, routes);
  const apply = (name: string, ports: readonly object[], annotations: object = {}, clusterIP = '10.96.0.7'): void => {
    const service = SERVICES.parse({
      metadata: { namespace: 'shop', name, annotations },
      spec: { clusterIP, ports },
    });
    assert.ok(service);
    services.apply(service);
    index.flush();
  };
  return {
    services,
    routes,
    index,
    apply,
    watch: (ip: string, port: number) => index.watchAddress(parseAddress(ip)!, port).slot,
  };
}

function policyOf(state: OutboundState): OutboundPolicy {
  assert.ok(state.kind === 'policy', state.kind === 'failed' ? state.failure.details : '');
  return state.policy;
}

test('a Service is balanced over its endpoints, after a look at what the client sends', () => {
  const { apply, watch } = setUp();
  apply('web', [{ port: 80 }]);
  const policy = policyOf(watch('10.96.0.7', 80).value);
  const ref = { type: 'resource', group: 'core', kind: 'Service', name: 'web', namespace: 'shop', port: 80 };
  assert.deepEqual(policy.ref, ref);
  assert.ok(policy.protocol.kind === 'detect');
  assert.equal(policy.protocol.timeoutMs, 10_000);
  const backend = { ref, target: { kind: 'balancer', authority: 'web.shop.svc.cluster.local:80' } };
  const distribution = { kind: 'first-available', backends: [{ backend, filters: [] }] };
  assert.deepEqual(policy.protocol.opaque.distribution, distribution);
  assert.deepEqual(policy.protocol.routes[0]?.rules[0]?.distribution, distribution);
});

test('declared protocols are not detected, and opaque wins so that profile and policy agree', () => {
  const { apply, watch } = setUp();
  const kind = (port: object, annotations: object = {}): string => {
    apply('web', [{ port: 80, ...port }], annotations);
    return policyOf(watch('10.96.0.7', 80).value).protocol.kind;
  };
  assert.equal(kind({}), 'detect');
  assert.equal(kind({ appProtocol: 'http' }), 'http1');
  assert.equal(kind({ appProtocol: 'kubernetes.io/h2c' }), 'http2');
  assert.equal(kind({ appProtocol: 'linkerd.io/opaque' }), 'opaque');
  assert.equal(kind({ appProtocol: 'mysql' }), 'opaque');
  assert.equal(kind({ appProtocol: 'http' }, { 'config.linkerd.io/opaque-ports': '80' }), 'opaque');
});

test('other addresses are left to the profile inside of the cluster and passed on outside of it', () => {
  const { watch } = setUp();
  assert.equal(watch('10.42.0.1', 80).value.kind, 'failed');
  const outside = policyOf(watch('93.184.216.34', 443).value);
  assert.deepEqual(outside.ref, { type: 'default', name: 'egress-fallback' });
  assert.ok(outside.protocol.kind === 'detect');
  const { distribution } = outside.protocol.opaque;
  assert.ok(distribution.kind === 'first-available');
  assert.equal(distribution.backends[0]?.backend.target.kind, 'forward');
});

test('an undeclared port leads nowhere until it is declared', () => {
  const { apply, watch } = setUp();
  apply('web', [{ port: 80 }]);
  const slot = watch('10.96.0.7', 81);
  const { protocol } = policyOf(slot.value);
  assert.ok(protocol.kind === 'opaque');
  assert.deepEqual(protocol.opaque.ref, { type: 'default', name: 'undefined-port' });
  assert.deepEqual(protocol.opaque.filters, [{ kind: 'forbidden' }]);
  apply('web', [{ port: 80 }, { port: 81 }]);
  assert.equal(policyOf(slot.value).protocol.kind, 'detect');
});

test('policies are complete as linkerd2-proxy demands', () => {
  const { apply, watch } = setUp();
  apply('web', [{ port: 80 }]);
  const bytes = OutboundPolicyMessage.encode(encodeOutboundPolicy(policyOf(watch('10.96.0.7', 80).value))).finish();
  const message = OutboundPolicyMessage.decode(bytes);
  const resource = { group: 'core', kind: 'Service', name: 'web', namespace: 'shop', section: '', port: 80 };
  const metadata = { kind: { $case: 'resource', value: resource } };
  assert.deepEqual(message.metadata, metadata);
  const kind = message.protocol?.kind;
  assert.ok(kind?.$case === 'detect');
  assert.deepEqual(kind.value.timeout, { seconds: 10n, nanos: 0 });
  const load = {
    $case: 'peakEwma',
    value: { defaultRtt: { seconds: 0n, nanos: 30_000_000 }, decay: { seconds: 10n, nanos: 0 } },
  };
  const discovery = { kind: { $case: 'dst', value: { path: 'web.shop.svc.cluster.local:80' } } };
  const backend = {
    metadata,
    kind: { $case: 'balancer', value: { discovery, load } },
    queue: { capacity: 100, failfastTimeout: { seconds: 3n, nanos: 0 } },
  };
  for (const http of [kind.value.http1, kind.value.http2]) {
    const [route] = http?.routes ?? [];
    assert.deepEqual(route?.metadata, { kind: { $case: 'default', value: 'http' } });
    const distribution = route.rules[0]?.backends?.kind;
    assert.ok(distribution?.$case === 'firstAvailable');
    assert.deepEqual(distribution.value.backends[0]?.backend, backend);
  }
  const opaque = kind.value.opaque?.routes[0]?.rules[0]?.backends?.kind;
  assert.ok(opaque?.$case === 'firstAvailable');
  assert.deepEqual(opaque.value.backends[0]?.backend, backend);
});

test('requests may ask for timeouts and retries where the installation says so, and only on routes that somebody wrote', () => {
  for (const allowsRequestHeaders of [false, true]) {
    const services = new ResourceStore<Service>();
    const routes = new RouteIndex(services);
    const index = new OutboundIndex(services, { ...SETTINGS, allowsRequestHeaders }, routes);
    for (const [nth, name] of ['web', 'plain'].entries()) {
      const metadata = { namespace: 'shop', name };
      services.apply(SERVICES.parse({ metadata, spec: { clusterIP: `10.96.0.${nth}`, ports: [{ port: 80 }] } })!);
    }
    const [kind] = ROUTE_KINDS;
    const parentRefs = [{ group: '', kind: 'Service', name: 'web', port: 80 }];
    const route = { metadata: { namespace: 'shop', name: 'r' }, spec: { parentRefs, rules: [{}] } };
    routes.stores[0]?.apply(customKind(kind, kind.versions[0]).parse(route)!);
    const allowed = (ip: string): boolean | undefined => {
      const { protocol } = policyOf(index.watchAddress(parseAddress(ip)!, 80).slot.value);
      assert.ok(protocol.kind === 'detect');
      return protocol.routes[0]?.rules[0]?.allowsRequestHeaders;
    };
    assert.equal(allowed('10.96.0.0'), allowsRequestHeaders);
    assert.equal(allowed('10.96.0.1'), false);
  }
});

test('a mirror, of a rule or on the way to a backend, is in the policy as soon as its Service is there', () => {
  const { apply, watch, routes } = setUp();
  apply('web', [{ port: 80 }]);
  const mirror = (name: string): object => ({
    type: 'RequestMirror',
    requestMirror: { backendRef: { name, port: 80 } },
  });
  const backend = { name: 'web', port: 80, filters: [mirror('second')] };
  const route = customKind(ROUTE_KINDS[0], 'v1').parse({
    metadata: { namespace: 'shop', name: 'r' },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'web' }],
      rules: [{ filters: [mirror('first')], backendRefs: [backend] }],
    },
  });
  assert.ok(route);
  routes.stores[0]?.apply(route);
  const slot = watch('10.96.0.7', 80);
  const mirrors = (): number => JSON.stringify(policyOf(slot.value)).split('"kind":"mirror"').length - 1;
  assert.equal(mirrors(), 0);
  apply('first', [{ port: 80 }], {}, '10.96.0.8');
  assert.equal(mirrors(), 1);
  apply('second', [{ port: 80 }], {}, '10.96.0.9');
  assert.equal(mirrors(), 2);
});

test('routes of a Service without a cluster IP act on nothing, also where it is asked for by name', () => {
  const { routes, index, apply } = setUp();
  const [kind] = ROUTE_KINDS;
  const route = customKind(kind, 'v1').parse({
    metadata: { namespace: 'shop', name: 'r' },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web' }], rules: [{ timeouts: { request: '1s' } }] },
  });
  assert.ok(route);
  routes.stores[0]?.apply(route);
  const deciders = (clusterIP: string): readonly unknown[] => {
    apply('web', [{ port: 80 }], {}, clusterIP);
    using lease = index.watchName({ namespace: 'shop', service: 'web', port: 80 });
    const { protocol } = policyOf(lease.slot.value);
    return 'routes' in protocol ? protocol.routes.map(({ ref }) => ref.name) : [];
  };
  assert.deepEqual(deciders('10.96.0.7'), ['r']);
  assert.deepEqual(deciders('None'), ['http']);
});
