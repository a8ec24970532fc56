import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

type Answer = {
  readonly http: string;
  readonly tcp: string;
  readonly held: string;
  readonly tunnel: string;
  readonly post?: string;
};

/** Those who are let in come first: a Server without them would cut their connections for a moment. */
const POLICIES = `
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: tellers, namespace: bank }
spec: { identityRefs: [{ kind: ServiceAccount, name: teller }] }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: tellers-only, namespace: bank }
spec:
  targetRef: { kind: Namespace, name: bank }
  requiredAuthenticationRefs: [{ group: policy.linkerd.io, kind: MeshTLSAuthentication, name: tellers }]
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: vault-http, namespace: bank }
spec: { podSelector: { matchLabels: { app: vault } }, port: http, proxyProtocol: HTTP/1 }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: vault-echo, namespace: bank }
spec: { podSelector: { matchLabels: { app: vault } }, port: 9000, proxyProtocol: opaque }
`;
/** Everybody may read below /public, tellers may post there; nothing else is known. */
const ROUTES = `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: tellers-echo, namespace: bank }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: vault-echo }
  requiredAuthenticationRefs: [{ kind: ServiceAccount, name: teller }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: everybody-reads, namespace: bank }
spec:
  targetRef: { group: policy.linkerd.io, kind: HTTPRoute, name: public }
  requiredAuthenticationRefs: []
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: tellers-post, namespace: bank }
spec:
  targetRef: { group: policy.linkerd.io, kind: HTTPRoute, name: deposit }
  requiredAuthenticationRefs: [{ kind: ServiceAccount, name: teller }]
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: public, namespace: bank }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: vault-http }]
  rules: [{ matches: [{ path: { value: /public }, method: GET }] }]
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: deposit, namespace: bank }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: vault-http }]
  rules: [{ matches: [{ path: { value: /public }, method: POST }] }]
`;
/** @param more  of its spec */
function limitYaml(more: string): string {
  return `
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: slowly, namespace: bank }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: vault-http }
  identity: { requestsPerSecond: 1 }
  total: { requestsPerSecond: 1000 }
  ${more}
`;
}

const ALLOWED: Answer = { http: '200', tcp: 'echo', held: 'open', tunnel: 'open' };

/** A server whose kubelet probes are HTTP requests. */
function vaultYaml(): string {
  const [, service = '', deployment = ''] = serviceYaml('bank', 'vault', {
    args: ['server'],
    replicas: 1,
    ports: [8080, 9000],
  }).split('---\n');
  const object = JSON.parse(deployment) as {
    spec: { template: { spec: { containers: Record<string, unknown>[] } } };
  };
  const probe = { httpGet: { port: 'http', path: '/status/200' }, periodSeconds: 1, failureThreshold: 2 };
  Object.assign(object.spec.template.spec.containers[0] ?? {}, {
    ports: [{ name: 'http', containerPort: 8080 }, { containerPort: 9000 }],
    readinessProbe: probe,
    livenessProbe: probe,
  });
  return `${service}---\n${JSON.stringify(object)}\n`;
}

/** A server of gRPC whose kubelet probes are calls; a Server of its own lets nobody in whom the namespace does not. */
function ledgerYaml(): string {
  const probe = { grpc: { port: 50_051 }, periodSeconds: 1, failureThreshold: 2 };
  const labels = { app: 'ledger' };
  const container = {
    name: 'app',
    image: 'tulle.dev/test:0.1.0',
    args: ['grpc-server', '50051'],
    ports: [{ containerPort: 50_051 }],
    readinessProbe: probe,
    livenessProbe: { ...probe, initialDelaySeconds: 5 },
  };
  const objects = [
    {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'Server',
      metadata: { name: 'ledger', namespace: 'bank' },
      spec: { podSelector: { matchLabels: labels }, port: 50_051, proxyProtocol: 'gRPC' },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'ledger', namespace: 'bank' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container] } },
      },
    },
  ];
  return objects.map((object) => JSON.stringify(object)).join('\n---\n');
}

const LEDGER_ROUTE = `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: entries, namespace: bank }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: ledger }]
  rules: [{ matches: [{ method: { service: shop.Echo } }] }]
`;

function clientYaml(name: string, isMeshed: boolean): string {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'bank' } };
  return `${JSON.stringify(account)}\n---\n${askYaml(name, name, isMeshed, ['http://vault.bank:8080/', 'vault.bank:9000'])}`;
}

function askYaml(name: string, serviceAccountName: string, isMeshed: boolean, args: readonly string[]): string {
  const pod = JSON.parse(podYaml('bank', name, ['ask', ...args], isMeshed)) as { spec: object };
  return `${JSON.stringify({ ...pod, spec: { ...pod.spec, serviceAccountName } })}\n`;
}

describe('authorization in a cluster', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasGatewayApi: true });
    await mesh.apply(namespaceYaml('bank', true));
    await mesh.apply(vaultYaml());
    await mesh.ready('bank');
    for (const [name, isMeshed] of [
      ['teller', true],
      ['stranger', true],
      ['plain', false],
    ] as const)
      await mesh.apply(clientYaml(name, isMeshed));
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const answer = async (client: string): Promise<Answer> =>
    JSON.parse((await mesh.logs('bank', client, 'app')).trimEnd().split('\n').at(-1) ?? '') as Answer;
  const expectSoon = async (what: string, client: string, isExpected: (answer: Answer) => boolean): Promise<void> => {
    await until(`${what}: ${client}`, 30_000, async () => {
      const last = await answer(client);
      if (!isExpected(last)) throw new Error(JSON.stringify(last));
    });
  };
  const isSame = (expected: Answer) => (last: Answer) => JSON.stringify(last) === JSON.stringify(expected);

  test('without policy objects everybody gets in', async () => {
    for (const client of ['teller', 'stranger', 'plain']) await expectSoon('an answer', client, isSame(ALLOWED));
  });

  test('policy objects let in whom they name; others learn which object denied, and lose their connections', async () => {
    await mesh.apply(POLICIES);
    const isDenied = ({ http, tcp, held, tunnel }: Answer): boolean =>
      /^403 unauthorized: server\.policy\.linkerd\.io vault-http denies the request: no authorization lets .* in$/.test(
        http,
      ) &&
      tcp === 'closed' &&
      held === 'cut' &&
      tunnel === 'cut';
    await expectSoon('denied with a reason', 'stranger', isDenied);
    await expectSoon('denied with a reason', 'plain', isDenied);
    assert.match((await answer('stranger')).http, /stranger\.bank\.serviceaccount\.identity\.tulle\.cluster\.local/);
    assert.match((await answer('plain')).http, /no mesh TLS/);
    await expectSoon('still allowed', 'teller', isSame(ALLOWED));
  });

  test('the proxy logs and counts what it denied, by the objects that decided', async () => {
    const [pod] = await mesh.pods('bank', 'app=vault');
    const name = pod?.metadata.name ?? '';
    const log = await mesh.logs('bank', name, 'linkerd-proxy');
    assert.match(log, /server\.policy\.linkerd\.io vault-http denies the request/);
    assert.match(log, /server\.policy\.linkerd\.io vault-echo denies the connection/);
    const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'bank', `pod/${name}`]);
    const series = (family: string, ...labels: readonly string[]): boolean =>
      stdout.split('\n').some((line) => line.startsWith(`${family}{`) && labels.every((label) => line.includes(label)));
    const isTeller = 'authz_name="tellers-only"';
    assert.ok(series('inbound_http_authz_deny_total', 'srv_kind="server"', 'srv_name="vault-http"'), stdout);
    assert.ok(series('inbound_http_authz_allow_total', 'srv_name="vault-http"', isTeller));
    assert.ok(series('inbound_tcp_authz_deny_total', 'srv_name="vault-echo"'));
    for (const server of ['vault-echo', 'vault-http'])
      assert.ok(series('inbound_tcp_authz_terminate_total', `srv_name="${server}"`), stdout);
    assert.ok(series('inbound_tcp_authz_allow_total', 'srv_name="vault-echo"', isTeller));
  });

  test('`tulle diagnostics decisions` says who was denied what, and by which object', async () => {
    const show = (...args: readonly string[]): string =>
      mesh.tulle(['diagnostics', 'decisions', '-n', 'bank', 'deploy/vault', '--code', 'unauthorized', ...args]).stdout;
    const table = show('--since', '1h', '--limit', '1000');
    assert.match(table, /^TIME +POD +SIDE +CLIENT +REQUEST +CODE +STATUS +REASON\n/);
    assert.match(
      table,
      / in +stranger\.bank +GET vault\.bank:8080\/\S* +unauthorized +403 +server\.policy\.linkerd\.io vault-http/,
    );
    assert.match(
      table,
      / in +stranger\.bank +10\.\d+\.\d+\.\d+:9000 +unauthorized +- +server\.policy\.linkerd\.io vault-echo denies/,
    );
    assert.match(table, / in +stranger\.bank +10\.\d+\.\d+\.\d+:9000 .* vault-echo denies the open connection: /);
    assert.match(
      table,
      / in +stranger\.bank +GET vault\.bank:8080\/public .* vault-http denies the tunnel of the request/,
    );
    const [line = ''] = show('-o', 'json', '--limit', '1').split('\n');
    assert.equal((JSON.parse(line) as { code: string }).code, 'unauthorized');
  });

  test('probes of the kubelet go on', async () => {
    const [pod] = await mesh.pods('bank', 'app=vault');
    const { containerStatuses = [] } = (pod?.['status'] ?? {}) as {
      containerStatuses?: readonly { name: string; ready: boolean; restartCount: number }[];
    };
    const app = containerStatuses.find(({ name }) => name === 'app');
    assert.deepEqual({ ready: app?.ready, restarts: app?.restartCount }, { ready: true, restarts: 0 });
    await until('probes that the proxy let in', 20_000, () => {
      const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'bank', `pod/${pod?.metadata.name}`]);
      const counted = stdout
        .split('\n')
        .filter((line) => line.startsWith('inbound_http_authz_allow_total{'))
        .find((line) => line.includes('srv_name="vault-http"') && line.includes('authz_name="probe"'));
      return Number(counted?.split(' ').at(-1) ?? 0) >= 4;
    });
  });

  test('probes by gRPC go on where nobody is let in, also beside routes of gRPC', async () => {
    await mesh.apply(ledgerYaml());
    await mesh.ready('bank');
    const count = (route: string): number => {
      const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'bank', 'deploy/ledger']);
      const counted = stdout
        .split('\n')
        .filter((line) => line.startsWith('inbound_http_authz_allow_total{') && line.includes('srv_name="ledger"'))
        .find((line) => line.includes(`route_name="${route}"`) && line.includes('authz_name="probe"'));
      return Number(counted?.split(' ').at(-1) ?? 0);
    };
    await until('probes', 20_000, () => count('probe') >= 3);
    await mesh.apply(LEDGER_ROUTE);
    await until('the status of the route', 20_000, async () => {
      const path = '/apis/gateway.networking.k8s.io/v1/namespaces/bank/grpcroutes/entries';
      const { status } = (await mesh.cluster.get(path)) as { status?: { parents?: readonly object[] } };
      return JSON.stringify(status?.parents ?? []).includes('attached to Server bank/ledger');
    });
    const before = count('probe');
    await until('more probes', 20_000, () => count('probe') >= before + 3);
    const [pod] = await mesh.pods('bank', 'app=ledger');
    const { containerStatuses = [] } = (pod?.['status'] ?? {}) as {
      containerStatuses?: readonly { name: string; ready: boolean; restartCount: number }[];
    };
    const app = containerStatuses.find(({ name }) => name === 'app');
    assert.deepEqual({ ready: app?.ready, restarts: app?.restartCount }, { ready: true, restarts: 0 });
  });

  test('an object that can never work is refused with the field, and changes nothing', async () => {
    const bad = POLICIES.split('---\n')
      .find((document) => document.includes('name: vault-http'))
      ?.replace('HTTP/1', 'HTTP/9');
    await assert.rejects(
      mesh.apply(bad ?? ''),
      /Server bank\/vault-http can never work: TL0001 spec\.proxyProtocol: "HTTP\/9"/,
    );
    await expectSoon('still allowed', 'teller', isSame(ALLOWED));
    assert.match((await answer('stranger')).http, /^403 /);
  });

  test('requests above a limit are answered 429 with the policy that limits, its status says that it acts, and overrides help', async () => {
    await mesh.apply(limitYaml(''));
    const limited =
      /^429 rate-limited: httplocalratelimitpolicy\.policy\.linkerd\.io bank\/slowly allows 1 requests per second of this client$/;
    await expectSoon('limited with the policy', 'teller', ({ http }) => limited.test(http));
    await expectSoon('one of several passes', 'teller', isSame(ALLOWED));
    const path = '/apis/policy.linkerd.io/v1alpha1/namespaces/bank/httplocalratelimitpolicies/slowly';
    await until('a status', 20_000, async () => {
      const { status } = (await mesh.cluster.get(path)) as {
        status?: { conditions?: readonly { type: string; status: string; message: string }[] };
      };
      const [condition] = status?.conditions ?? [];
      return condition?.status === 'True' && condition.message === 'in effect on Server bank/vault-http';
    });
    const [pod] = await mesh.pods('bank', 'app=vault');
    const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'bank', `pod/${pod?.metadata.name}`]);
    assert.match(
      stdout,
      /inbound_http_local_ratelimit_total\{[^}]*srv_name="vault-http"[^}]*ratelimit_name="slowly",ratelimit_scope="identity"\} [1-9]/,
    );
    const lines = async (): Promise<readonly string[]> =>
      (await mesh.logs('bank', 'teller', 'app')).trimEnd().split('\n');
    await mesh.apply(
      limitYaml('overrides: [{ requestsPerSecond: 100, clientRefs: [{ kind: ServiceAccount, name: teller }] }]'),
    );
    await until('eight answers without a limit', 30_000, async () =>
      (await lines()).slice(-8).every((line) => isSame(ALLOWED)(JSON.parse(line) as Answer)),
    );
    await mesh.remove(path);
  });

  test('routes of a Server have clients of their own, other requests have none, and probes go on', async () => {
    const url = 'http://vault.bank:8080/public';
    const names = ['teller', 'stranger', 'plain'] as const;
    for (const name of names)
      await mesh.apply(askYaml(`${name}-posts`, name, name !== 'plain', [url, 'vault.bank:9000', url]));
    await mesh.apply(ROUTES);
    await mesh.remove('/apis/policy.linkerd.io/v1alpha1/namespaces/bank/authorizationpolicies/tellers-only');
    await expectSoon('reads and posts', 'teller-posts', ({ http, post }) => http === '200' && post === '200');
    const denied =
      /^403 unauthorized: server\.policy\.linkerd\.io vault-http denies the request of httproute\.policy\.linkerd\.io bank\/deposit: no authorization lets .* in$/;
    for (const client of ['stranger-posts', 'plain-posts'])
      await expectSoon('only reads', client, ({ http, post }) => http === '200' && denied.test(post ?? ''));
    assert.match((await answer('stranger-posts')).post ?? '', /stranger\.bank\.serviceaccount\./);
    const unknown =
      /^404 no-route: server\.policy\.linkerd\.io vault-http denies the request: no route matches the request$/;
    for (const client of names) await expectSoon('another path', client, ({ http }) => unknown.test(http));
    await until('the status of both routes', 20_000, async () => {
      const routes = '/apis/policy.linkerd.io/v1beta3/namespaces/bank/httproutes';
      const all = await Promise.all(['public', 'deposit'].map((name) => mesh.cluster.get(`${routes}/${name}`)));
      return all.every(({ status }) => {
        const { parents = [] } = (status ?? {}) as {
          parents?: readonly { conditions: readonly { status: string; message: string }[] }[];
        };
        const [accepted] = parents[0]?.conditions ?? [];
        return accepted?.status === 'True' && accepted.message === 'attached to Server bank/vault-http';
      });
    });
    const [pod] = await mesh.pods('bank', 'app=vault');
    const probes = (): number => {
      const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'bank', `pod/${pod?.metadata.name}`]);
      const lines = stdout.split('\n').filter((line) => line.startsWith('inbound_http_authz_allow_total{'));
      assert.ok(
        lines.some((line) => line.includes('route_name="public"') && line.includes('authz_name="everybody-reads"')),
        stdout,
      );
      const counted = lines
        .filter((line) => line.includes('srv_name="vault-http"'))
        .find((line) => line.includes('route_name="probe"'));
      return Number(counted?.split(' ').at(-1) ?? 0);
    };
    const before = probes();
    await until('more probes', 20_000, () => probes() >= before + 3);
    const bad = ROUTES.split('---\n').at(-1)?.replace('name: vault-http', 'name: vault-http, port: 8080');
    await assert.rejects(
      mesh.apply(bad ?? ''),
      /HTTPRoute bank\/deposit can never work: TL0001 spec\.parentRefs\[0\]\.port: a Server is of one port already/,
    );
  });

  test('without the Servers everybody gets in again', async () => {
    const servers = '/apis/policy.linkerd.io/v1beta3/namespaces/bank/servers';
    await mesh.remove(`${servers}/vault-http`);
    await mesh.remove(`${servers}/vault-echo`);
    for (const client of ['stranger', 'plain'])
      await expectSoon('allowed again', client, ({ http, tcp }) => http === '200' && tcp === 'echo');
    await expectSoon('never cut', 'teller', isSame(ALLOWED));
  });
});
