import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLoadedShop } from '../harness/loaded-shop.ts';
import { Mesh, type LoadSummary } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

/** How long the control plane is away; `TULLE_OUTAGE_SECONDS=120` for the full length, the default keeps `npm test` short. */
const OUTAGE_MS = Number(process.env['TULLE_OUTAGE_SECONDS'] ?? '20') * 1000;
const DEPLOYMENTS = ['tulle-identity', 'tulle-destination', 'tulle-injector'];

describe('a mesh that loses its control plane', () => {
  let mesh: Mesh;
  let loadOf: () => Promise<LoadSummary>;
  const scaleAll = async (replicas: number): Promise<void> => {
    for (const name of DEPLOYMENTS) {
      await mesh.cluster.request(
        'PATCH',
        `/apis/apps/v1/namespaces/tulle/deployments/${name}`,
        { spec: { replicas } },
        'application/merge-patch+json',
      );
    }
  };
  before(async () => {
    mesh = await Mesh.install();
    loadOf = await startLoadedShop(mesh);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('with the whole control plane gone, traffic between running pods loses no request', async () => {
    const before = await loadOf();
    await scaleAll(0);
    await until(
      'the control plane to be gone',
      60_000,
      async () => (await mesh.cluster.list('/api/v1/namespaces/tulle/pods')).length === 0,
    );
    await sleep(OUTAGE_MS);
    const during = await loadOf();
    await scaleAll(1);
    await mesh.ready('tulle');
    const after = await until('requests after the outage', 30_000, async () => {
      const load = await loadOf();
      return load.ok > during.ok + 200 ? load : false;
    });
    assert.ok(during.ok > before.ok + (OUTAGE_MS / 1000) * 40);
    assert.ok(after);
    assert.deepEqual({ failed: after.failed, reasons: after.reasons }, { failed: 0, reasons: {} });
  });
});
