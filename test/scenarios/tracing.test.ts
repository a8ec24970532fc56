import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Report } from '../apps/caller.ts';
import type { CollectedSpan } from '../apps/collector.ts';
import { Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { askPod } from '../harness/pod-http.ts';
import { until } from '../harness/until.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const COLLECTOR = [
  'enabled=true',
  'traceServiceName=proxies',
  'collector.endpoint=collector.lab:4317',
  'collector.meshIdentity.serviceAccountName=default',
  'collector.meshIdentity.namespace=lab',
].flatMap((value) => ['--set', `proxy.tracing.${value}`]);

describe('traces, in a cluster', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.start();
    await mesh.apply(mesh.tulle(['install', '--crds']).stdout);
    await mesh.apply(mesh.tulle(['install', ...COLLECTOR]).stdout);
    await mesh.ready('tulle');
    await mesh.apply(namespaceYaml('lab', true));
    await mesh.apply(serviceYaml('lab', 'collector', { args: ['collector'], replicas: 1, ports: [4317] }));
    await mesh.apply(serviceYaml('lab', 'web', { args: ['flaky', 'web'], replicas: 1, ports: [8080] }));
    await mesh.apply(podYaml('lab', 'caller', ['caller'], true));
    await mesh.ready('lab');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const send = async (path: string, headers: Readonly<Record<string, string>>): Promise<Report> =>
    (await askPod(mesh, 'lab', 'caller', 9902, { body: { url: `http://web:8080${path}`, headers } })) as Report;

  test('spans of both proxies reach a meshed collector, connected and with what is known of the pods', async () => {
    await until('the caller', 60_000, async () => (await send('/', {})).statuses['200'] === 1);
    const { statuses } = await send('/traced', { traceparent: `00-${TRACE}-${PARENT}-01` });
    assert.deepEqual(statuses, { 200: 1 });
    const [pod] = await mesh.pods('lab', 'app=collector');
    const spans = async (): Promise<readonly CollectedSpan[]> =>
      (await askPod(mesh, 'lab', pod?.metadata.name ?? '', 9901, {})) as readonly CollectedSpan[];
    await until('both spans', 30_000, async () => (await spans()).length >= 2);
    const all = await spans();
    assert.ok(all.every(({ traceId, name }) => traceId === TRACE && name === '/traced'));
    const outbound = all.find(({ isClient }) => isClient);
    const inbound = all.find(({ isClient }) => !isClient);
    assert.equal(outbound?.parentId, PARENT);
    assert.equal(inbound?.parentId, outbound.spanId);
    assert.equal(outbound.attributes['k8s.pod.name'], 'caller');
    assert.match(inbound.attributes['k8s.pod.name'] ?? '', /^web-/);
    assert.equal(inbound.attributes['service.name'], 'proxies');
    assert.equal(inbound.attributes['http.response.status_code'], '200');
  });
});
