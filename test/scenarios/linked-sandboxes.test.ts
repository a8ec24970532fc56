import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

describe('two sandboxes side by side', () => {
  let east: Mesh;
  let west: Mesh;
  before(async () => {
    [east, west] = await Promise.all([Mesh.start(), Mesh.start({ podNetwork: '10.43', serviceNetwork: '10.97' })]);
    await Mesh.link(east, west);
  });
  after(async () => {
    await Promise.all([east?.[Symbol.asyncDispose](), west?.[Symbol.asyncDispose]()]);
  });

  test('a pod of one reaches a load balancer of the other by the address in its status', async () => {
    await west.apply(namespaceYaml('town', false));
    const [, service = '', deployment = ''] = serviceYaml('town', 'server', {
      args: ['server'],
      replicas: 1,
      ports: [8080],
    }).split('---\n');
    const object = JSON.parse(service) as { spec: object };
    await west.apply(JSON.stringify({ ...object, spec: { ...object.spec, type: 'LoadBalancer' } }));
    await west.apply(deployment);
    await west.ready('town');
    const { status } = (await west.cluster.get('/api/v1/namespaces/town/services/server')) as {
      status?: { loadBalancer?: { ingress?: { ip: string }[] } };
    };
    const ip = status?.loadBalancer?.ingress?.[0]?.ip ?? '';
    assert.equal(ip, west.bed.nodeIP);

    await east.apply(namespaceYaml('town', false));
    // The address may be known before the network of the node has it.
    let visitors = 0;
    const answer = await until('an answer', 60_000, () => {
      visitors += 1;
      return east.runToEnd('town', `visitor-${visitors}`, ['whoami', `http://${ip}:8080/`], false);
    });
    assert.match(answer, /200 none/);
  });
});
