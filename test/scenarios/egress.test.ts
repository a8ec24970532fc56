// Connections that leave the cluster, and connections that routes divide, with the proxies of a whole cluster.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Outcomes } from '../apps/dialer.ts';
import { Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { askPod } from '../harness/pod-http.ts';
import { until } from '../harness/until.ts';

/** No address of the cluster: the node brings what goes there to a pod that the mesh does not know. */
const OUTSIDE = '203.0.113.7';
/** How soon a change of configuration must act. */
const ACTS_MS = 5_000;
const NETWORK = { group: 'policy.linkerd.io', kind: 'EgressNetwork', name: 'all' };

function networkYaml(namespace: string, trafficPolicy: string): string {
  const metadata = { name: NETWORK.name, namespace };
  return JSON.stringify({
    apiVersion: 'policy.linkerd.io/v1alpha1',
    kind: NETWORK.kind,
    metadata,
    spec: { trafficPolicy },
  });
}

function routeYaml(kind: string, namespace: string, spec: object): string {
  return JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind,
    metadata: { name: 'allowed', namespace },
    spec,
  });
}

describe('what leaves the cluster', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasGatewayApi: true });
    await mesh.apply(namespaceYaml('outside', false));
    await mesh.apply(serviceYaml('outside', 'host', { args: ['outside'], replicas: 1, ports: [8080, 8443, 9000] }));
    const ports = [
      { name: 'http', port: 80, targetPort: 8080 },
      { name: 'https', port: 443, targetPort: 8443 },
      { name: 'bytes', port: 7000, targetPort: 9000 },
    ];
    const external = { selector: { app: 'host' }, externalIPs: [OUTSIDE], ports };
    const metadata = { name: 'external', namespace: 'outside' };
    await mesh.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata, spec: external }));
    for (const namespace of ['shop', 'bank']) {
      await mesh.apply(namespaceYaml(namespace, true));
      await mesh.apply(podYaml(namespace, 'dialer', ['dialer'], true));
    }
    await mesh.apply(namespaceYaml('linkerd-egress', false));
    for (const name of ['one', 'two'])
      await mesh.apply(serviceYaml('shop', name, { args: ['outside', name], replicas: 1, ports: [9000] }));
    await mesh.ready('outside', 'shop');
    for (const namespace of ['shop', 'bank'])
      await until(
        `the dialer of ${namespace}`,
        60_000,
        async () => (await http(undefined, namespace))[`200 outside is ${OUTSIDE}`] === 1,
      );
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const dial = async (namespace: string, body: object): Promise<Outcomes> =>
    (await askPod(mesh, namespace, 'dialer', 9903, { body })) as Outcomes;
  const http = (name?: string, namespace = 'shop'): Promise<Outcomes> =>
    dial(namespace, { kind: 'http', address: OUTSIDE, port: 80, name });
  const tls = (name?: string, namespace = 'shop'): Promise<Outcomes> =>
    dial(namespace, { kind: 'tls', address: OUTSIDE, port: 443, name });
  const bytes = (namespace = 'shop'): Promise<Outcomes> =>
    dial(namespace, { kind: 'tcp', address: OUTSIDE, port: 7000 });
  const out = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = mesh.tulle(args);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const acts = (what: string, outcome: () => Promise<Outcomes>, wanted: string): Promise<void> =>
    until(what, ACTS_MS, async () => assert.deepEqual(await outcome(), { [wanted]: 1 }));
  const denial = (namespace: string): string =>
    `injected: EgressNetwork ${namespace}/all denies ${OUTSIDE}:80: to allow it, name the EgressNetwork as parent of an HTTPRoute or GRPCRoute`;
  const denied = (namespace: string): string => `403 ${denial(namespace)}`;

  test('without an EgressNetwork everything passes', async () => {
    assert.deepEqual(await http('a.test'), { '200 outside is a.test': 1 });
    assert.deepEqual(await tls('a.test'), { 'outside is a.test': 1 });
    assert.deepEqual(await bytes(), { outside: 1 });
    assert.match(
      out('routes', 'explain', '--from', 'shop', `${OUTSIDE}:80`, '--path', '/'),
      /decided by: +default:http\n/,
    );
  });

  test('one that denies lets through what routes allow, and answers or resets the rest', async () => {
    const hostnames = ['allowed.test'];
    const parentOf = (port: number): object => ({ parentRefs: [{ ...NETWORK, port }], hostnames });
    const rules = [{ backendRefs: [NETWORK] }];
    await mesh.apply(routeYaml('HTTPRoute', 'shop', { ...parentOf(80), rules }));
    await mesh.apply(routeYaml('TLSRoute', 'shop', { ...parentOf(443), rules }));
    await mesh.apply(networkYaml('shop', 'Deny'));
    await acts('the network', () => http('a.test'), denied('shop'));
    // Each port has a policy, and a moment at which it changes.
    await acts('the network for TLS', () => tls('a.test'), 'reset');
    await acts('the network for bytes', () => bytes(), 'reset');
    await acts('the HTTPRoute', () => http('allowed.test'), '200 outside is allowed.test');
    await acts('the TLSRoute', () => tls('allowed.test'), 'outside is allowed.test');
    for (const name of ['a.test', undefined]) assert.deepEqual(await tls(name), { reset: 1 });
    // Clients in other namespaces have nothing to do with it.
    assert.deepEqual(await http('a.test', 'bank'), { '200 outside is a.test': 1 });
    assert.deepEqual(await bytes('bank'), { outside: 1 });
  });

  test('what was denied is on record, and the objects that decide are named before anybody asks', async () => {
    const network = 'egressnetwork.policy.linkerd.io shop/all';
    const decisions = out('diagnostics', 'decisions', '-n', 'shop', 'pod/dialer', '-o', 'json')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { target: string; code: string; reason: string; decidedBy: string[] });
    const found = (port: number): readonly string[] => [
      ...new Set(
        decisions
          .filter(({ target }) => target === `${OUTSIDE}:${port}`)
          .map(({ code, reason }) => `${code}: ${reason}`),
      ),
    ];
    assert.deepEqual(found(80), [denial('shop')]);
    const nameless = 'go by the server name of TLS (SNI), and the client has shown none';
    for (const text of [
      `forbidden: ${network}:443 (default:tls-egress-deny) forbids it`,
      `no-route: the routes of ${network}:443 ${nameless}`,
    ])
      assert.ok(found(443).includes(text), `${text} is not among ${found(443).join(', ')}`);
    assert.deepEqual(found(7000), [`forbidden: ${network}:7000 (default:tcp-egress-deny) forbids it`]);

    const explain = (...args: readonly string[]): string => out('routes', 'explain', '--from', 'shop', ...args);
    assert.match(
      explain(`${OUTSIDE}:443`, '--server-name', 'allowed.test'),
      /decided by: +tlsroute\.gateway\.networking\.k8s\.io shop\/allowed\n/,
    );
    const other = explain(`${OUTSIDE}:443`, '--server-name', 'a.test');
    assert.match(
      other,
      new RegExp(`decided by: +${network}:443 \\(default:tls-egress-deny\\)\n +answer: +the connection is reset`),
    );
    assert.match(other, /Nothing is ignored/);
    assert.match(
      explain(`${OUTSIDE}:80`, '--authority', 'a.test'),
      new RegExp(
        `decided by: +${network}:80 \\(default:http-egress-deny\\)\n +answer: +403 by the proxy: EgressNetwork shop/all denies`,
      ),
    );
    assert.match(
      explain(`${OUTSIDE}:80`, '--authority', 'allowed.test'),
      /decided by: +httproute\.gateway\.networking\.k8s\.io shop\/allowed rule 0\n/,
    );
    const policy = out('diagnostics', 'policy', '-n', 'shop', OUTSIDE, '443');
    assert.match(policy, new RegExp(`Target: +${network}:443\nProtocol: +tls\n`));
    assert.match(policy, /shop\/allowed +allowed\.test +bytes[^]*default:tls-egress-deny +\* +bytes +forbidden/);
    assert.match(out('diagnostics', 'policy', '-n', 'bank', OUTSIDE, '443'), /Target: +default:egress-fallback/);
  });

  test('statuses say what became of the network and of its routes', async () => {
    const paths = [
      '/apis/policy.linkerd.io/v1alpha1/namespaces/shop/egressnetworks/all',
      '/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/allowed',
      '/apis/gateway.networking.k8s.io/v1/namespaces/shop/tlsroutes/allowed',
    ];
    await until('the statuses', 30_000, async () => {
      for (const path of paths) {
        const { status } = (await mesh.cluster.get(path)) as unknown as { status?: object };
        const text = JSON.stringify(status ?? {});
        assert.match(text, /"type":"Accepted","status":"True"/, path);
        assert.match(text, /"type":"tulle\.dev\/Effective","status":"True"/, path);
        assert.doesNotMatch(text, /"status":"False"/, path);
      }
    });
    // What can never work is refused, with the field.
    const portless = { parentRefs: [NETWORK], hostnames: ['b.test'], rules: [{ backendRefs: [NETWORK] }] };
    await assert.rejects(
      mesh.apply(routeYaml('TLSRoute', 'bank', portless)),
      /TLSRoute bank\/allowed can never work: TL0001 spec\.parentRefs\[0\]\.port: is missing/,
    );
    await assert.rejects(mesh.apply(networkYaml('bank', 'Perhaps')), /trafficPolicy/);
  });

  test('a global network counts where a namespace has none of its own', async () => {
    await mesh.apply(networkYaml('linkerd-egress', 'Deny'));
    await acts('the global network', () => http('a.test', 'bank'), denied('linkerd-egress'));
    await acts('the global network for bytes', () => bytes('bank'), 'reset');
    await mesh.apply(networkYaml('shop', 'Allow'));
    await acts('the own network', () => http('a.test'), '200 outside is a.test');
    await acts('the own network for bytes', () => bytes(), 'outside');
    // Services of the cluster have nothing to do with either.
    assert.deepEqual(await dial('bank', { kind: 'tcp', address: 'one.shop', port: 9000 }), { one: 1 });
  });

  test('without networks everything passes again', async () => {
    for (const namespace of ['shop', 'linkerd-egress'])
      await mesh.remove(`/apis/policy.linkerd.io/v1alpha1/namespaces/${namespace}/egressnetworks/all`);
    await acts('nothing', () => http('a.test', 'bank'), '200 outside is a.test');
    await acts('nothing for bytes', () => bytes('bank'), 'outside');
    await acts('nothing for TLS', () => tls('a.test'), 'outside is a.test');
  });

  test('a TCPRoute divides the connections of a Service between two others', async () => {
    const spec = {
      parentRefs: [{ group: '', kind: 'Service', name: 'one', port: 9000 }],
      rules: [
        {
          backendRefs: [
            { name: 'one', port: 9000, weight: 3 },
            { name: 'two', port: 9000, weight: 1 },
          ],
        },
      ],
    };
    await mesh.apply(routeYaml('TCPRoute', 'shop', spec));
    const count = async (): Promise<Outcomes> =>
      dial('shop', { kind: 'tcp', address: 'one.shop', port: 9000, count: 100 });
    await until('the route', ACTS_MS, async () => ((await count())['two'] ?? 0) > 0);
    const { one = 0, two = 0, ...rest } = await count();
    assert.deepEqual(rest, {});
    // 25 are expected; five standard deviations are 22.
    assert.ok(one + two === 100 && two > 3 && two < 47, `${two} of 100`);
    assert.match(
      out('routes', 'explain', '-n', 'shop', 'svc/one', '--path', '/'),
      /decided by: +tcproute\.gateway\.networking\.k8s\.io shop\/allowed\n/,
    );
    const only = { ...spec, rules: [{ backendRefs: [{ name: 'gone', port: 9000 }] }] };
    await mesh.apply(routeYaml('TCPRoute', 'shop', only));
    await until('the broken route', ACTS_MS, async () =>
      assert.deepEqual(await dial('shop', { kind: 'tcp', address: 'one.shop', port: 9000 }), { reset: 1 }),
    );
    await mesh.remove('/apis/gateway.networking.k8s.io/v1/namespaces/shop/tcproutes/allowed');
    await until('no route', ACTS_MS, async () =>
      assert.deepEqual(await dial('shop', { kind: 'tcp', address: 'one.shop', port: 9000, count: 5 }), { one: 5 }),
    );
  });
});
