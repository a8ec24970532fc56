import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiObject } from '../../cli/cluster.ts';
import { ONLY_MESHED, startLoadedShop, trafficFlows } from '../harness/loaded-shop.ts';
import { Mesh, type LoadSummary } from '../harness/mesh.ts';
import { seededRandom } from '../harness/random.ts';
import { rebootTestBed } from '../harness/test-bed.ts';
import { until } from '../harness/until.ts';

/** `TULLE_REBOOTS=30` is what was promised. */
const REBOOTS = Number(process.env['TULLE_REBOOTS'] ?? 2);
/** What starts when, and when the power fails again. */
const SEED = Number(process.env['TULLE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const HEALED_MS = 120_000;
/** A node that has started for this long has pods in every state. */
const SECOND_FAILURE_MS = 12_000;

describe(`a node that loses its power (TULLE_SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  let mesh: Mesh;
  let requests: () => Promise<LoadSummary>;
  before(async () => {
    mesh = await Mesh.install(ONLY_MESHED);
    requests = await startLoadedShop(mesh);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  for (let round = 1; round <= REBOOTS; round += 1) {
    const isTwice = round % 2 === 0;
    test(`round ${round}: all pods come back meshed, without a hand${isTwice ? ', power fails while they start' : ''}`, async () => {
      if (isTwice) {
        await rebootTestBed(mesh.bed, random);
        await sleep(random() * SECOND_FAILURE_MS);
      }
      await rebootTestBed(mesh.bed, random);
      await trafficFlows(requests, HEALED_MS);
      await until('all pods, with proxies that are ready', HEALED_MS, async () => {
        const pods = await mesh.pods('shop');
        return pods.length === 3 && pods.every(isMeshedAndReady);
      });
      const { status, stdout } = mesh.tulle(['check', '--proxy', '--wait', '60s']);
      assert.equal(status, 0, stdout);
    });
  }
});

function isMeshedAndReady({ status }: ApiObject): boolean {
  const { conditions = [], initContainerStatuses = [] } = status as {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly initContainerStatuses?: readonly { readonly name: string; readonly ready: boolean }[];
  };
  return (
    conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True') &&
    initContainerStatuses.some(({ name, ready }) => name === 'linkerd-proxy' && ready)
  );
}
