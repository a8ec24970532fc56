import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { loadSummary, Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

type Edge = {
  readonly src: string;
  readonly dst: string;
  readonly client_id: string;
  readonly server_id: string;
  readonly no_tls_reason: string;
};
type PodSpec = { readonly initContainers?: readonly { readonly name: string }[] };

describe('a mesh in a cluster', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasViz: true });
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('`tulle check --proxy` finds nothing wrong with a fresh installation', () => {
    const { status, stdout, stderr } = mesh.tulle(['check', '--proxy', '--wait', '60s']);
    assert.equal(status, 0, stdout + stderr);
    assert.doesNotMatch(stdout, /[×‼]/);
  });

  test('a running deployment is meshed by an annotation and a restart, without a failed request', async () => {
    await mesh.apply(namespaceYaml('town', false));
    await mesh.apply(serviceYaml('town', 'server', { args: ['server'], replicas: 2, ports: [8080, 9000] }));
    await mesh.apply(
      serviceYaml('town', 'client', { args: ['load', 'http://server.town:8080/', '50'], replicas: 1, ports: [] }),
    );
    await mesh.ready('town');
    await mesh.apply(podYaml('town', 'watcher', ['load', 'http://server.town:8080/', '50'], false));
    const watched = async (): Promise<ReturnType<typeof loadSummary>> =>
      loadSummary(await mesh.logs('town', 'watcher', 'app'));
    await until('requests before the mesh', 30_000, async () => (await watched()).ok > 50);

    await mesh.annotate('/api/v1/namespaces/town', { 'linkerd.io/inject': 'enabled' });
    await mesh.restart('town', 'server');
    await mesh.restart('town', 'client');

    const before = (await watched()).ok;
    await until('requests after the restart', 30_000, async () => (await watched()).ok > before + 100);
    assert.deepEqual(
      { failed: (await watched()).failed, reasons: (await watched()).reasons },
      { failed: 0, reasons: {} },
    );
    for (const app of ['server', 'client']) {
      for (const pod of await mesh.pods('town', `app=${app}`)) {
        const names = (pod['spec'] as PodSpec).initContainers?.map(({ name }) => name) ?? [];
        assert.deepEqual(names, ['linkerd-init', 'linkerd-proxy'], `pod ${pod.metadata.name}`);
      }
    }
  });

  test('edges shows both identities, and stat counts the requests', async () => {
    const edge = await until('the edge from client to server', 60_000, () => {
      const { stdout } = mesh.tulle(['viz', 'edges', 'deploy', '-n', 'town', '-o', 'json']);
      return (JSON.parse(stdout) as Edge[]).find(({ src, dst }) => src === 'client' && dst === 'server') ?? false;
    });
    assert.ok(edge);
    assert.deepEqual(
      [edge.client_id, edge.server_id, edge.no_tls_reason],
      [
        'default.town.serviceaccount.identity.tulle.cluster.local',
        'default.town.serviceaccount.identity.tulle.cluster.local',
        '',
      ],
    );
    const row = await until('requests in stat', 60_000, () => {
      const { stdout } = mesh.tulle(['viz', 'stat', 'deploy/server', '-n', 'town', '-o', 'json']);
      return (
        (JSON.parse(stdout) as { meshed: string; success: number | null; rps: number | null }[]).find(
          ({ success }) => success !== null,
        ) ?? false
      );
    });
    assert.ok(row);
    assert.equal(row.meshed, '2/2');
    assert.equal(row.success, 1);
  });

  test('the application learns who called, and a plaintext client is served as nobody', async () => {
    const seen = async (name: string, isMeshed: boolean): Promise<string> =>
      mesh.runToEnd('town', name, ['whoami', 'http://server.town:8080/'], isMeshed);
    assert.match(await seen('meshed', true), /default\.town\.serviceaccount\.identity\.tulle\.cluster\.local/);
    assert.match(await seen('plain', false), /200 none/);
  });

  test('an external workload is an endpoint of the Services that select it, and proves its URI identity', async () => {
    const identity = 'default.town.serviceaccount.identity.tulle.cluster.local';
    const [pod] = await mesh.pods('town', 'app=server');
    assert.ok(pod);
    const { podIP } = pod['status'] as { podIP: string };
    const path = '/apis/workload.linkerd.io/v1beta1/namespaces/town/externalworkloads/legacy';
    const workload = (uri: string): string =>
      JSON.stringify({
        apiVersion: 'workload.linkerd.io/v1beta1',
        kind: 'ExternalWorkload',
        metadata: { name: 'legacy', namespace: 'town', labels: { tier: 'legacy' } },
        spec: {
          meshTLS: { identity: uri, serverName: identity },
          workloadIPs: [{ ip: podIP }],
          ports: [{ name: 'http', port: 8080 }],
        },
      });
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'legacy', namespace: 'town' },
      spec: { selector: { tier: 'legacy' }, ports: [{ port: 80, targetPort: 'http' }] },
    };
    await mesh.apply(`${JSON.stringify(service)}\n---\n${workload('spiffe://cluster.local/ns/town/sa/default')}`);
    const silent = mesh.tulle(['diagnostics', 'endpoints', 'legacy.town.svc.cluster.local:80']).stderr;
    assert.match(silent, /ExternalWorkload town\/legacy is selected and gets no traffic: .* Ready .*: kubectl patch /);
    const status = { conditions: [{ type: 'Ready', status: 'True' }] };
    await mesh.cluster.request('PATCH', `${path}/status`, { status }, 'application/merge-patch+json');
    const seen = async (name: string, isMeshed: boolean): Promise<string> =>
      mesh.runToEnd('town', name, ['whoami', 'http://legacy.town/'], isMeshed);
    assert.ok((await seen('to-legacy', true)).includes(identity), 'the server knows the client');
    const endpoints = mesh.tulle(['diagnostics', 'endpoints', 'legacy.town.svc.cluster.local:80']).stdout;
    assert.match(endpoints, new RegExp(`town +${podIP.replaceAll('.', '\\.')} +8080 +legacy +legacy\\.town`));
    assert.match(await seen('plain-to-legacy', false), /200 none/, 'the cluster itself finds it too');

    await mesh.apply(workload('spiffe://cluster.local/ns/town/sa/somebody-else'));
    await until('the refusal of another identity', 10_000, async () =>
      seen(`to-stranger-${Date.now()}`, true).then(
        (answer) => /50[23]/.test(answer),
        (error: Error) => /50[23]/.test(error.message),
      ),
    );
  });

  test('between meshed pods only TLS is on the wire, and none of a known body', async () => {
    const marker = 'a-known-request-body-3f9c';
    await mesh.apply(namespaceYaml('glass', true));
    const deployment = JSON.parse(
      serviceYaml('glass', 'server', { args: ['server'], replicas: 1, ports: [8080] }).split('---\n')[2] ?? '',
    ) as {
      spec: { template: { spec: { containers: unknown[] } } };
    };
    deployment.spec.template.spec.containers.push({
      name: 'capture',
      image: 'tulle.dev/test:0.1.0',
      args: ['capture', 'eth0', '4143', marker],
      securityContext: { runAsUser: 0, capabilities: { add: ['NET_RAW'] } },
    });
    await mesh.apply(
      serviceYaml('glass', 'server', { args: ['server'], replicas: 1, ports: [8080] }).split('---\n')[1] ?? '',
    );
    await mesh.apply(JSON.stringify(deployment));
    await mesh.ready('glass');
    const [pod] = await mesh.pods('glass', 'app=server');
    const counts = async (): Promise<{ onPort: number; tlsRecords: number; withMarker: number }> =>
      JSON.parse(
        (await mesh.logs('glass', pod?.metadata.name ?? '', 'capture')).trimEnd().split('\n').at(-1) ?? '',
      ) as { onPort: number; tlsRecords: number; withMarker: number };

    const answer = await mesh.runToEnd(
      'glass',
      'sender',
      ['post', 'http://server.glass:8080/upload', marker, '20'],
      true,
    );
    assert.match(answer, /20 of 20 answered 200/);
    const meshed = await until('packets of the exchange', 10_000, async () =>
      (await counts()).onPort > 20 ? counts() : false,
    );
    assert.ok(meshed);
    assert.equal(meshed.withMarker, 0, 'the body was readable on the wire');
    assert.ok(meshed.tlsRecords > 20, `TLS records: ${JSON.stringify(meshed)}`);

    // The same from an unmeshed pod is readable: the capture does see bodies.
    await mesh.runToEnd('glass', 'plain-sender', ['post', 'http://server.glass:8080/upload', marker, '3'], false);
    await until('the marker in plaintext', 10_000, async () => (await counts()).withMarker > 0);
  });

  test('a certificate of another trust anchor is refused, and no certificate is served as unauthenticated', async () => {
    const [pod] = await mesh.pods('town', 'app=server');
    const { podIP = '' } = (pod?.['status'] ?? {}) as { podIP?: string };
    const identity = 'default.town.serviceaccount.identity.tulle.cluster.local';
    const output = await mesh.runToEnd('town', 'intruder', ['intruder', podIP, identity], false);
    assert.match(output, /foreign certificate: refused/);
    assert.match(output, /foreign certificate on the mesh port: refused/);
    assert.match(output, /no certificate: 200 none/);
  });

  test('bytes through the mesh equal the bytes without it', async () => {
    await mesh.apply(namespaceYaml('plain', false));
    await mesh.apply(serviceYaml('plain', 'server', { args: ['server'], replicas: 1, ports: [8080, 9000] }));
    await mesh.apply(namespaceYaml('meshed', true));
    await mesh.apply(serviceYaml('meshed', 'server', { args: ['server'], replicas: 1, ports: [8080, 9000] }));
    await mesh.ready('plain', 'meshed');
    const mebibytes = '100';
    const without = await mesh.runToEnd('plain', 'bodies', ['bodies', 'server', mebibytes], false);
    const through = await mesh.runToEnd('meshed', 'bodies', ['bodies', 'server', mebibytes], true);
    assert.doesNotMatch(without, /FAILED|DIFFERS/);
    assert.deepEqual(through.split('\n'), without.split('\n'));
  });
});
