import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const CHECKOUT = join(import.meta.dirname, '../..');

/** A `tulle viz tap` that runs while the test does something else. */
class RunningTap implements Disposable {
  stdout = '';
  stderr = '';
  readonly ended: Promise<number>;
  readonly #kill: () => void;

  constructor(kubeconfig: string, args: readonly string[]) {
    const child = spawn(process.execPath, [join(CHECKOUT, 'cli/main.ts'), 'viz', 'tap', ...args], {
      env: { ...process.env, KUBECONFIG: kubeconfig },
    });
    child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve) => void child.once('close', (code) => resolve(code ?? -1)));
    this.#kill = () => void child.kill();
  }

  count(pattern: RegExp): number {
    return this.stdout.match(pattern)?.length ?? 0;
  }

  [Symbol.dispose](): void {
    this.#kill();
  }
}

describe('what viz shows of counted traffic', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], true);
    await mesh.apply(namespaceYaml('town', true));
    await mesh.apply(serviceYaml('town', 'server', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.ready('town');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('tap sees each of the requests that were sent, once, and with whom', async () => {
    using tap = new RunningTap(mesh.sandbox.kubeconfig, ['deploy/server', '-n', 'town', '--path', '/upload']);
    await until('the tap to begin', 60_000, () => tap.stderr.includes('tapping 1 pods')).catch((error: unknown) => {
      throw new Error(`tap says: ${tap.stderr}`, { cause: error });
    });
    const sent = await mesh.runToEnd('town', 'sender', ['post', 'http://server.town:8080/upload', 'x', '20'], true);
    assert.match(sent, /20 of 20 answered 200/);
    await until('the last event', 10_000, () => tap.count(/^end /gm) >= 20);
    const lines = (word: string): number => tap.count(new RegExp(`^${word} .*proxy=in .*tls=true`, 'gm'));
    assert.deepEqual([lines('req'), lines('rsp'), lines('end')], [20, 20, 20], tap.stdout);
    assert.equal(tap.count(/ :status=200 /g), 20);
  });

  test('stat of the Service, of the workload and by --from agree', async () => {
    type Row = { readonly name: string; readonly success: number | null; readonly rps: number | null };
    const stat = async (...args: readonly string[]): Promise<Row> => {
      const row = await until(`stat ${args.join(' ')}`, 60_000, () => {
        const { stdout } = mesh.tulle(['viz', 'stat', ...args, '-t', '10m', '-o', 'json']);
        return (JSON.parse(stdout) as Row[]).find(({ name, rps }) => name === 'server' && rps !== null) ?? false;
      });
      assert.ok(row);
      return row;
    };
    await mesh.apply(
      serviceYaml('town', 'client', { args: ['load', 'http://server.town:8080/', '20'], replicas: 1, ports: [] }),
    );
    await mesh.ready('town');
    const rows = [
      await stat('svc/server', '-n', 'town'),
      await stat('deploy/server', '-n', 'town'),
      await stat('deploy/server', '-n', 'town', '--from', 'deploy/client'),
    ];
    assert.deepEqual(
      rows.map(({ success }) => success),
      [1, 1, 1],
    );
  });

  test('top shows the busiest path without a failure', () => {
    const { status, stdout, stderr } = mesh.tulle([
      'viz',
      'top',
      'deploy/server',
      '-n',
      'town',
      '--once',
      '--duration',
      '3',
    ]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^client-\S+ +server-\S+ +GET +\/ +\d+ .* 100\.00%$/m);
  });

  test('who may not tap is refused with the reason', async () => {
    const cluster = '/apis/rbac.authorization.k8s.io/v1';
    await mesh.cluster.request('POST', '/api/v1/namespaces/town/serviceaccounts', {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'viewer', namespace: 'town' },
    });
    await mesh.cluster.request('POST', `${cluster}/clusterroles`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'viewer' },
      rules: [
        { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['get', 'list'] },
        { apiGroups: [''], resources: ['pods/portforward'], verbs: ['get', 'create'] },
      ],
    });
    await mesh.cluster.request('POST', `${cluster}/clusterrolebindings`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'viewer' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'viewer' },
      subjects: [{ kind: 'ServiceAccount', name: 'viewer', namespace: 'town' }],
    });
    const { status } = (await mesh.cluster.request('POST', '/api/v1/namespaces/town/serviceaccounts/viewer/token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600 },
    })) as { status: { token: string } };
    const config = parse(readFileSync(mesh.sandbox.kubeconfig, 'utf8')) as { users: { user: object }[] };
    for (const entry of config.users) entry.user = { token: status.token };
    const file = join(mesh.sandbox.stateDirectory, 'viewer.kubeconfig');
    writeFileSync(file, stringify(config));
    const { status: code, stderr } = mesh.tulle(['viz', 'tap', 'deploy/server', '-n', 'town', '--kubeconfig', file]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /system:serviceaccount:town:viewer.* cannot create resource "taprequests".*"tap\.tulle\.dev"/);
  });
});
