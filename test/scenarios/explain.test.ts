import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const POLICIES = `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web-http, namespace: shop }
spec: { podSelector: { matchLabels: { app: web } }, port: 8080, proxyProtocol: HTTP/1 }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: clients, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: web-http }
  requiredAuthenticationRefs: [{ kind: ServiceAccount, name: client }]
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: split, namespace: shop }
spec:
  parentRefs: [{ group: core, kind: Service, name: web, port: 8080 }]
  rules:
    - matches: [{ path: { value: /api } }]
      timeouts: { request: 3s }
      backendRefs: [{ name: web, port: 8080, weight: 1 }, { name: gone, port: 80, weight: 1 }]
    - {}
---
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: { name: api.shop.svc.cluster.local, namespace: shop }
spec: { routes: [{ name: read, condition: { method: GET }, isRetryable: true, timeout: 300ms }] }
---
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: { name: halves, namespace: shop }
spec: { service: stock, backends: [{ service: web, weight: 1 }, { service: gone, weight: 1 }] }
`;

const ROUTE_OF_SERVER = `
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: of-server, namespace: shop }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: web-http }]
  hostnames: [web.test]
  rules: [{ matches: [{ path: { value: /api }, method: GET, headers: [{ name: X-User, value: anna }] }] }]
`;

const LIMIT = `
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: slowly, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: web-http }
  total: { requestsPerSecond: 100 }
  identity: { requestsPerSecond: 10 }
  overrides: [{ requestsPerSecond: 20, clientRefs: [{ kind: ServiceAccount, name: client }] }]
`;

describe('what a mesh says about itself', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install();
    await mesh.apply(namespaceYaml('shop', true));
    await mesh.apply(serviceYaml('shop', 'web', { args: ['server'], replicas: 2, ports: [8080] }));
    await mesh.apply(serviceYaml('shop', 'api', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.apply(serviceYaml('shop', 'stock', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.ready('shop');
    await mesh.apply(POLICIES);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const out = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = mesh.tulle(args);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const soon = (what: string, pattern: RegExp, ...args: readonly string[]): Promise<void> =>
    until(what, 30_000, async () => assert.match(out(...args), pattern));

  test('diagnostics endpoints: what proxies are given for a Service', async () => {
    const pods = (await mesh.pods('shop', 'app=web')).map(({ metadata }) => metadata.name).toSorted();
    const text = out('diagnostics', 'endpoints', 'web.shop.svc.cluster.local:8080');
    const [head = '', ...rows] = text.trimEnd().split('\n');
    assert.match(head, /^NAMESPACE {3}IP +PORT +POD +SERVICE$/);
    assert.deepEqual(rows.map((row) => row.split(/ +/)[3] ?? '').toSorted(), pods);
    assert.ok(
      rows.every((row) => /^shop +10\.42\.\d+\.\d+ +8080 .* web\.shop$/.test(row)),
      text,
    );
    const json = JSON.parse(
      out('dg', 'ep', 'web.shop.svc.cluster.local:8080', 'api.shop.svc.cluster.local:8080', '-o', 'json'),
    ) as object[];
    assert.equal(json.length, 3);
    assert.deepEqual(Object.keys(json[0] ?? {}), [
      'namespace',
      'ip',
      'port',
      'pod',
      'service',
      'weight',
      'http2',
      'labels',
    ]);
    assert.equal(mesh.tulle(['diagnostics', 'endpoints', 'web']).status, 2);
  });

  test('diagnostics endpoints: an authority that is wrong does not hide the others', () => {
    const ask = (...names: readonly string[]): ReturnType<typeof mesh.tulle> =>
      mesh.tulle(['diagnostics', 'endpoints', ...names]);
    const gone = 'gone.shop.svc.cluster.local:80';
    const noService = `tulle: ${gone}: there is no Service "gone" in namespace shop (\`kubectl -n shop get services\`)\n`;
    const alone = ask(gone);
    assert.deepEqual([alone.status, alone.stdout, alone.stderr], [1, '', noService]);
    const mixed = ask(
      'web.shop.svc.cluster.local:8080',
      gone,
      'example.com:80',
      'api.shop',
      'api.shop.svc.cluster.local:8080',
    );
    assert.equal(mixed.status, 1);
    assert.deepEqual(
      mixed.stdout
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((row) => row.split(/ +/).at(-1)),
      ['web.shop', 'web.shop', 'api.shop'],
    );
    assert.ok(mixed.stderr.includes(noService), mixed.stderr);
    assert.match(
      mixed.stderr,
      /^tulle: example\.com:80 is not the name of a Service: write NAME\.NAMESPACE\.svc\.cluster\.local:PORT$/m,
    );
    assert.match(mixed.stderr, /^tulle: "api\.shop" is not an authority: /m);
    const json = ask(gone, '-o', 'json');
    assert.deepEqual([json.status, json.stdout], [1, '[]\n']);
    const noPort = ask('web.shop.svc.cluster.local:80');
    assert.deepEqual([noPort.status, noPort.stdout], [1, '']);
    assert.equal(noPort.stderr, 'tulle: web.shop.svc.cluster.local:80: Service shop/web has no port 80: it has 8080\n');
  });

  test('diagnostics endpoints: why there are none', async () => {
    await mesh.apply(`
apiVersion: v1
kind: Service
metadata: { name: misspelt, namespace: shop }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: htp }] }
`);
    const { status, stdout, stderr } = mesh.tulle(['diagnostics', 'endpoints', 'misspelt.shop.svc.cluster.local:80']);
    assert.deepEqual([status, stdout], [0, 'No endpoints found.\n']);
    assert.match(
      stderr,
      /^Service shop\/misspelt has no endpoint on port 80: .*targetPort is "htp", and no pod of it /,
    );
  });

  test('diagnostics profile: of a Service with routes, and of a pod', async () => {
    await soon('the profile', /read +GET +300ms +true/, 'diagnostics', 'profile', 'api.shop.svc.cluster.local:8080');
    const text = out('diagnostics', 'profile', 'api.shop.svc.cluster.local:8080');
    assert.match(text, /Decider: +serviceprofile\.linkerd\.io shop\/api\.shop\.svc\.cluster\.local/);
    const [pod] = await mesh.pods('shop', 'app=web');
    const { podIP } = (pod?.['status'] ?? {}) as { podIP?: string };
    assert.match(
      out('diagnostics', 'profile', `${podIP}:8080`),
      new RegExp(`Endpoint: +${podIP}:8080 default\\.shop\\.serviceaccount`),
    );
  });

  test('diagnostics policy: who is let in, and where requests go', async () => {
    await soon(
      'the Server',
      /Server: +server\.policy\.linkerd\.io (?:shop\/)?web-http/,
      'diagnostics',
      'policy',
      '-n',
      'shop',
      'deploy/web',
      '8080',
    );
    const inbound = out('diagnostics', 'policy', '-n', 'shop', 'deploy/web', '8080');
    assert.match(
      inbound,
      /^\* +authorizationpolicy\.policy\.linkerd\.io (?:shop\/)?clients +client\.shop\.serviceaccount\.identity\.tulle\.cluster\.local$/m,
    );
    assert.match(
      out('diagnostics', 'policy', '-n', 'shop', 'deploy/web', '9999'),
      /Server: +default:all-unauthenticated/,
    );
    await soon('the route', /shop\/split/, 'diagnostics', 'policy', '-n', 'shop', 'svc/web', '8080');
    const outbound = out('diagnostics', 'policy', '-n', 'shop', 'svc/web', '8080');
    assert.match(
      outbound,
      /\/api\[\/\*\] .*service shop\/web:8080 50\.0%, service shop\/gone:80 50\.0% \(fails: Service shop\/gone not found\) +request=3000ms/,
    );
    const json = JSON.parse(out('diagnostics', 'policy', '-n', 'shop', 'svc/web', '8080', '-o', 'json')) as {
      protocol: { kind: string };
    };
    assert.equal(json.protocol.kind, 'detect');
    const split = mesh.tulle(['diagnostics', 'policy', '-n', 'shop', 'svc/stock', '8080']);
    assert.equal(split.status, 0, split.stderr);
    assert.match(
      split.stderr,
      /^trafficsplit\.split\.smi-spec\.io shop\/halves decides about requests, and the routes of this policy are not used: /,
    );
    assert.equal(mesh.tulle(['diagnostics', 'policy', '-n', 'shop', 'svc/web', '8080']).stderr, '');
    const missing = mesh.tulle(['diagnostics', 'policy', '-n', 'shop', 'svc/gone', '80']);
    assert.deepEqual([missing.status, missing.stdout], [1, '']);
    assert.match(missing.stderr, /Service shop\/gone not found/);
    assert.equal(mesh.tulle(['diagnostics', 'policy', '-n', 'shop', 'svc/web', 'http']).status, 2);
  });

  test('authz: who may talk to a workload, and the verdict about one client', async () => {
    await soon('the policy', /^\* +web-http +clients +8080 +client\.shop$/m, 'authz', '-n', 'shop', 'deploy/web');
    assert.match(
      out('authz', '-n', 'shop', 'deploy/web'),
      /^ROUTE +SERVER +AUTHORIZATION_POLICY +SERVER_AUTHORIZATION +PORT +CLIENTS\n/,
    );
    assert.match(
      out('authz', '-n', 'shop', 'deploy/web', '-o', 'wide'),
      /^\* +web-http +clients +8080 +client\.shop\.serviceaccount/m,
    );
    assert.match(
      out('authz', '-n', 'shop', 'deploy/web', '--as', 'client'),
      /^8080 +allowed +authorizationpolicy\.policy\.linkerd\.io (?:shop\/)?clients /m,
    );
    assert.match(
      out('authz', '-n', 'shop', 'deploy/web', '--as', 'client.other'),
      /^8080 +denied +server\.policy\.linkerd\.io (?:shop\/)?web-http /m,
    );
    assert.match(out('authz', '-n', 'shop', 'deploy/web', '--as', 'unmeshed'), /^8080 +denied .*no mesh TLS/m);
    assert.equal(mesh.tulle(['authz', '-n', 'shop', 'deploy/web', '--address', '10.0.0.1']).status, 2);
    assert.equal(mesh.tulle(['authz', '-n', 'shop', 'deploy/web', '--path', '/a']).status, 2);
    const asClient = ['authz', '-n', 'shop', 'deploy/web', '--as', 'client'] as const;
    assert.equal(mesh.tulle([...asClient, '-H', 'x']).status, 2);
    await mesh.apply(ROUTE_OF_SERVER);
    await soon('the route', /^8080 +denied .*no route matches/m, ...asClient, '--path', '/other');
    const routed = out('authz', '-n', 'shop', 'deploy/web');
    assert.match(routed, /^\S+ shop\/of-server +web-http +clients +8080 +client\.shop$/m);
    assert.match(routed, /^none +web-http +8080 +nobody$/m);
    const getting = [...asClient, '--path', '/api/x?a=b', '--authority', 'web.test:80'] as const;
    assert.match(out(...getting, '-H', 'x-user: anna'), /^8080 +allowed /m);
    assert.match(out(...getting), /^8080 +denied /m);
    assert.match(out(...getting, '-H', 'x-user: anna', '--method', 'post'), /^8080 +denied /m);
    await mesh.remove('/apis/policy.linkerd.io/v1beta3/namespaces/shop/httproutes/of-server');
    await soon('the policy without the route', /^8080 +allowed /m, ...getting);
  });

  test('authz: a client is where a pod with its account is', async () => {
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'client', namespace: 'shop' } };
    const pod = JSON.parse(podYaml('shop', 'caller', ['server'], false)) as { spec: object };
    await mesh.apply(
      `${JSON.stringify(account)}\n---\n${JSON.stringify({ ...pod, spec: { ...pod.spec, serviceAccountName: 'client' } })}`,
    );
    const addressOf = async (path: string): Promise<string> => {
      const { podIP = '' } = ((await mesh.cluster.get(path))['status'] ?? {}) as { podIP?: string };
      return podIP;
    };
    const caller = '/api/v1/namespaces/shop/pods/caller';
    await until('the address of the caller', 60_000, async () => (await addressOf(caller)) !== '');
    const authz = (...args: readonly string[]): string => out('authz', '-n', 'shop', 'deploy/web', '--as', ...args);
    const identity = 'client.shop.serviceaccount.identity.tulle.cluster.local';
    const known = `Client:    ${identity} at ${await addressOf(caller)} (pod shop/caller)\n`;
    for (const name of ['client', 'client.shop', identity]) assert.ok(authz(name).startsWith(known), authz(name));
    assert.ok(authz('client', '--address', '192.0.2.1').startsWith(`Client:    ${identity} at 192.0.2.1\n`));
    const [json] = JSON.parse(authz('client', '-o', 'json')) as { client: object }[];
    assert.deepEqual(json?.client, {
      address: await addressOf(caller),
      tls: { kind: 'mesh', identity },
      pod: 'shop/caller',
    });
    const stranger = mesh.tulle(['authz', '-n', 'shop', 'deploy/web', '--as', 'clientt']);
    assert.match(
      stranger.stdout,
      /^Client: .* at \S+, the address of the workload itself, for any pod of the cluster: /,
    );
    assert.match(stranger.stderr, /^there is no service account "clientt" in namespace shop: /);
    assert.equal(mesh.tulle(['authz', '-n', 'shop', 'deploy/web', '--as', 'a.b.c']).status, 2);
  });

  test('authz: where connections lead past the proxy everybody gets in, and the Server says that it has no effect', async () => {
    const annotations = { 'linkerd.io/inject': 'enabled', 'config.linkerd.io/skip-inbound-ports': '8080-8090' };
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'past', annotations } };
    const server = {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'Server',
      metadata: { name: 'locked', namespace: 'past' },
      spec: { podSelector: { matchLabels: { app: 'web' } }, port: 8080 },
    };
    await mesh.apply(`${JSON.stringify(namespace)}\n---\n${JSON.stringify(server)}`);
    await mesh.apply(serviceYaml('past', 'web', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.ready('past');
    const past = ['-n', 'past', 'deploy/web'] as const;
    await soon('the Server', /^\* +locked +8080 +everybody: connections lead past the proxy /m, 'authz', ...past);
    const stranger = mesh.tulle(['authz', ...past, '--as', 'unmeshed']);
    assert.match(stranger.stdout, /^8080 +allowed +- +nothing is enforced: connections lead past the proxy /m);
    assert.match(stranger.stderr, /^deploy\/web, port 8080: no policy is enforced: /m);
    const policy = mesh.tulle(['diagnostics', 'policy', ...past, '8080']);
    assert.match(policy.stderr, /^nothing of this is enforced, everybody gets in: connections lead past the proxy /m);
    await until('what the Server says', 30_000, async () => {
      const path = '/apis/policy.linkerd.io/v1beta3/namespaces/past/servers/locked';
      return JSON.stringify((await mesh.cluster.get(path))['status'] ?? {}).includes('TL0505');
    });
  });

  test('authz: how many requests a rate limit leaves to whom', async () => {
    await mesh.apply(LIMIT);
    const limit = 'httplocalratelimitpolicy\\.policy\\.linkerd\\.io shop/slowly';
    const all = '100 of all clients together';
    const each = `${all}, 10 of each client, 20 of client\\.shop\\.serviceaccount\\.identity\\.tulle\\.cluster\\.local`;
    const authz = ['authz', '-n', 'shop', 'deploy/web'];
    await soon('the limit', new RegExp(`^8080 +${limit} +${each}$`, 'm'), ...authz);
    assert.match(
      out(...authz, '--as', 'client'),
      new RegExp(`^8080 +allowed .* 20 of this client, ${all} \\(${limit}\\) `, 'm'),
    );
    assert.match(
      out('diagnostics', 'policy', '-n', 'shop', 'deploy/web', '8080'),
      new RegExp(`^Limit: +${each} per second \\(${limit}\\)$`, 'm'),
    );
    await mesh.remove('/apis/policy.linkerd.io/v1alpha1/namespaces/shop/httplocalratelimitpolicies/slowly');
  });

  test('routes explain: the rule that decides about a request, and what is ignored', () => {
    const explain = (...args: readonly string[]): string => out('routes', 'explain', '-n', 'shop', ...args);
    const text = explain('svc/web:8080', '--path', '/api/x', '-H', 'a:b');
    assert.match(text, /GET web\.shop\/api\/x\n {2}decided by: +httproute\.policy\.linkerd\.io shop\/split rule 0\n/);
    assert.match(
      text,
      /backends: +service shop\/web:8080 50\.0%, service shop\/gone:80 50\.0% \(fails: Service shop\/gone not found\)/,
    );
    assert.match(text, /TL0103 httproute\.policy\.linkerd\.io shop\/split: spec\.rules\[0\]\.backendRefs\[1\]/);
    assert.match(explain('svc/web', '--path', '/other'), /decided by: +.* shop\/split rule 1\n/);
    const profile = explain('svc/api', '--method', 'get');
    assert.match(profile, /Decider: +serviceprofile\.linkerd\.io shop\/api\.shop\.svc\.cluster\.local/);
    assert.match(profile, /decided by: +serviceprofile.* rule 0\n[^]*timeouts: +request=300ms\n[^]*Nothing is ignored/);
    const split = explain('svc/stock', '--path', '/');
    const shares =
      /service shop\/web:8080 100\.0%, service shop\/gone:8080 0\.0% \(gets nothing: Service shop\/gone does not exist\)/;
    assert.match(split, new RegExp(`Targets: +${shares.source}\n`));
    assert.match(split, new RegExp(`backends: +${shares.source}\n`));
    assert.match(split, /TL0404 .*spec\.backends\[1\]\.service: .* share of 50 % goes to the others\n/);
    const missing = mesh.tulle(['routes', 'explain', '-n', 'shop', 'svc/web:1']);
    assert.match(missing.stderr, /Service shop\/web has no port 1: it has 8080/);
    assert.equal(mesh.tulle(['routes', 'explain', 'web']).status, 2);
    const nowhere = mesh.tulle(['routes', 'explain', '-n', 'shop', 'svc/web', '--from', 'shpo']);
    assert.deepEqual([nowhere.status, nowhere.stdout], [2, '']);
    assert.match(nowhere.stderr, /--from is "shpo", and there is no such namespace: did you mean shop\?/);
  });
});
