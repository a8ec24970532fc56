import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { LoadSummary } from '../harness/mesh.ts';
import { startLoadedShop } from '../harness/loaded-shop.ts';
import { Mesh } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/tulle/deployments';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';

describe('an installation from its first day to its last, under load', () => {
  let mesh: Mesh;
  let loadOf: () => Promise<LoadSummary>;
  before(async () => {
    mesh = await Mesh.install(['--tiny']);
    loadOf = await startLoadedShop(mesh);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const plan = (...flags: string[]): string => mesh.tulle(['upgrade', '--plan', ...flags]).stdout;
  const deployments = async (): Promise<Readonly<Record<string, unknown>>> =>
    Object.fromEntries(
      (await mesh.cluster.list(DEPLOYMENTS)).map(({ metadata }) => [
        metadata.name,
        (metadata as { generation?: number }).generation,
      ]),
    );
  /** That requests went on since then, and that none failed. */
  const stillServes = async (): Promise<void> => {
    const { ok } = await loadOf();
    await until('more requests', 60_000, async () => (await loadOf()).ok > ok + 100);
    const load = await loadOf();
    assert.deepEqual({ failed: load.failed, reasons: load.reasons }, { failed: 0, reasons: {} });
  };

  test('--tiny: one pod is the control plane, and check finds nothing', async () => {
    assert.equal((await mesh.pods('tulle')).length, 1);
    const { status, stdout } = mesh.tulle(['check', '--proxy', '-o', 'short', '--wait', '60s']);
    assert.deepEqual([status, stdout], [0, 'Status check results are √\n']);
    assert.match(plan(), /^Nothing would change/);
  });

  test('an upgrade does what its plan said; the second one does nothing', async () => {
    const said = plan('--set', 'proxy.logLevel=debug');
    assert.match(said, /^~ deployment tulle\/tulle-control-plane \(its pods restart\)$/m);
    const { stdout } = mesh.tulle(['upgrade', '--set', 'proxy.logLevel=debug']);
    await mesh.apply(stdout);
    await mesh.ready('tulle');
    assert.match(plan(), /^Nothing would change/);
    const generations = await deployments();
    const again = mesh.tulle(['upgrade']).stdout;
    assert.equal(again, stdout);
    await mesh.apply(again);
    assert.deepEqual(await deployments(), generations);
    await stillServes();
  });

  test('from one process to three: what is left over is pruned', async () => {
    await mesh.apply(mesh.tulle(['upgrade', '--set', 'singleProcess=false']).stdout);
    await mesh.ready('tulle');
    assert.match(plan(), /^- deployment tulle\/tulle-control-plane \(for `tulle prune`\)$/m);
    await mesh.delete(mesh.tulle(['prune']).stdout);
    assert.deepEqual(Object.keys(await deployments()).sort(), [
      'tulle-destination',
      'tulle-identity',
      'tulle-injector',
    ]);
    await mesh.restart('shop', 'server');
    await stillServes();
  });

  test('uninstall refuses while pods have proxies; forced, they keep serving and nothing of ours is left', async () => {
    const refused = mesh.tulle(['uninstall']);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /pods have a proxy: shop\/client-\S+, shop\/server-/);
    await mesh.delete(mesh.tulle(['uninstall', '--force']).stdout);
    for (const path of [
      '/api/v1/namespaces',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      `${RBAC}/clusterroles`,
      `${RBAC}/clusterrolebindings`,
      `${ADMISSION}/mutatingwebhookconfigurations`,
      `${ADMISSION}/validatingwebhookconfigurations`,
      '/api/v1/secrets',
      '/api/v1/configmaps',
      '/apis/coordination.k8s.io/v1/leases',
      `${RBAC}/roles`,
      '/apis/policy/v1/poddisruptionbudgets',
    ]) {
      const left = (await mesh.cluster.list(path)).filter(({ metadata: { name, namespace, labels = {} } }) =>
        [name, namespace ?? '', ...Object.keys(labels)].some((text) => /tulle|linkerd/.test(text)),
      );
      assert.deepEqual(
        left.map(({ metadata }) => metadata.name),
        [],
        path,
      );
    }
    await stillServes();
  });
});
