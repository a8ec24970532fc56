// EgressNetworks, TLSRoutes and TCPRoutes, as a foreign proxy sees them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tcpAddress } from './endpoint-set.ts';
import { startWorld, type Namespace, type World } from './testing.ts';
import type { Message } from './wire.ts';

const GATEWAY = 'gateway.networking.k8s.io';
const POLICY = 'policy.linkerd.io';

let world: World;
let shop: Namespace;
before(async () => {
  world = await startWorld();
  shop = await world.namespace('shop');
  await world.define(GATEWAY);
  await world.define(POLICY);
});
after(() => world[Symbol.asyncDispose]());

function watch(ip: string, port: number, namespace = 'shop') {
  const source_workload = `{"ns":"${namespace}","pod":"client"}\n`;
  return world.policy.open('watchPolicy', { source_workload, addr: tcpAddress(ip, port) });
}

const REMEDY = 'to allow it, name the EgressNetwork as parent of an HTTPRoute or GRPCRoute';
const TEN_SECONDS = { seconds: 10n };
const QUEUE = { capacity: 100, failfast_timeout: { seconds: 3n } };

const reference = (group: string, kind: string, name: string, port?: number, namespace = 'shop'): Message => ({
  resource: { group, kind, name, namespace, ...(port !== undefined && { port }) },
});

const first = (backend: Message): Message => ({ first_available: { backends: [{ backend }] } });

function network(name: string, port: number, namespace = 'shop'): Message {
  return reference(POLICY, 'EgressNetwork', name, port, namespace);
}

/** The address that was asked for. */
function forward(metadata: Message, ip: string, port: number): Message {
  return { metadata, queue: QUEUE, forward: { addr: tcpAddress(ip, port), weight: 1 } };
}

function balancer(name: string): Message {
  return {
    metadata: reference('core', 'Service', name, 80),
    queue: QUEUE,
    balancer: {
      discovery: { dst: { path: `${shop.host(name)}:80` } },
      peak_ewma: { default_rtt: { nanos: 30_000_000 }, decay: TEN_SECONDS },
    },
  };
}

/** The last routes of an EgressNetwork: what it says about what no other route matches. */
function builtIn(backend: Message, denial?: string) {
  const name = denial === undefined ? 'allow' : 'deny';
  const http = {
    metadata: { default: `http-egress-${name}` },
    rules: [
      {
        matches: [{ path: { prefix: '/' } }],
        ...(denial !== undefined && { filters: [{ failure_injector: { status: 403, message: denial } }] }),
        backends: first(backend),
        timeouts: {},
      },
    ],
  };
  const connections = (kind: string) => ({
    metadata: { default: `${kind}-egress-${name}` },
    rules: [{ backends: first(backend), ...(denial !== undefined && { filters: [{ forbidden: {} }] }) }],
  });
  return { http, tcp: connections('tcp'), tls: connections('tls') };
}

function detected(metadata: Message, http: readonly Message[], opaque: Message): Message {
  const routes = { routes: http };
  return {
    metadata,
    protocol: { detect: { timeout: TEN_SECONDS, opaque: { routes: [opaque] }, http1: routes, http2: routes } },
  };
}

function egress(namespace: Namespace, name: string, spec: Message, annotations: Message = {}): Promise<void> {
  return namespace.put(`egressnetworks.${POLICY}`, {
    apiVersion: `${POLICY}/v1alpha1`,
    kind: 'EgressNetwork',
    metadata: { name, annotations },
    spec,
  });
}

function fallback(ip: string, port: number): Message {
  const backend = forward({ default: 'egress-fallback' }, ip, port);
  const http = {
    metadata: { default: 'http' },
    rules: [{ matches: [{ path: { prefix: '/' } }], backends: first(backend), timeouts: {} }],
  };
  const opaque = { metadata: { default: 'opaq' }, rules: [{ backends: first(backend) }] };
  return detected({ default: 'egress-fallback' }, [http], opaque);
}

test('an EgressNetwork: made, denying, opaque, overlapping with the cluster, deleted', async () => {
  const [ip, port] = ['203.0.113.1', 443];
  const stream = watch(ip, port);
  assert.deepEqual(await stream.next('no network'), fallback(ip, port));
  const backend = forward(network('all', port), ip, port);
  await egress(shop, 'all', { trafficPolicy: 'Allow' });
  const allowed = builtIn(backend);
  assert.deepEqual(await stream.next('allowed'), detected(network('all', port), [allowed.http], allowed.tcp));
  await egress(shop, 'all', { trafficPolicy: 'Deny' });
  const denied = builtIn(backend, `EgressNetwork shop/all denies ${ip}:${port}: ${REMEDY}`);
  assert.deepEqual(await stream.next('denied'), detected(network('all', port), [denied.http], denied.tcp));

  const profile = world.destination.open('getProfile', { path: `${ip}:${port}`, context_token: '{"ns":"shop"}' });
  assert.equal((await profile.next('the profile'))['opaque_protocol'], undefined);
  await egress(shop, 'all', { trafficPolicy: 'Allow' }, { 'config.linkerd.io/opaque-ports': '443' });
  assert.deepEqual(await stream.next('opaque'), {
    metadata: network('all', port),
    protocol: { opaque: { routes: [allowed.tcp] } },
  });
  assert.equal((await profile.next('the profile'))['opaque_protocol'], true, 'both say the same');

  await egress(shop, 'all', { trafficPolicy: 'Deny', networks: [{ cidr: '0.0.0.0/0' }] });
  assert.deepEqual(await stream.next('it holds the cluster'), fallback(ip, port));
  await egress(shop, 'all', {
    trafficPolicy: 'Deny',
    networks: [{ cidr: '203.0.113.0/24', except: ['203.0.113.1/32'] }],
  });
  const other = watch('203.0.113.2', port);
  assert.equal(((await other.next('its neighbour'))['metadata'] as { resource: Message }).resource['name'], 'all');
  assert.deepEqual(stream.unread, [], 'it is left out');
  await shop.delete(`egressnetworks.${POLICY}`, 'all');
  assert.deepEqual(await other.next('no network'), fallback('203.0.113.2', port));
});

test('the networks of the own namespace come before global ones, and the most specific one decides', async () => {
  const global = await world.namespace('linkerd-egress');
  const other = await world.namespace('other');
  const decides = async (namespace: string): Promise<unknown> => {
    const policy = await watch('198.51.100.9', 80, namespace).next(namespace);
    const { resource } = policy['metadata'] as { resource?: Message };
    return resource && `${String(resource['namespace'])}/${String(resource['name'])}`;
  };
  await egress(global, 'everybody', { trafficPolicy: 'Allow' });
  assert.deepEqual(
    [await decides('shop'), await decides('other')],
    ['linkerd-egress/everybody', 'linkerd-egress/everybody'],
  );
  await egress(other, 'elsewhere', { trafficPolicy: 'Allow', networks: [{ cidr: '192.0.2.0/24' }] });
  assert.deepEqual([await decides('shop'), await decides('other')], ['linkerd-egress/everybody', undefined]);
  await egress(shop, 'wide', { trafficPolicy: 'Allow', networks: [{ cidr: '198.51.0.0/16' }] });
  await egress(shop, 'narrow', { trafficPolicy: 'Allow', networks: [{ cidr: '198.51.100.0/24' }] });
  assert.equal(await decides('shop'), 'shop/narrow');
  for (const [namespace, name] of [
    [global, 'everybody'],
    [other, 'elsewhere'],
    [shop, 'wide'],
    [shop, 'narrow'],
  ] as const)
    await namespace.delete(`egressnetworks.${POLICY}`, name);
});

test('routes of an EgressNetwork stand before what it says', async () => {
  const [ip, port] = ['203.0.113.40', 443];
  await egress(shop, 'routed', { trafficPolicy: 'Deny' });
  const stream = watch(ip, port);
  const backend = forward(network('routed', port), ip, port);
  const denied = builtIn(backend, `EgressNetwork shop/routed denies ${ip}:${port}: ${REMEDY}`);
  assert.deepEqual(await stream.next('denied'), detected(network('routed', port), [denied.http], denied.tcp));
  const parentRefs = [{ group: POLICY, kind: 'EgressNetwork', name: 'routed', port }];
  const backendRefs = [{ group: POLICY, kind: 'EgressNetwork', name: 'routed' }];
  await shop.put(`tlsroutes.${GATEWAY}`, {
    apiVersion: `${GATEWAY}/v1`,
    kind: 'TLSRoute',
    metadata: { name: 'partners' },
    spec: { parentRefs, hostnames: ['api.partner.example', '*.cdn.example'], rules: [{ backendRefs }] },
  });
  const route = {
    metadata: reference(GATEWAY, 'TLSRoute', 'partners'),
    snis: [{ exact: 'api.partner.example' }, { suffix: { reverse_labels: ['example', 'cdn'] } }],
    rules: [{ backends: { random_available: { backends: [{ backend: { backend }, weight: 1 }] } } }],
  };
  assert.deepEqual(await stream.next('by server name'), {
    metadata: network('routed', port),
    protocol: { tls: { routes: [route, denied.tls] } },
  });
  await shop.put(`httproutes.${GATEWAY}`, {
    apiVersion: `${GATEWAY}/v1`,
    kind: 'HTTPRoute',
    metadata: { name: 'read' },
    spec: { parentRefs, rules: [{ matches: [{ method: 'GET' }] }] },
  });
  const { protocol } = await stream.next('HTTPRoutes come first');
  const { detect } = protocol as { detect: { http1: { routes: readonly Message[] } } };
  const [read, last, ...more] = detect.http1.routes;
  assert.deepEqual(read?.['metadata'], reference(GATEWAY, 'HTTPRoute', 'read'));
  assert.deepEqual((read['rules'] as readonly Message[])[0]?.['backends'], first(backend));
  assert.deepEqual([last, more], [denied.http, []]);
  await shop.delete(`httproutes.${GATEWAY}`, 'read');
  await stream.next('TLSRoutes again');
  await shop.delete(`tlsroutes.${GATEWAY}`, 'partners');
  assert.deepEqual(await stream.next('none'), detected(network('routed', port), [denied.http], denied.tcp));
  await shop.delete(`egressnetworks.${POLICY}`, 'routed');
});

test('TLSRoutes and TCPRoutes of a Service share its connections', async () => {
  await shop.service('db', { clusterIP: '10.96.120.1', ports: [{ port: 80 }] });
  await shop.service('db-new', { clusterIP: '10.96.120.2', ports: [{ port: 80 }] });
  const stream = watch('10.96.120.1', 80);
  const plain = await stream.next('no route');
  const route = (plural: string, kind: string, spec: Message) =>
    shop.put(`${plural}.${GATEWAY}`, {
      apiVersion: `${GATEWAY}/v1`,
      kind,
      metadata: { name: 'db' },
      spec: { parentRefs: [{ group: '', kind: 'Service', name: 'db', port: 80 }], ...spec },
    });
  const backendRefs = [
    { name: 'db', port: 80, weight: 3 },
    { name: 'db-new', port: 80, weight: 1 },
  ];
  const shares = {
    backends: {
      random_available: {
        backends: [
          { backend: { backend: balancer('db') }, weight: 3 },
          { backend: { backend: balancer('db-new') }, weight: 1 },
        ],
      },
    },
  };
  const metadata = reference('core', 'Service', 'db', 80);
  await route('tcproutes', 'TCPRoute', { rules: [{ backendRefs }] });
  const tcp = { metadata: reference(GATEWAY, 'TCPRoute', 'db'), rules: [shares] };
  assert.deepEqual(await stream.next('a TCPRoute'), { metadata, protocol: { opaque: { routes: [tcp] } } });
  await route('tlsroutes', 'TLSRoute', { hostnames: ['db.example'], rules: [{ backendRefs }] });
  const tls = { metadata: reference(GATEWAY, 'TLSRoute', 'db'), snis: [{ exact: 'db.example' }], rules: [shares] };
  assert.deepEqual(await stream.next('a TLSRoute'), { metadata, protocol: { tls: { routes: [tls] } } });
  await shop.delete(`tlsroutes.${GATEWAY}`, 'db');
  assert.deepEqual(await stream.next('the TCPRoute again'), { metadata, protocol: { opaque: { routes: [tcp] } } });
  await shop.delete(`tcproutes.${GATEWAY}`, 'db');
  assert.deepEqual(await stream.next('no route'), plain);
});
