import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { SERVICES } from '#k8s/resources/service.ts';
import { eventually } from '#k8s/testing.ts';
import { systemClock } from '#runtime/clock.ts';
import { startTestCluster } from '../../test/harness/api-server.ts';
import { ExternalSliceWriter } from './external-slice-writer.ts';
import { MANAGED_BY, MANAGED_BY_LABEL } from './external-slices.ts';
import { createStores } from './stores.ts';

const SLICES = 'endpointslices.discovery.k8s.io';

test('nothing is taken away before all external workloads are known, and by nobody who does not hold the Lease', async () => {
  await using cluster = await startTestCluster();
  const { client } = cluster.server;
  await client.create('namespaces', { metadata: { name: 'shop' } });
  const service = await client.create('services', {
    metadata: { namespace: 'shop', name: 'legacy' },
    spec: { selector: { app: 'legacy' }, ports: [{ port: 80 }] },
  });
  const labels = { 'kubernetes.io/service-name': 'legacy', [MANAGED_BY_LABEL]: MANAGED_BY };
  const slice = await client.create(SLICES, {
    metadata: { namespace: 'shop', name: 'legacy-external-ipv4-0', labels },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['192.0.2.1'], conditions: { ready: true } }],
  });
  const endpoints = () => client.get(SLICES, 'shop', 'legacy-external-ipv4-0')?.['endpoints'];

  const stores = createStores();
  let isWriter = false;
  let isKnown = false;
  let asked = 0;
  using writer = new ExternalSliceWriter({
    stores,
    client: cluster.client,
    clock: systemClock,
    isWriter: () => ((asked += 1), isWriter),
    isKnown: () => ((asked += 1), isKnown),
    onError: (_service, error) => assert.fail(String(error)),
  });
  stores.services.apply(SERVICES.parse(service)!);
  stores.slices.apply(ENDPOINT_SLICES.parse(slice)!);
  await eventually('a look', () => asked > 0);
  assert.deepEqual(endpoints(), slice['endpoints'], 'another one writes');

  [isWriter, asked] = [true, 0];
  writer.resume();
  await eventually('a second look, for want of what is known', () => asked >= 4);
  assert.deepEqual(endpoints(), slice['endpoints'], 'not all are known');

  isKnown = true;
  await eventually('a slice without endpoints', () => (endpoints() as readonly unknown[]).length === 0);
});
