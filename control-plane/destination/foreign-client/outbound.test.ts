// OutboundPolicies, as a foreign proxy sees them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tcpAddress } from './endpoint-set.ts';
import { startWorld, type Namespace, type World } from './testing.ts';
import type { Message } from './wire.ts';

const GATEWAY = 'gateway.networking.k8s.io';
const TEN_SECONDS = { seconds: 10n };

let world: World;
let shop: Namespace;
before(async () => {
  world = await startWorld();
  shop = await world.namespace('shop');
  await world.define(GATEWAY);
});
after(() => world[Symbol.asyncDispose]());

const SOURCE = '{"ns":"shop","pod":"client"}\n';

function watch(target: Message, source_workload = SOURCE) {
  return world.policy.open('watchPolicy', { source_workload, ...target });
}

const address = (ip: string, port: number): Message => ({ addr: tcpAddress(ip, port) });

function service(name: string, port: number): Message {
  return { resource: { group: 'core', kind: 'Service', name, namespace: 'shop', port } };
}

function backend(name: string, port: number): Message {
  return {
    metadata: service(name, port),
    queue: { capacity: 100, failfast_timeout: { seconds: 3n } },
    balancer: {
      discovery: { dst: { path: `${shop.host(name)}:${port}` } },
      peak_ewma: { default_rtt: { nanos: 30_000_000 }, decay: TEN_SECONDS },
    },
  };
}

const first = (target: Message): Message => ({ first_available: { backends: [{ backend: target }] } });

function opaque(target: Message): Message {
  return { routes: [{ metadata: { default: 'opaq' }, rules: [{ backends: first(target) }] }] };
}

function defaultRoutes(target: Message, more: Message = {}): Message {
  const rule = { matches: [{ path: { prefix: '/' } }], backends: first(target), timeouts: {}, ...more };
  return { routes: [{ metadata: { default: 'http' }, rules: [rule] }] };
}

function detected(name: string, port: number, more: Message = {}): Message {
  const http = defaultRoutes(backend(name, port), more);
  return {
    metadata: service(name, port),
    protocol: { detect: { timeout: TEN_SECONDS, opaque: opaque(backend(name, port)), http1: http, http2: http } },
  };
}

const UNDEFINED = {
  opaque: {
    routes: [
      { metadata: { default: 'undefined-port' }, rules: [{ backends: { empty: {} }, filters: [{ forbidden: {} }] }] },
    ],
  },
};

test('the address and the name of a Service: made, annotated, of a declared protocol, without the port, deleted', async () => {
  const clusterIP = '10.96.100.1';
  const put = (port: Message, annotations: Message = {}) =>
    shop.service('web', { clusterIP, ports: [port] }, annotations);
  assert.equal(await watch(address(clusterIP, 80)).end(), 'NOT_FOUND', 'the profile counts');
  await put({ port: 80 });
  const stream = watch(address(clusterIP, 80));
  assert.deepEqual(await stream.next('the Service'), detected('web', 80));
  const named = watch({ authority: shop.host('web') });
  assert.deepEqual(await named.next('by name, port 80'), detected('web', 80));
  assert.deepEqual(
    await world.policy.ask('getPolicy', { source_workload: SOURCE, ...address(clusterIP, 80) }),
    detected('web', 80),
  );
  const undeclared = watch(address(clusterIP, 81));
  assert.deepEqual(await undeclared.next('an undeclared port'), { metadata: service('web', 81), protocol: UNDEFINED });

  const expected = async (what: string, protocol: Message): Promise<void> => {
    assert.deepEqual(await stream.next(what), { metadata: service('web', 80), protocol }, what);
  };
  const raw = opaque(backend('web', 80));
  const http = defaultRoutes(backend('web', 80));
  await put({ port: 80 }, { 'config.linkerd.io/opaque-ports': '80' });
  await expected('opaque', { opaque: raw });
  await put({ port: 80, appProtocol: 'http' });
  await expected('http', { http1: http });
  await put({ port: 80, appProtocol: 'kubernetes.io/h2c' });
  await expected('h2c', { http2: http });
  for (const appProtocol of ['linkerd.io/tcp', 'something.else']) {
    await put({ port: 80, appProtocol });
    if (appProtocol === 'linkerd.io/tcp') await expected(appProtocol, { opaque: raw });
  }
  await put({ port: 80 });
  assert.deepEqual(await stream.next('as before'), detected('web', 80));

  await put(
    { port: 80 },
    { 'timeout.linkerd.io/request': '2s', 'retry.linkerd.io/http': '5xx', 'retry.linkerd.io/limit': '2' },
  );
  assert.deepEqual(
    await stream.next('timeouts and retries'),
    detected('web', 80, {
      timeouts: { request: { seconds: 2n } },
      retry: {
        max_retries: 2,
        max_request_bytes: 65_536,
        conditions: { status_ranges: [{ start: 500, end: 599 }] },
        backoff: { min_backoff: { nanos: 25_000_000 }, max_backoff: { nanos: 250_000_000 }, jitter_ratio: 1 },
      },
    }),
  );
  await put({ port: 80 }, { 'balancer.linkerd.io/failure-accrual': 'consecutive' });
  const { protocol } = await stream.next('a breaker');
  const { detect } = protocol as { detect: { http1: Message; http2: Message } };
  for (const kind of [detect.http1, detect.http2])
    assert.deepEqual(kind['failure_accrual'], {
      consecutive_failures: {
        max_failures: 7,
        backoff: { min_backoff: { seconds: 1n }, max_backoff: { seconds: 60n }, jitter_ratio: 0.5 },
      },
    });

  await put({ port: 8080 });
  assert.deepEqual(await stream.next('the port is gone'), { metadata: service('web', 80), protocol: UNDEFINED });
  await shop.deleteService('web');
  assert.equal(await stream.end(), 'NOT_FOUND');
  const end = 'NOT_FOUND';
  assert.deepEqual(await named.toEnd(), { last: { metadata: service('web', 80), protocol: UNDEFINED }, end });
});

test('a port that is opaque by default, and Services of every type', async () => {
  for (const [name, spec] of Object.entries({
    plain: {},
    node: { type: 'NodePort' },
    balanced: { type: 'LoadBalancer' },
    headless: { clusterIP: 'None' },
  })) {
    await shop.service(name, {
      ...spec,
      ports: [
        { name: 'http', port: 80, targetPort: 'http' },
        { name: 'sql', port: 5432 },
      ],
    });
    assert.deepEqual(await watch({ authority: `${shop.host(name)}:80` }).next(name), detected(name, 80));
    assert.deepEqual((await watch({ authority: `${shop.host(name)}:5432` }).next(name))['protocol'], {
      opaque: opaque(backend(name, 5432)),
    });
  }
  await shop.service('outside', { type: 'ExternalName', externalName: 'example.com' });
  assert.deepEqual((await watch({ authority: `${shop.host('outside')}:80` }).next('no port'))['protocol'], UNDEFINED);
});

test('a Service is known by both of its addresses', async () => {
  const clusterIP = '10.96.100.2';
  await shop.service('both', { clusterIP, clusterIPs: [clusterIP, 'fd00:96::100'], ports: [{ port: 80 }] });
  const ipv6 = { first: 0xfd00_0096_0000_0000n, last: 0x100n };
  for (const target of [address(clusterIP, 80), { addr: { ip: { ipv6 }, port: 80 } }])
    assert.deepEqual(await watch(target).next('the Service'), detected('both', 80));
  assert.equal(await watch({ addr: { ip: { ipv6: { ...ipv6, last: 0x101n } }, port: 80 } }).end(), 'NOT_FOUND');
});

test('pods and nodes have no policy, nor have instances and other names; addresses outside are passed on', async () => {
  await shop.pod('pod', ['10.42.1.1']);
  await shop.service('db', { clusterIP: 'None', ports: [{ port: 80 }] });
  for (const target of [
    address('10.42.1.1', 80),
    address('192.168.0.1', 80),
    { authority: `${shop.host('nobody')}:80` },
    { authority: `pod.${shop.host('db')}:80` },
    { authority: 'example.com:80' },
    { authority: '10.96.100.1:80' },
  ]) {
    assert.equal(await watch(target).end(), 'NOT_FOUND', JSON.stringify(target));
    assert.equal(await world.policy.ask('getPolicy', { source_workload: SOURCE, ...target }), 'NOT_FOUND');
  }
  for (const target of [
    { authority: 'web:0' },
    { authority: '' },
    address('10.0.0.1', 0),
    { addr: { port: 80 } },
    {},
  ]) {
    assert.equal(await watch(target).end(), 'INVALID_ARGUMENT', JSON.stringify(target));
    assert.equal(await world.policy.ask('getPolicy', { source_workload: SOURCE, ...target }), 'INVALID_ARGUMENT');
  }
  const outside = {
    metadata: { default: 'egress-fallback' },
    queue: { capacity: 100, failfast_timeout: { seconds: 3n } },
    forward: { addr: tcpAddress('203.0.113.1', 443), weight: 1 },
  };
  const http = defaultRoutes(outside);
  assert.deepEqual(await watch(address('203.0.113.1', 443)).next('outside'), {
    metadata: { default: 'egress-fallback' },
    protocol: { detect: { timeout: TEN_SECONDS, opaque: opaque(outside), http1: http, http2: http } },
  });
});

test('an HTTPRoute: added, changed, with a backend that is missing and then there, deleted', async () => {
  for (const [name, clusterIP] of [
    ['shop', '10.96.100.10'],
    ['v1', '10.96.100.11'],
  ])
    await shop.service(name!, { clusterIP, ports: [{ port: 80 }] });
  const stream = watch(address('10.96.100.10', 80));
  assert.deepEqual(await stream.next('no route'), detected('shop', 80));
  const resource = `httproutes.${GATEWAY}`;
  const put = (rules: readonly Message[], more: Message = {}) =>
    shop.put(resource, {
      apiVersion: `${GATEWAY}/v1`,
      kind: 'HTTPRoute',
      metadata: { name: 'split' },
      spec: { parentRefs: [{ group: '', kind: 'Service', name: 'shop', port: 80 }], rules, ...more },
    });
  const match = {
    path: { type: 'PathPrefix', value: '/buy' },
    method: 'POST',
    headers: [{ name: 'x-tier', value: 'gold' }],
    queryParams: [{ name: 'v', type: 'RegularExpression', value: '[12]' }],
  };
  const refs = [
    { name: 'v1', port: 80, weight: 9 },
    { name: 'v2', port: 80, weight: 1 },
  ];
  const header = {
    type: 'RequestHeaderModifier',
    requestHeaderModifier: { set: [{ name: 'x-a', value: '1' }], add: [{ name: 'x-b', value: '2' }], remove: ['x-c'] },
  };
  await put([{ matches: [match], filters: [header], backendRefs: refs, timeouts: { request: '3s' } }], {
    hostnames: ['shop.example', '*.shop.example'],
  });
  const rule = (second: Message): Message => ({
    matches: [
      {
        path: { prefix: '/buy' },
        method: { registered: 1 },
        headers: [{ name: 'x-tier', exact: Buffer.from('gold') }],
        query_params: [{ name: 'v', regex: '[12]' }],
      },
    ],
    filters: [
      {
        request_header_modifier: {
          add: { headers: [{ name: 'x-b', value: Buffer.from('2') }] },
          set: { headers: [{ name: 'x-a', value: Buffer.from('1') }] },
          remove: ['x-c'],
        },
      },
    ],
    backends: {
      random_available: {
        backends: [
          { backend: { backend: backend('v1', 80) }, weight: 9 },
          { backend: second, weight: 1 },
        ],
      },
    },
    timeouts: { request: { seconds: 3n } },
  });
  const routesOf = (policy: Message): readonly Message[] => {
    const { detect } = policy['protocol'] as { detect: { http1: Message; http2: Message; opaque: Message } };
    assert.deepEqual(detect.http1, detect.http2);
    assert.deepEqual(detect.opaque, opaque(backend('shop', 80)));
    return detect.http1['routes'] as readonly Message[];
  };
  const [route, ...more] = routesOf(await stream.next('the route'));
  assert.deepEqual(more, [], 'a Service with a route has no default route');
  assert.deepEqual(
    { metadata: route?.['metadata'], hosts: route?.['hosts'] },
    {
      metadata: { resource: { group: GATEWAY, kind: 'HTTPRoute', name: 'split', namespace: 'shop' } },
      hosts: [{ exact: 'shop.example' }, { suffix: { reverse_labels: ['example', 'shop'] } }],
    },
  );
  assert.ok(route);
  const [sent] = route['rules'] as readonly { readonly backends: { random_available: { backends: Message[] } } }[];
  const broken = sent?.backends.random_available.backends[1];
  const target = broken?.['backend'] as { backend: Message; filters: readonly Message[] };
  assert.equal('balancer' in target.backend || 'forward' in target.backend, false, 'no kind: it cannot be sent to');
  const [injector] = target.filters as readonly { failure_injector?: { status: number; message: string } }[];
  assert.equal(injector?.failure_injector?.status, 500);
  assert.match(injector.failure_injector.message, /v2/);

  await shop.service('v2', { clusterIP: '10.96.100.12', ports: [{ port: 80 }] });
  assert.deepEqual(routesOf(await stream.next('the backend'))[0]?.['rules'], [rule({ backend: backend('v2', 80) })]);

  await put([{ backendRefs: [refs[0]!] }]);
  assert.deepEqual(routesOf(await stream.next('simpler')), [
    {
      metadata: { resource: { group: GATEWAY, kind: 'HTTPRoute', name: 'split', namespace: 'shop' } },
      rules: [
        {
          matches: [{ path: { prefix: '/' } }],
          backends: { random_available: { backends: [{ backend: { backend: backend('v1', 80) }, weight: 9 }] } },
          timeouts: {},
        },
      ],
    },
  ]);
  await shop.delete(resource, 'split');
  assert.deepEqual(await stream.next('no route again'), detected('shop', 80));
});

test('a GRPCRoute makes the port speak gRPC; other kinds of routes wait', async () => {
  await shop.service('calls', { clusterIP: '10.96.100.20', ports: [{ port: 80 }] });
  const stream = watch(address('10.96.100.20', 80));
  await stream.next('no route');
  await shop.put(`grpcroutes.${GATEWAY}`, {
    apiVersion: `${GATEWAY}/v1`,
    kind: 'GRPCRoute',
    metadata: { name: 'calls', annotations: { 'retry.linkerd.io/grpc': 'unavailable,internal' } },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'calls', port: 80 }],
      rules: [{ matches: [{ method: { service: 'shop.Cart', method: 'Get' } }] }],
    },
  });
  assert.deepEqual(await stream.next('the route'), {
    metadata: service('calls', 80),
    protocol: {
      grpc: {
        routes: [
          {
            metadata: { resource: { group: GATEWAY, kind: 'GRPCRoute', name: 'calls', namespace: 'shop' } },
            rules: [
              {
                matches: [{ rpc: { service: 'shop.Cart', method: 'Get' } }],
                backends: first(backend('calls', 80)),
                timeouts: {},
                retry: {
                  max_retries: 1,
                  max_request_bytes: 65_536,
                  conditions: { internal: true, unavailable: true },
                  backoff: { min_backoff: { nanos: 25_000_000 }, max_backoff: { nanos: 250_000_000 }, jitter_ratio: 1 },
                },
              },
            ],
          },
        ],
      },
    },
  });
  await shop.delete(`grpcroutes.${GATEWAY}`, 'calls');
  assert.deepEqual(await stream.next('no route'), detected('calls', 80));
});
