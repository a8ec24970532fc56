// Destination.GetProfile, as a foreign proxy sees it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tcpAddress } from './endpoint-set.ts';
import { contextToken, startWorld, type Namespace, type World } from './testing.ts';
import type { Message } from './wire.ts';

const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';
const BUDGET = { retry_ratio: Math.fround(0.2), min_retries_per_second: 10, ttl: { seconds: 10n } };
const KEEP_ALIVE = { keep_alive: { interval: { seconds: 10n }, timeout: { seconds: 3n }, while_idle: true } };
const WEB = { name: 'web.shop.serviceaccount.identity.tulle.cluster.local' };

let world: World;
let shop: Namespace;
before(async () => {
  world = await startWorld();
  shop = await world.namespace('shop');
  await world.node('node-1', 'zone-a');
  await world.define('linkerd.io');
  await world.define('split.smi-spec.io');
  await world.define('policy.linkerd.io');
});
after(() => world[Symbol.asyncDispose]());

function profile(path: string, token = contextToken('shop', 'node-1')) {
  return world.destination.open('getProfile', { path, context_token: token });
}

function serviceProfile(name: string, port: number, more: Message = {}): Message {
  const parent = { group: 'core', kind: 'Service', name, namespace: 'shop', port };
  return { retry_budget: BUDGET, fully_qualified_name: shop.host(name), parent_ref: { resource: parent }, ...more };
}

function meshed(pod: string, address: string, port: number, more: Message = {}): Message {
  return {
    addr: tcpAddress(address, port),
    weight: 10_000,
    metric_labels: {
      pod,
      namespace: 'shop',
      serviceaccount: 'web',
      control_plane_ns: 'tulle',
      zone: 'zone-a',
      zone_locality: 'local',
    },
    tls_identity: { dns_like_identity: WEB, server_name: WEB },
    protocol_hint: { h2: {}, opaque_transport: { inbound_port: 4143 } },
    http2: KEEP_ALIVE,
    ...more,
  };
}

test('the address and the name of a Service lead to it: made, annotated, its port taken away, deleted', async () => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'sql', port: 3306 },
  ];
  const clusterIP = '10.96.1.1';
  const early = profile(`${clusterIP}:80`);
  assert.deepEqual(await early.next('an address of nobody'), {
    retry_budget: BUDGET,
    endpoint: { addr: tcpAddress(clusterIP, 80), weight: 10_000 },
  });
  await shop.service('web', { clusterIP, ports });
  assert.deepEqual(await early.next('the Service'), serviceProfile('web', 80));

  const named = profile(`${shop.host('web')}:80`);
  assert.deepEqual(await named.next('by name'), serviceProfile('web', 80));
  const defaultPort = profile(shop.host('web'));
  assert.deepEqual(await defaultPort.next('by name without a port'), serviceProfile('web', 80));
  const sql = profile(`${clusterIP}:3306`);
  assert.deepEqual(await sql.next('opaque by default'), serviceProfile('web', 3306, { opaque_protocol: true }));
  const undeclared = profile(`${clusterIP}:81`);
  assert.deepEqual(await undeclared.next('an undeclared port'), {}, 'an empty profile');

  await shop.service('web', { clusterIP, ports }, { [OPAQUE_PORTS]: 'http' });
  for (const stream of [early, named])
    assert.deepEqual(await stream.next('annotated'), serviceProfile('web', 80, { opaque_protocol: true }));
  assert.deepEqual(await sql.next('the annotation replaces the default'), serviceProfile('web', 3306));

  await shop.service('web', { clusterIP, ports: [ports[1]] });
  assert.deepEqual(await early.next('the port is gone'), {});
  await shop.service('web', { clusterIP, ports });
  assert.deepEqual(await early.next('the port is back'), serviceProfile('web', 80));
  assert.deepEqual(undeclared.unread, []);

  await shop.deleteService('web');
  assert.deepEqual((await early.next('the address of nobody'))['endpoint'], {
    addr: tcpAddress(clusterIP, 80),
    weight: 10_000,
  });
  const end = 'NOT_FOUND'; // a proxy asks again after that
  assert.deepEqual(await named.toEnd(), { last: serviceProfile('web', 80), end });
});

test('NodePort, LoadBalancer and headless Services are known by name, and an ExternalName has no port', async () => {
  for (const [name, spec] of Object.entries({
    node: { type: 'NodePort' },
    balanced: { type: 'LoadBalancer' },
    headless: { clusterIP: 'None' },
  })) {
    await shop.service(name, { ...spec, ports: [{ port: 80 }] });
    assert.deepEqual(await profile(`${shop.host(name)}:80`).next(name), serviceProfile(name, 80));
  }
  await shop.service('outside', { type: 'ExternalName', externalName: 'example.com' });
  assert.deepEqual(await profile(`${shop.host('outside')}:80`).next('ExternalName'), {});
});

test('a node port and the address of a load balancer are addresses like any other: the node sends on from there', async () => {
  await shop.service('front', { type: 'LoadBalancer', ports: [{ port: 80 }], externalIPs: ['198.51.100.7'] });
  const { client } = world.cluster.server;
  const status = { loadBalancer: { ingress: [{ ip: '198.51.100.8' }] } };
  await client.patch('services', 'shop', 'front', 'merge', { status }, 'status');
  const { ports } = client.get('services', 'shop', 'front')!['spec'] as { ports: { nodePort: number }[] };
  for (const [ip, port] of [
    ['192.168.0.1', ports[0]!.nodePort],
    ['198.51.100.7', 80],
    ['198.51.100.8', 80],
  ] as const)
    assert.deepEqual(await profile(`${ip}:${port}`).next(ip), {
      retry_budget: BUDGET,
      endpoint: { addr: tcpAddress(ip, port), weight: 10_000 },
    });
});

test('a Service is known by both of its addresses', async () => {
  await shop.service('both', {
    ports: [{ port: 80 }],
    clusterIP: '10.96.150.2',
    clusterIPs: ['10.96.150.2', 'fd00:96::2'],
    ipFamilies: ['IPv4', 'IPv6'],
    ipFamilyPolicy: 'PreferDualStack',
  });
  const stored = world.cluster.server.client.get('services', 'shop', 'both')!['spec'] as { clusterIPs: string[] };
  assert.deepEqual(stored.clusterIPs, ['10.96.150.2', 'fd00:96::2']);
  for (const path of ['10.96.150.2:80', '[fd00:96::2]:80', '[FD00:0096:0:0::2]:80', '[::ffff:10.96.150.2]:80'])
    assert.deepEqual(await profile(path).next(path), serviceProfile('both', 80), path);
});

test('the address of a pod leads to it: started, made opaque, skipped, finished', async () => {
  const stream = profile('10.42.1.1:8080');
  const unknown = { retry_budget: BUDGET, endpoint: { addr: tcpAddress('10.42.1.1', 8080), weight: 10_000 } };
  assert.deepEqual(await stream.next('nobody'), unknown);
  await shop.pod('web-1', ['10.42.1.1', 'fd00:42::1']);
  const known = { retry_budget: BUDGET, endpoint: meshed('web-1', '10.42.1.1', 8080) };
  assert.deepEqual(await stream.next('the pod'), known);

  const annotate = (annotations: Message) => shop.patch('pods', 'web-1', { metadata: { annotations } });
  await annotate({ [OPAQUE_PORTS]: '8000-8999' });
  const hint = { opaque: {}, opaque_transport: { inbound_port: 4143 } };
  assert.deepEqual(await stream.next('opaque'), {
    ...known,
    opaque_protocol: true,
    endpoint: meshed('web-1', '10.42.1.1', 8080, { protocol_hint: hint }),
  });
  await annotate({ [OPAQUE_PORTS]: null, 'config.linkerd.io/skip-inbound-ports': '8080' });
  const skipped = meshed('web-1', '10.42.1.1', 8080);
  assert.deepEqual(await stream.next('skipped'), {
    retry_budget: BUDGET,
    endpoint: { addr: skipped['addr'], weight: 10_000, metric_labels: skipped['metric_labels'] },
  });
  await annotate({ 'config.linkerd.io/skip-inbound-ports': null });
  assert.deepEqual(await stream.next('as before'), known);

  const six = (await profile('[fd00:42::1]:8080').next('by its other address'))['endpoint'] as Message;
  const ipv6 = { first: 0xfd00_0042_0000_0000n, last: 1n };
  assert.deepEqual(six, meshed('web-1', '10.42.1.1', 8080, { addr: { ip: { ipv6 }, port: 8080 } }));
  const admin = (await profile('10.42.1.1:4191').next('a port of its proxy'))['endpoint'] as Message;
  assert.deepEqual(admin['protocol_hint'], { h2: {} }, 'nothing is carried to it inside of another connection');

  const { client } = world.cluster.server;
  await client.patch('pods', 'shop', 'web-1', 'merge', { status: { phase: 'Succeeded' } }, 'status');
  assert.deepEqual(await stream.next('finished'), unknown, 'its address is no longer its own');
});

test('a pod without a proxy, one in the network of its node, and what is no pod', async () => {
  await shop.pod('plain', ['10.42.2.1'], { metadata: { labels: {} } });
  await shop.pod('host', ['192.168.0.1'], { spec: { hostNetwork: true } });
  const plain = (await profile('10.42.2.1:80').next('no proxy'))['endpoint'] as Message;
  assert.deepEqual(plain, {
    addr: tcpAddress('10.42.2.1', 80),
    weight: 10_000,
    metric_labels: {
      pod: 'plain',
      namespace: 'shop',
      serviceaccount: 'web',
      zone: 'zone-a',
      zone_locality: 'local',
    },
  });
  for (const [address, port, isOpaque] of [
    ['192.168.0.1', 9100, false],
    ['203.0.113.7', 443, false],
    ['203.0.113.7', 25, true],
  ] as const)
    assert.deepEqual(await profile(`${address}:${port}`).next(address), {
      retry_budget: BUDGET,
      ...(isOpaque && { opaque_protocol: true }),
      endpoint: { addr: tcpAddress(address, port), weight: 10_000 },
    });
});

test('a host port leads to the pod behind it, one of UDP or of another address does not', async () => {
  const ports = [
    { containerPort: 8080, hostPort: 30_080 },
    { containerPort: 53, hostPort: 30_053, protocol: 'UDP' },
    { containerPort: 9090, hostPort: 30_090, hostIP: '127.0.0.1' },
  ];
  const containers = [{ name: 'web', image: 'web', ports }];
  const stream = profile('192.168.0.9:30080');
  await stream.next('nobody');
  await shop.pod('hosted', ['10.42.3.1'], { spec: { containers }, status: { hostIP: '192.168.0.9' } });
  assert.deepEqual((await stream.next('the pod'))['endpoint'], meshed('hosted', '10.42.3.1', 8080));
  for (const port of [30_053, 30_090, 8080])
    assert.deepEqual((await profile(`192.168.0.9:${port}`).next('nobody'))['endpoint'], {
      addr: tcpAddress('192.168.0.9', port),
      weight: 10_000,
    });
  await shop.deletePod('hosted');
  assert.deepEqual((await stream.next('nobody again'))['endpoint'], {
    addr: tcpAddress('192.168.0.9', 30_080),
    weight: 10_000,
  });
});

test('the name of an instance leads to it, by the host name in the slices', async () => {
  await shop.service('db', { clusterIP: 'None', ports: [{ port: 5432 }] });
  const path = `primary.${shop.host('db')}:5432`;
  assert.equal(await profile(path).end(), 'NOT_FOUND');
  await shop.pod('db-7', ['10.42.4.1']);
  await shop.pod('primary', ['10.42.4.9']);
  const slice = (...endpoints: Message[]) => shop.slice('db-x', 'db', [{ port: 5432 }], endpoints);
  const instance = (pod: string, address: string) => shop.podEndpoint(pod, address, { hostname: 'primary' });
  // A pod that has only the name is no instance.
  await slice(shop.podEndpoint('primary', '10.42.4.9'), instance('db-7', '10.42.4.1'));
  const stream = profile(path);
  const opaque = { opaque: {}, opaque_transport: { inbound_port: 4143 } };
  const expected = (pod: string, address: string): Message => ({
    retry_budget: BUDGET,
    opaque_protocol: true,
    endpoint: meshed(pod, address, 5432, { protocol_hint: opaque }),
  });
  assert.deepEqual(
    await stream.until('the instance', ({ endpoint }) => endpoint !== undefined),
    expected('db-7', '10.42.4.1'),
  );
  await shop.pod('db-8', ['10.42.4.2']);
  await slice(instance('db-8', '10.42.4.2'));
  assert.deepEqual(
    await stream.until(
      'another pod',
      ({ endpoint }) => ((endpoint as Message)['metric_labels'] as Message)['pod'] === 'db-8',
    ),
    expected('db-8', '10.42.4.2'),
  );
  await slice();
  assert.equal(await stream.end(), 'NOT_FOUND');
});

test('a Server that declares raw bytes makes the port opaque for those who send there', async () => {
  await shop.pod('raw', ['10.42.5.1'], {
    metadata: { labels: { app: 'raw', 'linkerd.io/control-plane-ns': 'tulle' } },
  });
  const stream = profile('10.42.5.1:9000');
  assert.equal((await stream.next('the pod'))['opaque_protocol'], undefined);
  const server = (name: string, proxyProtocol: string) =>
    shop.put('servers.policy.linkerd.io', {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'Server',
      metadata: { name },
      spec: { podSelector: { matchLabels: { app: 'raw' } }, port: 9000, proxyProtocol },
    });
  await server('raw', 'opaque');
  const opaque = await stream.next('the Server');
  assert.equal(opaque['opaque_protocol'], true);
  const hint = (opaque['endpoint'] as Message)['protocol_hint'];
  assert.deepEqual(hint, { opaque: {}, opaque_transport: { inbound_port: 4143 } });

  await shop.service('raw', { ports: [{ port: 9000 }] });
  await shop.slice('raw-x', 'raw', [{ port: 9000 }], [shop.podEndpoint('raw', '10.42.5.1')]);
  const endpoints = world.destination.open('get', { path: `${shop.host('raw')}:9000` });
  const hintOf = (update: Message): unknown => ((update['add'] as Message)['addrs'] as Message[])[0]!['protocol_hint'];
  const added = await endpoints.until('the endpoint', ({ add }) => add !== undefined);
  assert.deepEqual(hintOf(added), hint, 'as an endpoint of a Service too');

  await server('raw', 'HTTP/1');
  assert.equal((await stream.next('HTTP'))['opaque_protocol'], undefined);
  assert.deepEqual(hintOf(await endpoints.next('HTTP')), { h2: {}, opaque_transport: { inbound_port: 4143 } });
  await server('raw', 'opaque');
  assert.equal((await stream.next('opaque again'))['opaque_protocol'], true);
  await shop.delete('servers.policy.linkerd.io', 'raw');
  assert.equal((await stream.next('no Server'))['opaque_protocol'], undefined);
});

test('a ServiceProfile adds routes and a budget; the one in the namespace of the client wins', async () => {
  await shop.service('books', { clusterIP: '10.96.1.9', ports: [{ port: 80 }] });
  const other = await world.namespace('other');
  const ours = profile('10.96.1.9:80');
  const theirs = profile('10.96.1.9:80', contextToken('other'));
  for (const stream of [ours, theirs]) assert.deepEqual(await stream.next('the Service'), serviceProfile('books', 80));
  const object = (spec: Message) => ({
    apiVersion: 'linkerd.io/v1alpha2',
    kind: 'ServiceProfile',
    metadata: { name: shop.host('books') },
    spec,
  });
  const route = { name: 'GET /books', condition: { method: 'GET', pathRegex: '/books/[^/]*' } };
  const spec = {
    routes: [
      {
        ...route,
        isRetryable: true,
        timeout: '250ms',
        responseClasses: [{ condition: { status: { min: 500, max: 599 } }, isFailure: true }],
      },
    ],
    retryBudget: { retryRatio: 0.5, minRetriesPerSecond: 3, ttl: '20s' },
    dstOverrides: [{ authority: `v2.${shop.name}.svc.cluster.local`, weight: '500m' }],
  };
  await shop.put('serviceprofiles.linkerd.io', object(spec));
  const reference = (namespace: string) => ({
    resource: { group: 'linkerd.io', kind: 'ServiceProfile', name: shop.host('books'), namespace },
  });
  for (const stream of [ours, theirs]) {
    assert.deepEqual(await stream.next('the ServiceProfile'), {
      ...serviceProfile('books', 80),
      routes: [
        {
          condition: { all: { matches: [{ path: { regex: '/books/[^/]*' } }, { method: { registered: 0 } }] } },
          response_classes: [{ condition: { status: { min: 500, max: 599 } }, is_failure: true }],
          metrics_labels: { route: 'GET /books' },
          is_retryable: true,
          timeout: { nanos: 250_000_000 },
        },
      ],
      retry_budget: { retry_ratio: 0.5, min_retries_per_second: 3, ttl: { seconds: 20n } },
      dst_overrides: [{ authority: 'v2.shop.svc.cluster.local:80', weight: 5000 }],
      profile_ref: reference('shop'),
    });
  }
  await other.put('serviceprofiles.linkerd.io', object({ routes: [route] }));
  assert.deepEqual((await theirs.next('their own'))['profile_ref'], reference('other'));
  assert.deepEqual(ours.unread, []);
  await other.delete('serviceprofiles.linkerd.io', shop.host('books'));
  assert.deepEqual((await theirs.next('ours again'))['profile_ref'], reference('shop'));
  await shop.delete('serviceprofiles.linkerd.io', shop.host('books'));
  for (const stream of [ours, theirs]) assert.deepEqual(await stream.next('none'), serviceProfile('books', 80));
});

test('a TrafficSplit sends to other Services by weight', async () => {
  await shop.service('whole', { ports: [{ port: 80 }] });
  const stream = profile(`${shop.host('whole')}:80`);
  assert.deepEqual(await stream.next('the Service'), serviceProfile('whole', 80));
  await shop.put('trafficsplits.split.smi-spec.io', {
    apiVersion: 'split.smi-spec.io/v1alpha4',
    kind: 'TrafficSplit',
    metadata: { name: 'canary' },
    spec: {
      service: 'whole',
      backends: [
        { service: 'stable', weight: 9 },
        { service: 'canary', weight: 1 },
      ],
    },
  });
  const target = (name: string, weight: number): Message => ({
    authority: `${shop.host(name)}:80`,
    weight,
    backend_ref: { resource: { group: 'core', kind: 'Service', name, namespace: 'shop', port: 80 } },
  });
  const split = await stream.next('the split');
  assert.deepEqual(split['dst_overrides'], [target('stable', 90_000), target('canary', 10_000)]);
  assert.deepEqual(
    { ...split, dst_overrides: undefined, profile_ref: undefined },
    {
      ...serviceProfile('whole', 80),
      dst_overrides: undefined,
      profile_ref: undefined,
    },
  );
  await shop.delete('trafficsplits.split.smi-spec.io', 'canary');
  assert.deepEqual(await stream.next('no split'), serviceProfile('whole', 80));
});

test('an address that two Services have ends with FailedPrecondition, until one of them is gone', async () => {
  const twin = (name: string, clusterIP: string) =>
    shop.service(name, { clusterIP, clusterIPs: [clusterIP, 'fd00:96::9'], ports: [{ port: 80 }] });
  await twin('one', '10.96.151.1');
  const stream = profile('[fd00:96::9]:80');
  assert.deepEqual(await stream.next('the first'), serviceProfile('one', 80));
  await twin('two', '10.96.151.2');
  assert.equal(await stream.end(), 'FAILED_PRECONDITION');
  await shop.deleteService('one');
  const again = await world.destination.open('getProfile', { path: '[fd00:96::9]:80' }).next('the second');
  assert.deepEqual(again, serviceProfile('two', 80));
});

test('names of nobody, and what is neither an address nor a name', async () => {
  assert.equal(await profile(`${shop.host('nobody')}:80`).end(), 'NOT_FOUND');
  for (const path of [
    'example.com:80',
    'web.shop.svc.other.domain:80',
    'shop.svc.cluster.local:80',
    '10.0.0.1:0',
    '10.0.0.1:x',
    '',
  ])
    assert.equal(await profile(path).end(), 'INVALID_ARGUMENT', path);
});
