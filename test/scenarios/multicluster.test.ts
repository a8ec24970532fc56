import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const FOLLOW_MS = 10_000;
const GATEWAY = 'tulle-gateway.tulle-multicluster.serviceaccount.identity.tulle.cluster.local';
const SERVICE = '/api/v1/namespaces/town/services/server';
const MIRROR = '/api/v1/namespaces/town/services/server-west';
const SLICE = '/apis/discovery.k8s.io/v1/namespaces/town/endpointslices/server-west';
const DEPLOYMENT = '/apis/apps/v1/namespaces/town/deployments/server';
const GATEWAY_DEPLOYMENT = '/apis/apps/v1/namespaces/tulle-multicluster/deployments/tulle-gateway';
const MERGE = 'application/merge-patch+json';

describe('two linked clusters', () => {
  let east: Mesh;
  let west: Mesh;
  let visitors = 0;
  before(async () => {
    [east, west] = await Promise.all([Mesh.start(), Mesh.start({ podNetwork: '10.43', serviceNetwork: '10.97' })]);
    await Mesh.link(east, west);
    await west.apply(must(west.tulle(['install'])));
    await west.ready('tulle');
    const { status, stderr } = east.tulle(['multicluster', 'anchor-gen']);
    assert.deepEqual([status, /no trust anchor .*tulle install/.test(stderr.replace('\n', ' '))], [1, true], stderr);
    await east.apply(must(west.tulle(['multicluster', 'anchor-gen'])));
    await east.apply(must(east.tulle(['install'])));
    await east.ready('tulle');
    for (const mesh of [west, east]) {
      await mesh.apply(must(mesh.tulle(['multicluster', 'install', '--gateway-probe-seconds', '1'])));
      await mesh.apply(namespaceYaml('town', true));
    }
    await west.apply(serviceYaml('town', 'server', { args: ['server'], replicas: 1, ports: [8080] }));
    await Promise.all([east.ready('tulle-multicluster'), west.ready('tulle-multicluster', 'town')]);
    const api = `https://${west.bed.nodeIP}:6443`;
    await east.apply(must(west.tulle(['mc', 'link', '--cluster-name', 'west', '--api-server-address', api])));
  });
  after(async () => {
    await Promise.all([east?.[Symbol.asyncDispose](), west?.[Symbol.asyncDispose]()]);
  });

  const visit = (): Promise<string> => {
    visitors += 1;
    return east.runToEnd('town', `visitor-${visitors}`, ['whoami', 'http://server-west.town:8080/'], true);
  };

  test('an exported Service appears, and answers with mutual TLS from a pod of its own cluster', async () => {
    assert.equal(await east.cluster.find(MIRROR), undefined, 'not exported yet');
    await west.cluster.request(
      'PATCH',
      SERVICE,
      { metadata: { labels: { 'mirror.linkerd.io/exported': 'true' } } },
      MERGE,
    );
    await until('the mirror with a gateway', FOLLOW_MS, () => hasEndpoints());
    const answer = await visit();
    assert.match(answer, /^200 /);
    assert.ok(answer.includes(GATEWAY), `the server was called by the gateway: ${answer}`);
    const { status, stdout, stderr } = east.tulle(['mc', 'check', '--wait', '20s']);
    assert.equal(status, 0, stdout + stderr);
    const [gateway] = gateways();
    assert.deepEqual([gateway?.clusterName, gateway?.alive, gateway?.numServices], ['west', true, 1]);
  });

  test('ports and endpoints follow', async () => {
    const { spec } = (await west.cluster.get(SERVICE)) as unknown as { spec: { ports: object[] } };
    const ports = [...spec.ports, { name: 'more', port: 8081, targetPort: 8080 }];
    await west.cluster.request('PATCH', SERVICE, { spec: { ports } }, MERGE);
    await until('the new port', FOLLOW_MS, async () => {
      const mirror = (await east.cluster.get(MIRROR)) as unknown as { spec: { ports: { port: number }[] } };
      return mirror.spec.ports.some(({ port }) => port === 8081);
    });
    await west.cluster.request('PATCH', DEPLOYMENT, { spec: { replicas: 0 } }, MERGE);
    await until('the empty slice', FOLLOW_MS, async () => !(await hasEndpoints()));
    await west.cluster.request('PATCH', DEPLOYMENT, { spec: { replicas: 1 } }, MERGE);
    await until('the slice with the gateway', 30_000, () => hasEndpoints());
    assert.match(await visit(), /^200 /);
  });

  test('without the gateway requests fail fast with a reason, and succeed when it is back', async () => {
    await west.cluster.request('PATCH', GATEWAY_DEPLOYMENT, { spec: { replicas: 0 } }, MERGE);
    await until('the gateway to be seen dead', 20_000, () => gateways()[0]?.alive === false);
    assert.match(gateways()[0]?.reason ?? '', /\/ready/);
    await until('the empty slice', FOLLOW_MS, async () => !(await hasEndpoints()));
    const startedMs = performance.now();
    assert.match(await visit(), /^50[234] /);
    assert.ok(performance.now() - startedMs < 15_000, 'the start of the pod included');
    await west.cluster.request('PATCH', GATEWAY_DEPLOYMENT, { spec: { replicas: 1 } }, MERGE);
    await until('the gateway to be back', 60_000, () => hasEndpoints());
    assert.match(await visit(), /^200 /);
  });

  test('unlinking leaves nothing', async () => {
    const printed = must(east.tulle(['mc', 'unlink', '--cluster-name', 'west']));
    assert.match(printed, /kind: Link/);
    const base = '/namespaces/tulle-multicluster';
    await east.cluster.request('DELETE', `/apis/multicluster.linkerd.io/v1alpha2${base}/links/west`);
    await east.cluster.request('DELETE', `/api/v1${base}/secrets/cluster-credentials-west`);
    await until('the mirrors to go', FOLLOW_MS, async () => {
      const found = await Promise.all([MIRROR, SLICE].map((path) => east.cluster.find(path)));
      return found.every((object) => object === undefined);
    });
  });

  async function hasEndpoints(): Promise<boolean> {
    const slice = (await east.cluster.find(SLICE)) as { endpoints?: unknown[] } | undefined;
    return (slice?.endpoints ?? []).length > 0;
  }

  type GatewayRow = { clusterName: string; alive: boolean; numServices: number; reason: string };
  function gateways(): GatewayRow[] {
    return JSON.parse(must(east.tulle(['mc', 'gateways', '-o', 'json']))) as GatewayRow[];
  }
});

function must({ status, stdout, stderr }: { status: number; stdout: string; stderr: string }): string {
  assert.equal(status, 0, stderr);
  return stdout;
}
