import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { Report } from '../apps/caller.ts';
import { formatDiagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import { clusterContextOf, clusterFindings } from '../../control-plane/findings/cluster-findings.ts';
import { BAD_OBJECTS, type BadObject } from '../harness/bad-objects.ts';
import { Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { askPod } from '../harness/pod-http.ts';
import { until } from '../harness/until.ts';

type Order = { readonly path: string; readonly count?: number; readonly rate?: number; readonly counter?: string } & {
  readonly headers?: Readonly<Record<string, string>>;
};

const HTTP_ROUTE = 'gateway.networking.k8s.io/v1';
const CONTEXT = clusterContextOf(defaultValues(VERSION));
/** How soon a change of configuration must act. */
const ACTS_MS = 5_000;

function routeYaml(name: string, rules: readonly object[], annotations: Readonly<Record<string, string>> = {}): string {
  return JSON.stringify({
    apiVersion: HTTP_ROUTE,
    kind: 'HTTPRoute',
    metadata: { name, namespace: 'depot', annotations },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web', port: 8080 }], rules },
  });
}

/** @param weights  of web-v1 and web-v2 */
function splitYaml(weights: readonly [number, number], more: readonly object[] = []): string {
  const backendRefs = [
    { name: 'web-v1', port: 8080, weight: weights[0] },
    { name: 'web-v2', port: 8080, weight: weights[1] },
  ];
  return routeYaml('split', [...more, { backendRefs }]);
}

describe('what objects say about requests, in a cluster', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasGatewayApi: true });
    await mesh.apply(namespaceYaml('depot', true));
    for (const name of ['web-v1', 'web-v2'])
      await mesh.apply(serviceYaml('depot', name, { args: ['flaky', name], replicas: 1, ports: [8080] }));
    const web = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'depot' } };
    const ports = [{ name: 'http', port: 8080 }];
    await mesh.apply(JSON.stringify({ ...web, spec: { selector: { app: 'web-v1' }, ports } }));
    await mesh.apply(serviceYaml('depot', 'trio', { args: ['flaky', 'trio'], replicas: 3, ports: [8080] }));
    await mesh.apply(podYaml('depot', 'caller', ['caller'], true));
    await mesh.ready('depot');
    await until('the caller', 60_000, async () => (await send({ path: 'web:8080/' })).statuses['200'] === 1);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const send = async ({ path, ...order }: Order): Promise<Report> =>
    (await askPod(mesh, 'depot', 'caller', 9902, { body: { url: `http://${path}`, ...order } })) as Report;
  const podsOf = async (app: string): Promise<readonly string[]> =>
    (await mesh.pods('depot', `app=${app}`)).map(({ metadata }) => metadata.name);
  /** What arrived at the pods of an app, by path. */
  const countsOf = async (app: string): Promise<Readonly<Record<string, number>>> => {
    const counts: Record<string, number> = {};
    for (const pod of await podsOf(app)) {
      const own = (await askPod(mesh, 'depot', pod, 9901, {})) as Readonly<Record<string, number>>;
      for (const [path, count] of Object.entries(own)) counts[path] = (counts[path] ?? 0) + count;
    }
    return counts;
  };

  describe('an HTTPRoute with retries and timeouts', () => {
    const name = '/apis/gateway.networking.k8s.io/v1/namespaces/depot/httproutes/patient';
    before(async () => {
      await mesh.apply(
        routeYaml('patient', [{ backendRefs: [{ name: 'web', port: 8080 }], timeouts: { request: '1s' } }], {
          'retry.linkerd.io/http': '5xx',
          'retry.linkerd.io/limit': '2',
        }),
      );
      await until('the route to act', ACTS_MS, async () => {
        const { statuses } = await send({ path: `web:8080/flaky/first-${Date.now()}` });
        return statuses['200'] === 1;
      });
    });
    after(() => mesh.remove(name));

    test('a backend that answers 503 twice and then 200 gives one 200 after three attempts', async () => {
      const report = await send({ path: 'web:8080/flaky/once' });
      assert.deepEqual(report.statuses, { 200: 1 });
      assert.equal((await countsOf('web-v1'))['/flaky/once'], 3);
    });

    test('a backend that always fails gets at most 1.2 times the load, few requests a second as they are', async () => {
      const { statuses } = await send({ path: 'web:8080/broken/few', count: 100, rate: 20 });
      assert.deepEqual(statuses, { 503: 100 });
      const arrived = (await countsOf('web-v1'))['/broken/few'] ?? 0;
      assert.ok(arrived > 100 && arrived <= 120, `${arrived} attempts for 100 requests`);
    });

    test('a request that takes too long is answered 504 at its time, with the reason', async () => {
      const { statuses, reasons, slowestMs } = await send({ path: 'web:8080/slow' });
      assert.deepEqual(statuses, { 504: 1 });
      assert.match(Object.keys(reasons).join(), /^request-timeout: .*1000 ms/);
      assert.ok(slowestMs >= 1_000 && slowestMs < 5_000, `${slowestMs} ms`);
    });
  });

  describe('a ServiceProfile', () => {
    const name = 'web.depot.svc.cluster.local';
    test('retries what it calls retryable, within its budget, and ends what takes too long', async () => {
      const route = (path: string, more: object): object => ({ name: path, condition: { pathRegex: path }, ...more });
      await mesh.apply(
        JSON.stringify({
          apiVersion: 'linkerd.io/v1alpha2',
          kind: 'ServiceProfile',
          metadata: { name, namespace: 'depot' },
          spec: {
            retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: '10s' },
            routes: [
              route('/flaky/.*', { isRetryable: true }),
              route('/broken/.*', { isRetryable: true }),
              route('/slow', { timeout: '700ms' }),
            ],
          },
        }),
      );
      await until('the profile to act', ACTS_MS, async () => {
        return (await send({ path: `web:8080/flaky/profile-${Date.now()}` })).statuses['200'] === 1;
      });
      const { statuses } = await send({ path: 'web:8080/broken/profile', count: 1000, rate: 200 });
      assert.deepEqual(statuses, { 503: 1000 });
      const arrived = (await countsOf('web-v1'))['/broken/profile'] ?? 0;
      assert.ok(arrived > 1000 && arrived <= 1200, `${arrived} attempts for 1000 requests`);
      const slow = await send({ path: 'web:8080/slow' });
      assert.deepEqual(slow.statuses, { 504: 1 });
      assert.match(Object.keys(slow.reasons).join(), /^request-timeout: .*700 ms/);
      await mesh.remove(`/apis/linkerd.io/v1alpha2/namespaces/depot/serviceprofiles/${name}`);
    });
  });

  describe('a split', () => {
    const total = 2_000;
    const shareOfV2 = async (): Promise<number> => {
      const { statuses, bodies } = await send({ path: 'web:8080/', count: total });
      assert.deepEqual(statuses, { 200: total });
      assert.equal((bodies['web-v1'] ?? 0) + (bodies['web-v2'] ?? 0), total);
      return bodies['web-v2'] ?? 0;
    };
    const isSplit = async (isExpected: (bodies: Report['bodies']) => boolean): Promise<void> => {
      await until('the change to act', ACTS_MS, async () =>
        isExpected((await send({ path: 'web:8080/', count: 100 })).bodies),
      );
    };

    test('90/10 by an HTTPRoute holds, and headers take the requests that they describe', async () => {
      const header = {
        matches: [{ headers: [{ name: 'x-version', value: '2' }] }],
        backendRefs: [{ name: 'web-v2', port: 8080 }],
      };
      await mesh.apply(splitYaml([90, 10], [header]));
      await isSplit((bodies) => (bodies['web-v2'] ?? 0) > 0);
      const share = await shareOfV2();
      assert.ok(Math.abs(share - 200) <= 54, `${share} of ${total}`);
      const { bodies } = await send({ path: 'web:8080/', count: 200, headers: { 'x-version': '2' } });
      assert.deepEqual(bodies, { 'web-v2': 200 });
    });

    test('changes act within 5 s and fail no request under load', async () => {
      const load = send({ path: 'web:8080/', count: 2_000, rate: 100 });
      const steps: readonly (readonly [readonly [number, number], string])[] = [
        [[0, 1], 'web-v2'],
        [[1, 0], 'web-v1'],
        [[0, 1], 'web-v2'],
      ];
      for (const [weights, name] of steps) {
        await mesh.apply(splitYaml(weights));
        await isSplit((bodies) => bodies[name] === 100);
      }
      await mesh.remove('/apis/gateway.networking.k8s.io/v1/namespaces/depot/httproutes/split');
      await isSplit((bodies) => bodies['web-v1'] === 100);
      assert.deepEqual((await load).statuses, { 200: 2_000 });
    });

    test('90/10 by a TrafficSplit holds, and a backend without a Service leaves its share to the other', async () => {
      const applySplit = (ninety: string, ten: string): Promise<void> =>
        mesh.apply(
          JSON.stringify({
            apiVersion: 'split.smi-spec.io/v1alpha2',
            kind: 'TrafficSplit',
            metadata: { name: 'web', namespace: 'depot' },
            spec: {
              service: 'web',
              backends: [
                { service: ninety, weight: 90 },
                { service: ten, weight: 10 },
              ],
            },
          }),
        );
      await applySplit('web-v1', 'web-v2');
      await isSplit((bodies) => (bodies['web-v2'] ?? 0) > 0);
      const share = await shareOfV2();
      assert.ok(Math.abs(share - 200) <= 54, `${share} of ${total}`);
      await applySplit('gone', 'web-v2');
      await isSplit((bodies) => bodies['web-v2'] === 100);
      assert.equal(await shareOfV2(), total);
      await mesh.remove('/apis/split.smi-spec.io/v1alpha2/namespaces/depot/trafficsplits/web');
    });
  });

  test('an HTTPRoute rewrites host and path, and copies requests to as many mirrors as it names', async () => {
    const mirrorOf = (name: string, more: object = {}): object => ({
      type: 'RequestMirror',
      requestMirror: { backendRef: { name, port: 8080 }, ...more },
    });
    const path = { type: 'ReplacePrefixMatch', replacePrefixMatch: '/rewritten' };
    const toV1 = [{ name: 'web-v1', port: 8080 }];
    await mesh.apply(
      routeYaml('filters', [
        {
          matches: [{ path: { type: 'PathPrefix', value: '/old' } }],
          filters: [{ type: 'URLRewrite', urlRewrite: { hostname: 'one.example.org', path } }],
          backendRefs: toV1,
        },
        {
          matches: [{ path: { type: 'PathPrefix', value: '/all' } }],
          filters: [mirrorOf('web-v2'), mirrorOf('trio')],
          backendRefs: toV1,
        },
        {
          matches: [{ path: { type: 'PathPrefix', value: '/half' } }],
          filters: [mirrorOf('web-v2', { fraction: { numerator: 25, denominator: 50 } })],
          backendRefs: toV1,
        },
        { backendRefs: toV1 },
      ]),
    );
    await until('the route to act', ACTS_MS, async () => {
      await send({ path: 'web:8080/old/first' });
      return ((await countsOf('web-v1'))['/rewritten/first'] ?? 0) > 0;
    });
    const refused = await clusterFindings(mesh.cluster, CONTEXT, 'depot');
    assert.deepEqual(
      refused.filter(({ name }) => name === 'filters'),
      [],
    );
    assert.deepEqual((await send({ path: 'web:8080/all/1', count: 50 })).bodies, { 'web-v1': 50 });
    assert.deepEqual((await send({ path: 'web:8080/half/1', count: 500 })).bodies, { 'web-v1': 500 });
    const copied = async (app: string, what: string): Promise<number> => (await countsOf(app))[what] ?? 0;
    await until('every copy', 10_000, async () => {
      const ofAll = [await copied('web-v2', '/all/1'), await copied('trio', '/all/1')];
      return ofAll.every((count) => count === 50) && (await copied('web-v2', '/half/1')) >= 250 - 56;
    });
    const half = await copied('web-v2', '/half/1');
    assert.ok(half <= 250 + 56, `${half} of 500 were copied`); // five standard deviations
    await mesh.remove('/apis/gateway.networking.k8s.io/v1/namespaces/depot/httproutes/filters');
  });

  test('each of many bad objects is refused or said to be bad, with field and reason, and nothing else is affected', async () => {
    const services = [
      { name: 'headless', spec: { clusterIP: 'None', ports: [{ port: 8080 }] } },
      { name: 'outside', spec: { type: 'ExternalName', externalName: 'example.com' } },
    ];
    for (const { name, spec } of services)
      await mesh.apply(
        JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'depot' }, spec }),
      );
    const toV2 = {
      matches: [{ headers: [{ name: 'x-version', value: '2' }] }],
      backendRefs: [{ name: 'web-v2', port: 8080 }],
    };
    await mesh.apply(routeYaml('good', [toV2, { backendRefs: [{ name: 'web-v1', port: 8080 }] }]));
    const shares = [
      { headers: {}, body: 'web-v1' },
      { headers: { 'x-version': '2' }, body: 'web-v2' },
    ];
    await until('the good route to act', ACTS_MS, async () => {
      return (await send({ path: 'web:8080/', count: 20, headers: { 'x-version': '2' } })).bodies['web-v2'] === 20;
    });
    let isOver = false;
    let last = ''; // of the bad objects
    const load = Promise.all(
      shares.map(async ({ headers, body }) => {
        for (let round = 1; ; round += 1) {
          const report = await send({ path: 'web:8080/', count: 50, rate: 50, headers });
          assert.deepEqual([report.statuses, report.bodies], [{ 200: 50 }, { [body]: 50 }], `round ${round}, ${last}`);
          if (isOver) return;
        }
      }),
    );
    const wrong: unknown[] = [];
    const judged = async (): Promise<void> => {
      for (const [index, bad] of BAD_OBJECTS.entries()) {
        last = JSON.stringify(bad);
        const said = await whatIsSaidOf(bad, `bad-${index}`);
        if (!bad.says.test(said)) wrong.push({ bad, said });
      }
    };
    await Promise.all([load, judged().finally(() => (isOver = true))]);
    assert.deepEqual(wrong, []);
    assert.ok(BAD_OBJECTS.length >= 50);
  });

  /** Why an object is refused; else what is found about it, in its status or by those who read it. */
  async function whatIsSaidOf({ object, metadata }: BadObject, name: string): Promise<string> {
    const whole = { ...object, metadata: { name, namespace: 'depot', ...metadata } };
    try {
      await mesh.apply(JSON.stringify(whole));
    } catch (error) {
      return String(error);
    }
    const said = await until(`a word about ${JSON.stringify(whole)}`, ACTS_MS, async () => {
      const found = await clusterFindings(mesh.cluster, CONTEXT, 'depot');
      const own = found.filter((finding) => finding.kind === object['kind'] && finding.name === whole.metadata.name);
      return own.length > 0 && own.map(formatDiagnosis).join('\n');
    });
    return said === false ? '' : said;
  }

  test('one of three endpoints that always fails gets no more than its probes, and returns when it has recovered', async () => {
    const accrual = 'balancer.linkerd.io/failure-accrual';
    await mesh.annotate('/api/v1/namespaces/depot/services/trio', {
      [accrual]: 'consecutive',
      [`${accrual}-consecutive-max-failures`]: '5',
      [`${accrual}-consecutive-min-penalty`]: '500ms',
      [`${accrual}-consecutive-max-penalty`]: '2s',
      [`${accrual}-consecutive-jitter-ratio`]: '0',
    });
    const [broken = ''] = await podsOf('trio');
    const arrived = async (): Promise<number> =>
      ((await askPod(mesh, 'depot', broken, 9901, {})) as Readonly<Record<string, number>>)['/'] ?? 0;
    await askPod(mesh, 'depot', broken, 9901, { path: '/broken', body: {} });
    await until('the endpoint to be taken out', 30_000, async () => {
      const { statuses } = await send({ path: 'trio:8080/', count: 200 });
      return (statuses['500'] ?? 0) <= 1;
    });
    const before = await arrived();
    const startedMs = performance.now();
    const { statuses } = await send({ path: 'trio:8080/', count: 600, rate: 200 });
    const probes = Math.ceil((performance.now() - startedMs) / 500) + 1;
    const during = (await arrived()) - before;
    assert.ok(during <= probes, `${during} requests, at most ${probes} probes`);
    assert.equal(statuses['500'] ?? 0, during, 'only probes fail');
    await askPod(mesh, 'depot', broken, 9901, { path: '/fine', body: {} });
    const recovered = await arrived();
    await until('the endpoint to return', 30_000, async () => {
      await send({ path: 'trio:8080/', count: 60 });
      return (await arrived()) - recovered > 60;
    });
    assert.deepEqual((await send({ path: 'trio:8080/', count: 300 })).statuses, { 200: 300 });
  });
});
