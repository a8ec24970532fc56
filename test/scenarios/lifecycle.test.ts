import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startLoadedShop } from '../harness/loaded-shop.ts';
import { Mesh, type LoadSummary } from '../harness/mesh.ts';
import { missingPrevious, PREVIOUS_IMAGE } from '../harness/previous-build.ts';
import { until } from '../harness/until.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/tulle/deployments';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';

const RENEWALS = /^control_identity_cert_refreshes_total\{[^}]*result="ok"[^}]*\} (\d+)/m;
const ROLLING_RESTARTS = 3;

/** Requests went on since the call, and none failed since the load began. */
async function stillServes(loadOf: () => Promise<LoadSummary>): Promise<void> {
  const { ok } = await loadOf();
  await until('more requests', 60_000, async () => (await loadOf()).ok > ok + 100);
  const load = await loadOf();
  assert.deepEqual({ failed: load.failed, reasons: load.reasons }, { failed: 0, reasons: {} });
}

/** What `kubectl rollout restart deployment` does in the namespace of the control plane. */
async function restartControlPlane(mesh: Mesh): Promise<void> {
  const deployments = await mesh.cluster.list(DEPLOYMENTS);
  await Promise.all(deployments.map(({ metadata }) => mesh.restart('tulle', metadata.name)));
}

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
    await stillServes(loadOf);
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
    await stillServes(loadOf);
  });

  test('rolling restarts of the whole control plane, also while an application restarts', async () => {
    for (let round = 0; round < ROLLING_RESTARTS; round += 1)
      await Promise.all([restartControlPlane(mesh), mesh.restart('shop', 'server')]);
    await stillServes(loadOf);
    const { stdout } = mesh.tulle(['check', '--proxy', '-o', 'short', '--wait', '60s']);
    assert.equal(stdout, 'Status check results are √\n');
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
      const left = (await mesh.cluster.list(path)).filter(
        ({ metadata: { name, namespace = '', labels = {} } }) =>
          namespace !== 'kube-node-lease' && // nodes have any name
          [name, namespace, ...Object.keys(labels)].some((text) => /tulle|linkerd/.test(text)),
      );
      assert.deepEqual(
        left.map(({ metadata }) => metadata.name),
        [],
        path,
      );
    }
    await stillServes(loadOf);
  });
});

const options = { skip: missingPrevious() };
describe('an upgrade from the previous build and back, under load', options, () => {
  let mesh: Mesh;
  let loadOf: () => Promise<LoadSummary>;
  /** Certificates that end soon, so that every proxy asks each control plane for a new one. */
  const previous = ['install', '--image', PREVIOUS_IMAGE, '--identity-issuance-lifetime', '20s'];
  before(async () => {
    mesh = await Mesh.start({ hasPreviousBuild: true });
    await mesh.apply(mesh.previousTulle(previous).stdout);
    await mesh.ready('tulle');
    loadOf = await startLoadedShop(mesh);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  /** Images of the proxies of an application, or of the control plane's containers. */
  const imagesOf = async (namespace: string, selector?: string): Promise<readonly string[]> => {
    type Spec = Record<'containers' | 'initContainers', readonly { readonly name: string; readonly image: string }[]>;
    const pods = await mesh.pods(namespace, selector);
    const images = pods.flatMap(({ spec }) => {
      const { containers, initContainers = [] } = spec as Partial<Spec> & Pick<Spec, 'containers'>;
      return [...initContainers, ...containers].filter(({ name }) => namespace === 'tulle' || name === 'linkerd-proxy');
    });
    return [...new Set(images.map(({ image }) => image.replace(/:.*/, '')))];
  };
  const renewals = (application: string): number => {
    const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'shop', `deploy/${application}`]);
    return Number(RENEWALS.exec(stdout)?.[1] ?? 0);
  };
  /** Proxies that are there renew their certificates, learn of new endpoints, and lose no request. */
  const proxiesWork = async (): Promise<void> => {
    const applications = ['client', 'server'];
    const before = applications.map(renewals);
    await until('new certificates of client and server', 120_000, () =>
      applications.map(renewals).every((count, index) => count > (before[index] ?? 0)),
    );
    await stillServes(loadOf);
  };

  test('proxies of the previous build work with the present control plane', async () => {
    assert.deepEqual(await imagesOf('shop'), [PREVIOUS_IMAGE]);
    await mesh.apply(mesh.tulle(['upgrade', '--image', 'tulle.dev/tulle']).stdout);
    await mesh.ready('tulle');
    assert.deepEqual(await imagesOf('tulle'), ['tulle.dev/tulle']);
    assert.deepEqual(await imagesOf('shop'), [PREVIOUS_IMAGE]);
    await proxiesWork();
  });

  test('and with present proxies, which take their place when the pods restart', async () => {
    await mesh.restart('shop', 'server');
    assert.deepEqual(await imagesOf('shop', 'app=server'), ['tulle.dev/tulle']);
    assert.deepEqual(await imagesOf('shop', 'app=client'), [PREVIOUS_IMAGE]);
    await proxiesWork();
    const { stdout } = mesh.tulle(['check', '--proxy', '-o', 'short', '--wait', '60s']);
    assert.equal(stdout, 'Status check results are √\n');
  });

  test('back again: proxies of both builds work with the control plane of the previous one', async () => {
    await mesh.apply(mesh.previousTulle(previous).stdout);
    await mesh.ready('tulle');
    assert.deepEqual(await imagesOf('tulle'), [PREVIOUS_IMAGE]);
    await proxiesWork();
    await mesh.restart('shop', 'server');
    assert.deepEqual(await imagesOf('shop', 'app=server'), [PREVIOUS_IMAGE]);
    await proxiesWork();
  });
});
