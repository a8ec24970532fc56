// External workloads, as a foreign proxy sees them: as endpoints of Services, by their addresses, and as the one that asks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { eventually } from '#k8s/testing.ts';
import { EndpointSet, tcpAddress } from './endpoint-set.ts';
import { contextToken, startWorld, type Namespace, type World } from './testing.ts';

const IDENTITY = 'spiffe://root.example/vm-1';
const SERVER_NAME = 'vm-1.example';
const KEEP_ALIVE = { keep_alive: { interval: { seconds: 10n }, timeout: { seconds: 3n }, while_idle: true } };

let world: World;
let shop: Namespace;
before(async () => {
  world = await startWorld();
  shop = await world.namespace('shop');
  await world.node('node-1', 'zone-a');
  await world.define('workload.linkerd.io');
  await world.define('policy.linkerd.io');
});
after(() => world[Symbol.asyncDispose]());

/** @param status  of the condition Ready; absent: nobody has said anything yet */
async function workload(
  name: string,
  ips: readonly string[],
  status?: 'True' | 'False',
  spec: object = {},
  labels = {},
) {
  const resource = 'externalworkloads.workload.linkerd.io';
  await shop.put(resource, {
    apiVersion: 'workload.linkerd.io/v1beta1',
    kind: 'ExternalWorkload',
    metadata: { name, labels: { app: 'legacy', 'topology.kubernetes.io/zone': 'zone-b', ...labels } },
    spec: {
      meshTLS: { identity: IDENTITY, serverName: SERVER_NAME },
      workloadIPs: ips.map((ip) => ({ ip })),
      ports: [
        { name: 'http', port: 8080 },
        { name: 'admin', port: 9990 },
      ],
      ...spec,
    },
  });
  if (status === undefined) return;
  const { client } = world.cluster.server;
  await client.patch(
    resource,
    'shop',
    name,
    'merge',
    { status: { conditions: [{ type: 'Ready', status }] } },
    'status',
  );
}

function get(path: string) {
  const stream = world.destination.open('get', { path, context_token: contextToken('shop', 'node-1') });
  return { stream, set: new EndpointSet(stream) };
}

test('a Service that selects external workloads has them as endpoints while they are ready', async () => {
  await shop.service('legacy', {
    selector: { app: 'legacy' },
    ports: [{ name: 'http', port: 80, targetPort: 'http' }],
  });
  const { stream, set } = get(`${shop.host('legacy')}:80`);
  assert.deepEqual(await set.next('the Service'), { no_endpoints: { exists: true } });
  await workload('vm-1', ['192.168.7.1']);
  const slices = () =>
    world.cluster.server.client
      .list('endpointslices.discovery.k8s.io', 'shop')
      .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'legacy');
  await eventually('the slice', () => slices().length === 1);
  assert.deepEqual(stream.unread, [], 'nobody has said that it is ready');

  await workload('vm-1', ['192.168.7.1'], 'True');
  assert.deepEqual(await set.next('the workload'), {
    add: {
      addrs: [
        {
          addr: tcpAddress('192.168.7.1', 8080),
          weight: 10_000,
          metric_labels: { external_workload: 'vm-1', zone: 'zone-b', zone_locality: 'remote' },
          tls_identity: { uri_like_identity: { uri: IDENTITY }, server_name: { name: SERVER_NAME } },
          protocol_hint: { h2: {}, opaque_transport: { inbound_port: 4143 } },
          http2: KEEP_ALIVE,
        },
      ],
      metric_labels: { namespace: 'shop', service: 'legacy' },
    },
  });
  const [slice] = slices();
  assert.equal(slice?.['addressType'], 'IPv4');
  assert.deepEqual(
    slice.metadata.ownerReferences?.map(({ kind, name }) => `${kind} ${name}`),
    ['Service legacy'],
  );
  const { uid } = world.cluster.server.client.get('externalworkloads.workload.linkerd.io', 'shop', 'vm-1')!.metadata;
  assert.deepEqual(slice['endpoints'], [
    {
      addresses: ['192.168.7.1'],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'ExternalWorkload', namespace: 'shop', name: 'vm-1', uid },
      zone: 'zone-b',
    },
  ]);

  await workload('vm-1', ['192.168.7.2'], 'True');
  await set.until('192.168.7.2:8080');
  await workload('vm-1', ['192.168.7.2'], 'True', {
    ports: [
      { name: 'http', port: 8088 },
      { name: 'linkerd-proxy', port: 14_143 },
    ],
  });
  await set.until('192.168.7.2:8088');
  assert.deepEqual(set.endpoint('192.168.7.2:8088')['protocol_hint'], {
    h2: {},
    opaque_transport: { inbound_port: 14_143 },
  });
  await workload('vm-1', ['192.168.7.2'], 'False');
  await set.until();
  await workload('vm-1', ['192.168.7.2'], 'True', { ports: [{ name: 'other', port: 8080 }] });
  await workload('vm-2', ['192.168.7.3'], 'True');
  await set.until('192.168.7.3:8080');
  await shop.delete('externalworkloads.workload.linkerd.io', 'vm-2');
  await set.until();
  await shop.delete('externalworkloads.workload.linkerd.io', 'vm-1');
  await eventually('slices without endpoints', () => slices().every(({ endpoints }) => (endpoints as []).length === 0));
});

test('a slice of ours that somebody changes or deletes is put right', async () => {
  await shop.service('kept', { selector: { app: 'kept' }, ports: [{ port: 80, targetPort: 8080 }] });
  await workload('kept-1', ['192.168.8.1'], 'True', {}, { app: 'kept' });
  const { set } = get(`${shop.host('kept')}:80`);
  await set.until('192.168.8.1:8080');
  const name = 'kept-external-ipv4-0';
  const slice = () => world.cluster.server.client.get('endpointslices.discovery.k8s.io', 'shop', name);
  const written = slice()!;
  const isPutRight = (): boolean =>
    isDeepStrictEqual(slice()?.['endpoints'], written['endpoints']) &&
    slice()?.metadata.resourceVersion !== written.metadata.resourceVersion;
  await shop.patch('endpointslices.discovery.k8s.io', name, { endpoints: [] });
  await eventually('the endpoints again', isPutRight);
  await shop.deleteSlice(name);
  await eventually('the slice again', () => isPutRight() && slice()?.metadata.uid !== written.metadata.uid);
  await get(`${shop.host('kept')}:80`).set.until('192.168.8.1:8080');
});

test('of a workload with addresses of two families IPv4 is answered; a Service of one family has that alone', async () => {
  await workload('dual', ['192.168.9.1', 'fd00:9::1'], 'True', {}, { app: 'dual' });
  const ports = [{ port: 80, targetPort: 8080 }];
  await shop.service('dual', { selector: { app: 'dual' }, ports, clusterIP: 'None' });
  const both = get(`${shop.host('dual')}:80`);
  await both.set.until('192.168.9.1:8080');
  const families = world.cluster.server.client
    .list('endpointslices.discovery.k8s.io', 'shop')
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'dual')
    .map(({ addressType }) => addressType);
  const expected = world.cluster.server.client.get('services', 'shop', 'dual')!['spec'] as { ipFamilies?: string[] };
  assert.deepEqual(new Set(families), new Set(expected.ipFamilies ?? ['IPv4', 'IPv6']));
  const instance = get(`dual.${shop.host('dual')}:80`);
  await instance.set.until('192.168.9.1:8080');
});

test('the address of an external workload leads to it', async () => {
  const stream = world.destination.open('getProfile', {
    path: '192.168.10.1:8080',
    context_token: contextToken('shop'),
  });
  const before = (await stream.next('an unknown address'))['endpoint'];
  assert.deepEqual(before, { addr: tcpAddress('192.168.10.1', 8080), weight: 10_000 });
  await workload('seen', ['192.168.10.1'], 'True', {}, { app: 'seen' });
  assert.deepEqual((await stream.next('the workload'))['endpoint'], {
    addr: tcpAddress('192.168.10.1', 8080),
    weight: 10_000,
    metric_labels: { external_workload: 'seen', namespace: 'shop', zone: 'zone-b', zone_locality: 'unknown' },
    tls_identity: { uri_like_identity: { uri: IDENTITY }, server_name: { name: SERVER_NAME } },
    protocol_hint: { h2: {}, opaque_transport: { inbound_port: 4143 } },
    http2: KEEP_ALIVE,
  });
  await shop.patch('externalworkloads.workload.linkerd.io', 'seen', {
    metadata: { annotations: { 'config.linkerd.io/opaque-ports': '8080' } },
  });
  const opaque = await stream.next('an opaque port');
  assert.equal(opaque['opaque_protocol'], true);
  assert.deepEqual((opaque['endpoint'] as Record<string, unknown>)['protocol_hint'], {
    opaque: {},
    opaque_transport: { inbound_port: 4143 },
  });
  await shop.delete('externalworkloads.workload.linkerd.io', 'seen');
  assert.deepEqual((await stream.next('the end'))['endpoint'], before);
});

test('an external workload asks for the policy of its own ports', async () => {
  const request = { workload: '{"ns":"shop","external_workload":"asking"}\n', port: 8080 };
  assert.equal(await world.policy.ask('getPort', request), 'NOT_FOUND');
  assert.equal(await world.policy.open('watchPort', request).end(), 'NOT_FOUND');
  await workload('asking', ['192.168.11.1'], 'True', {}, { app: 'asking' });
  // A pod of the same name is something else.
  await shop.pod('asking', ['10.42.11.1'], { metadata: { labels: { app: 'asking' } } });
  const stream = world.policy.open('watchPort', request);
  assert.deepEqual((await stream.next('the default'))['labels'], {
    group: '',
    kind: 'default',
    name: 'all-unauthenticated',
  });
  const server = (selector: string) => ({
    apiVersion: 'policy.linkerd.io/v1beta3',
    kind: 'Server',
    metadata: { name: 'legacy' },
    spec: { [selector]: { matchLabels: { app: 'asking' } }, port: 'http', proxyProtocol: 'HTTP/1' },
  });
  const resource = 'servers.policy.linkerd.io';
  await shop.put(resource, server('externalWorkloadSelector'));
  const selected = await stream.next('the Server');
  assert.deepEqual(selected['labels'], { group: 'policy.linkerd.io', kind: 'server', name: 'legacy' });
  assert.deepEqual(Object.keys(selected['protocol'] as object), ['http1']);
  assert.equal(selected['authorizations'], undefined);
  const ofPod = await world.policy.ask('getPort', { workload: '{"ns":"shop","pod":"asking"}', port: 8080 });
  assert.ok(typeof ofPod !== 'string');
  assert.equal((ofPod['labels'] as Record<string, string>)['kind'], 'default', 'it selects no pods');

  await shop.put(resource, server('podSelector'));
  assert.equal(((await stream.next('the default again'))['labels'] as Record<string, string>)['kind'], 'default');
  await shop.delete('externalworkloads.workload.linkerd.io', 'asking');
  assert.equal(await stream.end(), 'NOT_FOUND');
});
