import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { loadSummary, Mesh, namespaceYaml, serviceYaml, type LoadSummary } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

/** `TULLE_RESTARTS=50` is what was promised. */
const RESTARTS = Number(process.env['TULLE_RESTARTS'] ?? 2);
const RATE = 500;

describe('an application that is restarted under load', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install();
    await mesh.apply(namespaceYaml('shop', true));
    await mesh.apply(serviceYaml('shop', 'plain', { args: ['plain'], replicas: 2, ports: [8080] }));
    await mesh.ready('shop');
    await mesh.apply(
      serviceYaml('shop', 'client', { args: ['load', 'http://plain:8080/', String(RATE)], replicas: 1, ports: [] }),
    );
    await mesh.ready('shop');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test(`${RESTARTS} rolling restarts at ${RATE} requests a second fail none, without a preStop hook`, async () => {
    const log = async (container: string): Promise<string> => {
      const [pod] = await mesh.pods('shop', 'app=client');
      return mesh.logs('shop', pod?.metadata.name ?? '', container);
    };
    const load = async (): Promise<LoadSummary> => loadSummary(await log('app'));
    await until('the load', 30_000, async () => (await load()).ok > RATE);
    for (let round = 0; round < RESTARTS; round += 1) await mesh.restart('shop', 'plain');
    const { ok } = await load();
    await until('requests to the last pods', 30_000, async () => (await load()).ok > ok + RATE);
    const { failed } = await load();
    if (failed === 0) return;
    const losses = (await log('app')).split('\n').filter((line) => line.includes('"failed":"'));
    assert.fail(`${failed} requests failed:\n${losses.join('\n')}\nthe proxy says:\n${await log('linkerd-proxy')}`);
  });
});
