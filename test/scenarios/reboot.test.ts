import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Mesh } from '../harness/mesh.ts';
import { startLoadedShop } from '../harness/loaded-shop.ts';
import { isRealKubernetes, rebootTestBed } from '../harness/test-bed.ts';
import { until } from '../harness/until.ts';

/** `TULLE_REBOOTS=30` is what was promised; each takes about 20 s. */
const REBOOTS = Number(process.env['TULLE_REBOOTS'] ?? 3);
const HEALED_MS = 120_000;

describe('a node that loses its power', { skip: !isRealKubernetes && 'needs a real Kubernetes' }, () => {
  let mesh: Mesh;
  let requests: () => Promise<{ readonly ok: number; readonly failed: number }>;
  before(async () => {
    mesh = await Mesh.install();
    requests = await startLoadedShop(mesh);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test(`all pods come back meshed and traffic flows, ${REBOOTS} times, without a hand`, async () => {
    for (let round = 1; round <= REBOOTS; round += 1) {
      await rebootTestBed(mesh.bed);
      await until(`traffic after reboot ${round}`, HEALED_MS, async () => {
        const start = await requests();
        await new Promise((resolve) => void setTimeout(resolve, 1_000));
        const end = await requests();
        return end.ok - start.ok > 30 && end.failed === start.failed;
      });
      for (const pod of await mesh.pods('shop')) {
        const { initContainers = [] } = pod['spec'] as { initContainers?: readonly { name: string }[] };
        const { initContainerStatuses = [] } = pod['status'] as {
          initContainerStatuses?: readonly { name: string; ready: boolean }[];
        };
        const name = `${pod.metadata.name} after reboot ${round}`;
        assert.ok(
          initContainers.some((container) => container.name === 'linkerd-proxy'),
          name,
        );
        const proxy = initContainerStatuses.find((status) => status.name === 'linkerd-proxy');
        assert.equal(proxy?.ready, true, name);
      }
      const { status, stdout } = mesh.tulle(['check', '--proxy', '--wait', '60s']);
      assert.equal(status, 0, `after reboot ${round}: ${stdout}`);
    }
  });
});
