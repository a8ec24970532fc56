import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointSubsets } from './endpoints.ts';
import { planSlices } from './slice-plan.ts';
import { portGroups, sliceEndpoint } from './service-endpoints.ts';
import { deployment, TestCluster } from '../testing/test-cluster.ts';
import type { EndpointSlice, Pod, Service } from '../resources.ts';

const SLICES = 'endpointslices.discovery.k8s.io';
const service: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: 'web',
    namespace: 'demo',
    uid: 's',
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http', appProtocol: 'http' }] },
};

function pod(
  name: string,
  facts: { ready?: boolean; deleted?: boolean; port?: number; ip?: string; phase?: string },
): Pod {
  const { ready = true, deleted = false, port = 8080, ip = '10.42.0.9', phase = 'Running' } = facts;
  const podIPs = ip === '' ? [] : [{ ip }];
  return {
    metadata: { name, namespace: 'demo', uid: name, ...(deleted ? { deletionTimestamp: '2026-01-01T00:01:00Z' } : {}) },
    spec: { nodeName: 'n', containers: [{ name: 'main', ports: [{ name: 'http', containerPort: port }] }] },
    status: { phase, podIPs, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  } as unknown as Pod;
}

test('readiness, serving and termination of an endpoint', () => {
  const cases: readonly (readonly [
    Pod,
    publishAll: boolean,
    ready: boolean,
    serving: boolean,
    terminating: boolean,
  ])[] = [
    [pod('a', {}), false, true, true, false],
    [pod('a', { ready: false }), false, false, false, false],
    [pod('a', { deleted: true }), false, false, true, true],
    [pod('a', { deleted: true, ready: false }), false, false, false, true],
    [pod('a', { ready: false }), true, true, false, false],
    [pod('a', { deleted: true, ready: false }), true, true, false, true],
  ];
  for (const [one, publishNotReadyAddresses, ready, serving, terminating] of cases) {
    const published = { ...service, spec: { ...service.spec, publishNotReadyAddresses } };
    const { conditions } = sliceEndpoint(published, one, 'IPv4', undefined);
    assert.deepEqual(conditions, { ready, serving, terminating });
  }
});

test('pods that ended, have no address or not the named port are no endpoints', () => {
  const pods = [
    pod('done', { phase: 'Succeeded' }),
    pod('failed', { phase: 'Failed' }),
    pod('waiting', { ip: '' }),
    { ...pod('portless', {}), spec: { containers: [{ name: 'main' }] } },
    pod('good', {}),
  ];
  const groups = portGroups(service, pods, 'IPv4', () => 'here');
  assert.equal(groups.length, 1);
  const expected = {
    addresses: ['10.42.0.9'],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: 'n',
    zone: 'here',
    targetRef: { kind: 'Pod', namespace: 'demo', name: 'good', uid: 'good' },
  };
  assert.deepEqual(groups[0]?.endpoints, [expected]);
  assert.deepEqual(groups[0]?.ports, [{ name: '', protocol: 'TCP', port: 8080, appProtocol: 'http' }]);
});

test('a named target port that differs between pods makes one group for each number', () => {
  const groups = portGroups(service, [pod('a', {}), pod('b', { port: 9090 }), pod('c', {})], 'IPv4', () => undefined);
  assert.deepEqual(
    groups.map(({ ports, endpoints }) => [ports[0]?.port, endpoints.length]),
    [
      [8080, 2],
      [9090, 1],
    ],
  );
});

test('a hostname is published only below the Service that the pod names as its subdomain', () => {
  const named = pod('a', {});
  const at = (subdomain: string): Pod => ({ ...named, spec: { ...named.spec, hostname: 'db-0', subdomain } });
  assert.equal(sliceEndpoint(service, at('web'), 'IPv4', undefined).hostname, 'db-0');
  assert.equal(sliceEndpoint(service, at('other'), 'IPv4', undefined).hostname, undefined);
});

test('slices hold a hundred endpoints each, and a removed one touches only its own slice', () => {
  const pods = Array.from({ length: 250 }, (_, i) => pod(`p${i}`, { ip: `10.42.1.${i}` }));
  const plan = planSlices(
    [],
    portGroups(service, pods, 'IPv4', () => undefined),
  );
  assert.deepEqual(
    plan.create.map(({ endpoints }) => endpoints.length),
    [100, 100, 50],
  );
  const slices = plan.create.map(
    (content, i) => ({ ...content, metadata: { name: `s${i}` } }) as unknown as EndpointSlice,
  );
  const rest = planSlices(
    slices,
    portGroups(service, pods.toSpliced(120, 1), 'IPv4', () => undefined),
  );
  assert.deepEqual(
    rest.update.map(({ slice }) => slice.metadata.name),
    ['s1'],
  );
  assert.deepEqual([rest.create.length, rest.delete.length, rest.keep.length], [0, 0, 2]);
  const few = planSlices(
    slices,
    portGroups(service, pods.slice(0, 10), 'IPv4', () => undefined),
  );
  assert.deepEqual(
    few.delete.map(({ metadata }) => metadata.name),
    ['s1', 's2'],
  );
  const none = planSlices(slices.slice(0, 1), []);
  assert.deepEqual(
    none.update.map(({ endpoints, ports }) => [endpoints.length, ports.length]),
    [[0, 0]],
  );
});

test('the old Endpoints object keeps ready and unready addresses apart and leaves terminating pods out', () => {
  const pods = [pod('a', {}), pod('b', { ready: false, ip: '10.42.0.8' }), pod('c', { deleted: true })];
  const { subsets } = endpointSubsets(service, pods);
  assert.equal(subsets.length, 1);
  assert.deepEqual(
    subsets[0]?.addresses?.map(({ ip }) => ip),
    ['10.42.0.9'],
  );
  assert.deepEqual(
    subsets[0]?.notReadyAddresses?.map(({ ip }) => ip),
    ['10.42.0.8'],
  );
  assert.deepEqual(subsets[0]?.ports, [{ port: 8080, protocol: 'TCP', appProtocol: 'http' }]);
});

test('slices follow the readiness and the end of the pods a Service selects', async () => {
  await using cluster = await TestCluster.start();
  const { metadata: _, spec } = service;
  await cluster.create('services', {
    metadata: { name: 'web', labels: { team: 'a' } },
    spec: { ...spec, clusterIP: 'None' },
  });
  await cluster.settle();
  const [placeholder] = cluster.list(SLICES);
  assert.deepEqual([placeholder?.endpoints, placeholder?.ports], [[], []]);
  assert.match(placeholder?.metadata.name ?? '', /^web-[a-z0-9]{5}$/);
  const labels = {
    team: 'a',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    'service.kubernetes.io/headless': '',
  };
  assert.deepEqual(placeholder?.metadata.labels, labels);

  cluster.kubelet.outcome = () => 'Unready';
  await cluster.create('deployments.apps', deployment('web', { replicas: 3 }));
  await cluster.settle();
  const conditions = () =>
    cluster
      .list(SLICES)
      .flatMap(({ endpoints }) => endpoints ?? [])
      .map((endpoint) => endpoint.conditions);
  assert.deepEqual(
    conditions().map(({ ready }) => ready),
    [false, false, false],
  );
  cluster.kubelet.outcome = () => 'Ready';
  cluster.kubelet.look();
  await cluster.settle();
  assert.deepEqual(
    conditions().map(({ ready }) => ready),
    [true, true, true],
  );
  assert.equal(cluster.list(SLICES).length, 1);
  assert.equal(cluster.list(SLICES)[0]?.endpoints?.[0]?.zone, 'here');
  assert.equal(cluster.get('endpoints', 'web').subsets?.[0]?.addresses?.length, 3);

  cluster.kubelet.mayGo = () => false;
  await cluster.edit('deployments.apps', 'web', ({ spec }) => ({ spec: { ...spec, replicas: 2 } }));
  await cluster.settle();
  const leaving = conditions().filter(({ terminating }) => terminating);
  assert.deepEqual(leaving, [{ ready: false, serving: true, terminating: true }]);
  assert.equal(cluster.get('endpoints', 'web').subsets?.[0]?.addresses?.length, 2);
  cluster.kubelet.mayGo = () => true;
  cluster.kubelet.look();
  await cluster.settle();
  assert.equal(conditions().length, 2);

  await cluster.client.delete('services', 'demo', 'web');
  await cluster.settle();
  assert.equal(cluster.list(SLICES).length, 0);
  assert.equal(cluster.find('endpoints', 'web'), undefined);
});

test('a Service without a selector is left alone', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('services', { metadata: { name: 'manual' }, spec: { ports: [{ port: 80 }] } });
  await cluster.create('endpoints', { metadata: { name: 'manual' }, subsets: [{ addresses: [{ ip: '192.0.2.1' }] }] });
  await cluster.settle();
  assert.equal(cluster.list(SLICES).length, 0);
  assert.equal(cluster.get('endpoints', 'manual').subsets?.length, 1);
});

test('a slice that somebody else changes or deletes is repaired', async () => {
  await using cluster = await TestCluster.start();
  await cluster.create('services', { metadata: { name: 'web' }, spec: service.spec });
  await cluster.create('deployments.apps', deployment('web', { replicas: 2 }));
  await cluster.settle();
  const [slice] = cluster.list(SLICES);
  assert.ok(slice);
  await cluster.client.update(SLICES, { ...slice, endpoints: [] });
  await cluster.settle();
  assert.equal(cluster.list(SLICES)[0]?.endpoints?.length, 2);
  await cluster.client.delete(SLICES, 'demo', slice.metadata.name);
  await cluster.settle();
  assert.deepEqual(
    cluster.list(SLICES).map(({ endpoints }) => endpoints?.length),
    [2],
  );
});
