import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mesh, type LoadSummary } from '../harness/mesh.ts';
import { startLoadedShop } from '../harness/loaded-shop.ts';

/** Minutes under load; `TULLE_SOAK_MINUTES=10` for the full length, the default keeps `npm test` short. */
const SOAK_MS = Number(process.env['TULLE_SOAK_MINUTES'] ?? '1.5') * 60_000;
const METRIC = /^control_identity_cert_refreshes_total\{[^}]*result="ok"[^}]*\} (\d+)/m;

describe('a mesh whose certificates live for 60 seconds', () => {
  let mesh: Mesh;
  let loadOf: () => Promise<LoadSummary>;
  before(async () => {
    mesh = await Mesh.install(['--identity-issuance-lifetime', '60s']);
    loadOf = await startLoadedShop(mesh);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('renewals lose no request', async () => {
    await sleep(SOAK_MS);
    const load = await loadOf();
    assert.deepEqual({ failed: load.failed, reasons: load.reasons }, { failed: 0, reasons: {} });
    assert.ok(load.ok > (SOAK_MS / 1000) * 40, `only ${load.ok} requests were answered`);
    const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'shop', 'deploy/client']);
    const renewals = Number(METRIC.exec(stdout)?.[1] ?? 0);
    assert.ok(renewals >= Math.floor(SOAK_MS / 60_000), `the certificate was renewed ${renewals} times`);
  });
});
