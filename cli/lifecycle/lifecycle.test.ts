import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../../sandbox/demo/apply.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import { vizManifests } from '../../viz/install/manifest.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { connect, type Cluster } from '../cluster.ts';
import { ResourcePaths } from '../resource-paths.ts';
import { tulle, type Outcome } from '../testing.ts';
import { objectKey } from './owned-objects.ts';

const CONFIG = '/api/v1/namespaces/tulle/configmaps/linkerd-config';

describe('the life of an installation, against an API server', () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
  });
  after(async () => {
    cluster?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const run = (...args: string[]): Promise<Outcome> => tulle([...args, '--kubeconfig', server.kubeconfigPath]);
  const plan = async (...flags: string[]): Promise<string> => {
    const { code, out, err } = await run('upgrade', '--plan', ...flags);
    assert.deepEqual([code, err], [0, '']);
    return out;
  };
  const apply = (yaml: string): Promise<void> => applyAll(cluster, readManifests(yaml));
  const merge = (path: string, body: unknown): Promise<unknown> =>
    cluster.request('PATCH', path, body, 'application/merge-patch+json');
  const remove = async (yaml: string): Promise<void> => {
    const paths = new ResourcePaths(cluster);
    for (const object of readManifests(yaml)) await cluster.request('DELETE', (await paths.of(object)) ?? '');
  };

  test('without an installation every command says so', async () => {
    for (const command of ['upgrade', 'prune', 'config']) {
      const { code, out, err } = await run(command);
      assert.deepEqual([code, out], [1, '']);
      assert.match(err, /^tulle: there is no Tulle in namespace tulle .*: install it with `tulle install \| kubectl/);
    }
    const { code, err } = await run('uninstall');
    assert.deepEqual([code, err], [1, 'tulle: there is no Tulle in namespace tulle: name its namespace with -L\n']);
  });

  test('right after an installation nothing would change', async () => {
    await apply((await tulle(['install', '--set', 'proxy.logLevel=warn'])).out);
    assert.match(await plan(), /^Nothing would change: all \d+ objects are as they should be\.\n$/);
    const { out, err } = await run('prune');
    assert.deepEqual([out, err], ['', 'nothing is left over\n']);
  });

  test('--ha is taken, stays at the next upgrade, and is left again', async () => {
    await apply((await run('upgrade', '--ha')).out);
    assert.match(await plan(), /^Nothing would change/);
    await apply((await run('upgrade', '--set', 'highAvailability=false', '--controller-replicas', '1')).out);
    const { out, err } = await run('prune');
    assert.equal(err.match(/^poddisruptionbudget tulle\/tulle-/gm)?.length, 3, err);
    await remove(out);
    assert.match(await plan(), /^Nothing would change/);
  });

  test('the plan names each field, what is new and which pods restart; the manifest does what it says', async () => {
    const before = await plan('--set', 'proxy.logLevel=debug', '--controller-replicas', '2');
    assert.match(before, /^~ configmap tulle\/linkerd-config\n {4}data\.values\.controllerReplicas: 1 -> 2\n/);
    assert.match(before, /\n {4}data\.values\.proxy\.logLevel: warn -> debug\n/);
    assert.match(before, /\n~ deployment tulle\/tulle-identity\n {4}spec\.replicas: 1 -> 2\n/);
    assert.match(before, /\n~ deployment tulle\/tulle-injector \(its pods restart\)\n/);
    assert.match(
      before,
      /\n0 created, 4 changed, 0 left over, \d+ unchanged\.\nPods that restart: tulle-injector\.\n$/,
    );
    const { out } = await run('upgrade', '--set', 'proxy.logLevel=debug', '--controller-replicas', '2');
    await apply(out);
    assert.match(await plan(), /^Nothing would change/);
    assert.equal((await run('upgrade')).out, out, 'an upgrade without flags is the same again');
    const { proxy, controllerReplicas } = JSON.parse((await run('config', '-o', 'json')).out) as ReturnType<
      typeof defaultValues
    >;
    assert.deepEqual([proxy.logLevel, controllerReplicas], ['debug', 2]);
  });

  test('a change by hand is found, a field that was removed too', async () => {
    await merge('/apis/apps/v1/namespaces/tulle/deployments/tulle-identity', {
      spec: { template: { spec: { terminationGracePeriodSeconds: 5 } } },
    });
    await cluster.request('DELETE', '/api/v1/namespaces/tulle/services/tulle-policy');
    const text = await plan();
    assert.match(text, /^\+ service tulle\/tulle-policy$/m);
    assert.match(
      text,
      /identity \(its pods restart\)\n {4}spec\.template\.spec\.terminationGracePeriodSeconds: 5 -> 30\n/,
    );
    await apply((await run('upgrade')).out);
    assert.match(await plan('--controller-replicas', '2'), /^Nothing/);
    // Applied once with a request, then without: the field goes.
    await apply((await run('upgrade', '--set', 'controllerResources.cpuLimit=1')).out);
    assert.match(
      await plan('--set', 'controllerResources.cpuLimit='),
      /containers\[identity\]\.resources\.limits\.cpu: "?1"? \(removed\)/,
    );
    await apply((await run('upgrade', '--set', 'controllerResources.cpuLimit=')).out);
  });

  test('what other values do not need is told, and pruned', async () => {
    const text = await plan('--tiny');
    assert.match(text, /^\+ deployment tulle\/tulle-control-plane$/m);
    assert.match(text, /^- deployment tulle\/tulle-injector \(for `tulle prune`\)$/m);
    const upgraded = await run('upgrade', '--tiny');
    assert.match(
      upgraded.err,
      /^note: 5 objects will not be needed any more; .*: tulle prune \| kubectl delete -f -\n$/,
    );
    await apply(upgraded.out);
    const pruned = await run('prune');
    assert.deepEqual(pruned.err.trim().split('\n').sort(), [
      'deployment tulle/tulle-destination',
      'deployment tulle/tulle-identity',
      'deployment tulle/tulle-injector',
      'serviceaccount tulle/tulle-identity',
      'serviceaccount tulle/tulle-injector',
    ]);
    await remove(pruned.out);
    assert.match(await plan(), /^Nothing/);
  });

  test('the plan names the pods that a change has evicted, which no manifest shows', async () => {
    const strict = '/api/v1/namespaces/strict';
    await cluster.request('POST', '/api/v1/namespaces', {
      metadata: {
        name: 'strict',
        labels: { 'pod-security.kubernetes.io/enforce': 'baseline' },
        annotations: { 'linkerd.io/inject': 'enabled' },
      },
    });
    await cluster.request('POST', `${strict}/serviceaccounts`, { metadata: { name: 'default' } });
    const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-abc', uid: 'u', controller: true };
    for (const [name, ownerReferences] of [
      ['web-abc-x', [owner]],
      ['alone', []], // nothing would make it again
    ] as const)
      await cluster.request('POST', `${strict}/pods`, {
        metadata: { name, ownerReferences, labels: { 'pod-template-hash': 'abc' } },
        spec: { containers: [{ name: 'app', image: 'x' }] },
      });
    const named = /\nPods without a proxy that the injector then evicts, [^:]*: strict\/web-abc-x\.\n$/;
    assert.match(await plan('--linkerd-cni-enabled'), named);
    assert.doesNotMatch(await plan('--linkerd-cni-enabled', '--set', 'repair.enabled=false'), /evicts/);
    assert.doesNotMatch(await plan('--set', 'proxy.logLevel=debug'), /evicts/);
    const { evicted } = JSON.parse(await plan('-o', 'json', '--linkerd-cni-enabled')) as { evicted: unknown };
    assert.deepEqual(evicted, ['strict/web-abc-x']);
  });

  test('the plan is a document too', async () => {
    const { objects, unchanged } = JSON.parse(await plan('-o', 'json', '--set', 'webhookFailurePolicy=Fail')) as {
      objects: readonly {
        action: string;
        kind: string;
        name: string;
        isRestarted: boolean;
        changes: readonly object[];
      }[];
      unchanged: number;
    };
    assert.ok(unchanged > 20);
    const webhook = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
    assert.deepEqual(webhook?.changes, [
      { path: 'webhooks[injector.tulle.dev].failurePolicy', from: 'Ignore', to: 'Fail' },
    ]);
  });

  test('versions: one step back is a warning, too far is refused, values of another version are told', async () => {
    const { data } = (await cluster.get(CONFIG)) as unknown as { data: Record<string, string> };
    const setVersion = (version: string): Promise<unknown> =>
      merge(CONFIG, { data: { values: data['values']?.replace(/^version: .*$/m, `version: ${version}`) } });
    await setVersion('0.2.0');
    assert.match((await run('upgrade')).err, new RegExp(`^warning: this goes back from 0.2.0 to ${VERSION}\n$`));
    await setVersion('9.0.0');
    const refused = await run('upgrade');
    assert.deepEqual([refused.code, refused.out], [1, '']);
    assert.match(
      refused.err,
      /version 9\.0\.0 is installed and this is .*: go through a version between them, or use --force/,
    );
    assert.equal((await run('upgrade', '--force')).code, 0);
    await merge(CONFIG, { data: { ...data, overrides: `${data['overrides']}\nfutureValue: 1\n` } });
    assert.match(
      (await run('upgrade')).err,
      /^warning: chosen before, and left out from now on: futureValue is no known/,
    );
    await merge(CONFIG, { data: { values: 'controllerReplicas: 99' } });
    assert.match(
      (await run('upgrade')).err,
      /^tulle: config map tulle\/linkerd-config, key values: controllerReplicas is 99: use a whole number from 1 to 9: correct it with `kubectl/,
    );
    await merge(CONFIG, { data: { values: 'a: [' } });
    assert.match((await run('config')).err, /key values: .* at line 1, column /);
    await merge(CONFIG, { data: { values: null } });
    assert.match((await run('prune')).err, /key values: it is missing/);
    await merge(CONFIG, { data });
  });

  test('an installation that kept only its values is upgraded with all of them', async () => {
    const { data } = (await cluster.get(CONFIG)) as unknown as { data: Record<string, string> };
    await merge(CONFIG, { data: { overrides: null } });
    const { out } = await run('upgrade');
    assert.ok(out.includes('name: tulle-control-plane'));
    await merge(CONFIG, { data });
  });

  test('uninstall names who still uses the mesh, and then leaves nothing that the manifest made', async () => {
    await applyAll(cluster, vizManifests(defaultValues(VERSION)));
    await cluster.request('POST', '/api/v1/namespaces', { metadata: { name: 'shop' } });
    await cluster.request('POST', '/api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'default' } });
    await cluster.request('POST', '/api/v1/namespaces/shop/pods', {
      metadata: { name: 'web', labels: { 'linkerd.io/control-plane-ns': 'tulle' } },
      spec: { containers: [{ name: 'app', image: 'x' }] },
    });
    const refused = await run('uninstall');
    assert.deepEqual([refused.code, refused.out], [1, '']);
    assert.equal(
      refused.err,
      'tulle: extension viz is installed in tulle-viz: `tulle viz install | kubectl delete -f -`; pods have a proxy: shop/web: remove linkerd.io/inject from their namespaces and workloads and restart them; or use --force\n',
    );
    const { code, out, err } = await run('uninstall', '--force');
    assert.deepEqual([code, err], [0, '']);
    const listed = new Set(readManifests(out).map(objectKey));
    for (const object of renderInstall({ ...defaultValues(VERSION), singleProcess: true })) {
      const isCovered = object.metadata.namespace === 'tulle' || listed.has(objectKey(object));
      assert.ok(isCovered, objectKey(object));
    }
    assert.ok(
      [...listed].every((key) => !key.includes('viz')),
      out,
    );
    await remove(out);
    const paths = new ResourcePaths(cluster);
    for (const object of readManifests(out).filter(({ kind }) => kind !== 'Namespace')) {
      const path = await paths.of(object);
      assert.ok(path === undefined || (await cluster.find(path)) === undefined, objectKey(object));
    }
  });
});
