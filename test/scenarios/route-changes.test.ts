import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { loadSummary, Mesh, namespaceYaml, serviceYaml, type LoadSummary } from '../harness/mesh.ts';
import { askPod } from '../harness/pod-http.ts';
import { until } from '../harness/until.ts';

/** `TULLE_ROUTE_CHANGES=200` is what was promised. */
const CHANGES = Number(process.env['TULLE_ROUTE_CHANGES'] ?? 40);
/** 200 in a minute. */
const EVERY_MS = 300;
const RATE = 500;
const ROUTE = '/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web';

/** A route of the Service `web`. @param weights  of web-v1 and web-v2 */
function routeYaml(
  weights: readonly [number, number],
  { rule = {}, more = [], annotations = {} }: { rule?: object; more?: readonly object[]; annotations?: object } = {},
): string {
  const backendRefs = ['web-v1', 'web-v2'].map((name, index) => ({ name, port: 8080, weight: weights[index] }));
  return JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: 'web', namespace: 'shop', annotations },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'web', port: 8080 }],
      rules: [...more, { ...rule, backendRefs }],
    },
  });
}

const modifier = (type: string, field: string, name: string): object => ({
  filters: [{ type, [field]: { set: [{ name, value: 'yes' }] } }],
});
const path = (value: string): readonly object[] => [{ path: { type: 'PathPrefix', value } }];

/** One after another, none of which may cost a request. `undefined` deletes the route. */
const CYCLE: readonly (string | undefined)[] = [
  routeYaml([9, 1]),
  routeYaml([0, 1]),
  routeYaml([1, 1], { rule: modifier('RequestHeaderModifier', 'requestHeaderModifier', 'x-changed') }),
  routeYaml([1, 1], { rule: { timeouts: { request: '10s' } } }),
  routeYaml([1, 2], { more: [{ matches: path('/other'), backendRefs: [{ name: 'web-v2', port: 8080 }] }] }),
  routeYaml([2, 1], { annotations: { 'retry.linkerd.io/http': '5xx', 'retry.linkerd.io/limit': '2' } }),
  routeYaml([1, 0], { rule: modifier('ResponseHeaderModifier', 'responseHeaderModifier', 'x-changed') }),
  undefined,
];

describe('routes that change under load', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasGatewayApi: true });
    await mesh.apply(namespaceYaml('shop', true));
    for (const name of ['web-v1', 'web-v2'])
      await mesh.apply(serviceYaml('shop', name, { args: ['flaky', name], replicas: 2, ports: [8080] }));
    const web = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' } };
    await mesh.apply(JSON.stringify({ ...web, spec: { selector: { app: 'web-v1' }, ports: [{ port: 8080 }] } }));
    await mesh.ready('shop');
    await mesh.apply(
      serviceYaml('shop', 'client', { args: ['load', 'http://web:8080/', String(RATE)], replicas: 1, ports: [] }),
    );
    await mesh.ready('shop');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const log = async (container: string): Promise<string> => {
    const [pod] = await mesh.pods('shop', 'app=client');
    return mesh.logs('shop', pod?.metadata.name ?? '', container);
  };
  const load = async (): Promise<LoadSummary> => loadSummary(await log('app'));
  /** Requests that arrived at the pods of an app. */
  const arrived = async (app: string): Promise<number> => {
    let count = 0;
    for (const { metadata } of await mesh.pods('shop', `app=${app}`)) {
      const own = (await askPod(mesh, 'shop', metadata.name, 9901, {})) as Readonly<Record<string, number>>;
      count += own['/'] ?? 0;
    }
    return count;
  };

  test(`${CHANGES} changes at ${RATE} requests a second fail no request, and the last one acts`, async () => {
    await until('the load', 30_000, async () => (await load()).ok > RATE);
    const startMs = performance.now();
    const before = await load();
    for (let change = 0; change < CHANGES; change += 1) {
      const yaml = CYCLE[change % CYCLE.length];
      if (yaml === undefined) await mesh.remove(ROUTE);
      else await mesh.apply(yaml);
      await sleep(Math.max(0, startMs + (change + 1) * EVERY_MS - performance.now()));
    }
    await mesh.apply(routeYaml([0, 1]));
    await until('the last change to act', 10_000, async () => {
      const [first, second] = [await arrived('web-v1'), await arrived('web-v2')];
      await sleep(500);
      return (await arrived('web-v1')) === first && (await arrived('web-v2')) > second;
    });
    const { ok, failed } = await load();
    assert.ok(ok - before.ok > (CHANGES * EVERY_MS * RATE) / 1000 / 2, `only ${ok - before.ok} requests meanwhile`);
    if (failed === 0) return;
    const losses = (await log('app')).split('\n').filter((line) => line.includes('"failed":"'));
    assert.fail(`${failed} requests failed:\n${losses.join('\n')}\nthe proxy says:\n${await log('linkerd-proxy')}`);
  });
});
