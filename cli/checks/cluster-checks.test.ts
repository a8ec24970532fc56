import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { applyAll } from '../../sandbox/demo/apply.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import { overlay } from '#config/overlay.ts';
import { defaultValues, TINY } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { createServingCertificate } from '../../injector/serving-certificate.ts';
import { connect, type Cluster } from '../cluster.ts';
import { tulle, type Outcome } from '../testing.ts';

const DAY_MS = 86_400_000;

type Answer = {
  readonly success: boolean;
  readonly categories: readonly {
    readonly categoryName: string;
    readonly checks: readonly { description: string; result: string; error?: string; hint?: string }[];
  }[];
};

describe('tulle check against an API server', () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
  });
  after(async () => {
    cluster?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const check = (...flags: string[]): Promise<Outcome> =>
    tulle(['check', '--kubeconfig', server.kubeconfigPath, '--wait', '0', ...flags]);
  /** What is not well: `description: error`. */
  async function findings(...flags: string[]): Promise<readonly string[]> {
    const { out } = await check('-o', 'json', ...flags);
    return (JSON.parse(out) as Answer).categories.flatMap(({ checks }) =>
      checks
        .filter(({ result }) => result !== 'success')
        .map((one) => `${one.result}: ${one.description}: ${one.error}`),
    );
  }
  const merge = (path: string, body: unknown): Promise<unknown> =>
    cluster.request('PATCH', path, body, 'application/merge-patch+json');
  const setReady = (name: string, readyReplicas: number): Promise<unknown> =>
    merge(`/apis/apps/v1/namespaces/tulle/deployments/${name}/status`, { status: { readyReplicas } });

  test('--pre succeeds on an empty cluster', async () => {
    const { code, out, err } = await check('--pre');
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^kubernetes-api\n-{14}\n√ can query the Kubernetes API\n\nkubernetes-version\n/);
    assert.match(out, /\n√ can create deployments\n\nStatus check results are √\n$/);
    assert.match((await check('--pre', '--linkerd-cni-enabled')).out, /\n√ can create daemonsets\n/);
  });

  test('without an installation the first missing thing ends the check and says how to install', async () => {
    const { code, out } = await check();
    assert.equal(code, 1);
    assert.ok(
      out.endsWith(
        [
          'tulle-existence',
          '---------------',
          '× control plane namespace exists',
          '    namespaces/tulle does not exist',
          '    hint: Tulle is not installed: `tulle install | kubectl apply -f -`; if it has another namespace, name that with -L',
          '',
          'Status check results are ×',
          '',
        ].join('\n'),
      ),
      out,
    );
    const short = await check('-o', 'short');
    assert.match(short.out, /^tulle-existence\n-{15}\n× control plane namespace exists\n/);
  });

  test("colours are the terminal's choice", async () => {
    const coloured = await tulle(['check', '--kubeconfig', server.kubeconfigPath, '--wait', '0'], '', true);
    assert.ok(coloured.out.includes('\u001b[32;1m√\u001b[0m can query'));
    assert.ok(coloured.out.includes('\u001b[31;1m×\u001b[0m control plane namespace'));
  });

  test('an installation that is not ready is waited for, and then says which deployment', async () => {
    await applyAll(cluster, renderInstall(defaultValues(VERSION)));
    const { code, out, err } = await check('--wait', '600ms');
    assert.equal(code, 1);
    assert.equal(
      err,
      'waiting up to 600ms: control plane deployment tulle-identity is ready (0 of 1 pods are ready)\n',
    );
    assert.match(
      out,
      /× control plane deployment tulle-identity is ready\n {4}0 of 1 pods are ready\n {4}hint: `kubectl -n tulle describe deploy\/tulle-identity`/,
    );
    const scale = (replicas: number): Promise<unknown> =>
      merge('/apis/apps/v1/namespaces/tulle/deployments/tulle-identity', { spec: { replicas } });
    await scale(0);
    assert.match(
      (await check()).out,
      /is ready\n {4}deployment tulle-identity is scaled to 0, so it has no pods\n {4}hint: `kubectl -n tulle scale deploy\/tulle-identity --replicas=1`\n/,
    );
    await scale(1);
    assert.match(
      (await findings('--pre')).join('\n'),
      /error: control plane namespace does not already exist: .*"tulle" exists/,
    );
  });

  test('what the processes have not written yet is told with who writes it', async () => {
    for (const name of ['tulle-identity', 'tulle-destination', 'tulle-injector']) await setReady(name, 1);
    assert.deepEqual(await findings(), [
      'error: trust anchors: present, with supported algorithms: config map linkerd-identity-trust-roots has no ca-bundle.crt: the identity process has not made the trust anchor yet',
    ]);
  });

  test('certificates that cannot be read are named with where they are', async () => {
    const roots = (bundle: string): unknown => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'linkerd-identity-trust-roots', namespace: 'tulle' },
      data: { 'ca-bundle.crt': bundle },
    });
    const path = '/api/v1/namespaces/tulle/configmaps';
    await cluster.request('POST', path, roots('nothing'));
    assert.match((await findings()).join('\n'), /config map linkerd-identity-trust-roots holds no PEM certificate$/);
    await merge(
      `${path}/linkerd-identity-trust-roots`,
      roots('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    );
    assert.match(
      (await findings()).join('\n'),
      /linkerd-identity-trust-roots holds a certificate that cannot be read: \S/,
    );
    await merge(`${path}/linkerd-identity-trust-roots`, roots(server.server.caCertificate));
    assert.deepEqual(await findings(), [
      'error: injector webhook certificate: present, with supported algorithms: the webhook has no caBundle yet: the injector writes it when it starts',
    ]);
    await cluster.request(
      'PATCH',
      '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tulle-injector-webhook-config',
      [
        {
          op: 'add',
          path: '/webhooks/0/clientConfig/caBundle',
          value: Buffer.from(server.server.caCertificate).toString('base64'),
        },
      ],
      'application/json-patch+json',
    );
    assert.deepEqual(await findings(), []);
    assert.equal((await check()).code, 0);
  });

  test('a missing role, account or definition is an error that does not hide the next one', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    await cluster.request('DELETE', `${rbac}/clusterroles/tulle-tulle-identity`);
    await cluster.request('DELETE', `${rbac}/clusterrolebindings/tulle-tulle-injector`);
    await cluster.request('DELETE', '/api/v1/namespaces/tulle/serviceaccounts/tulle-injector');
    await cluster.request(
      'DELETE',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/servers.policy.linkerd.io',
    );
    assert.deepEqual(await findings(), [
      'error: ClusterRole and binding of tulle-identity exist: clusterroles/tulle-tulle-identity does not exist',
      'error: ServiceAccount tulle-injector exists: serviceaccounts/tulle-injector does not exist',
      'error: ClusterRole and binding of tulle-injector exist: clusterrolebindings/tulle-tulle-injector does not exist',
      'error: control plane CustomResourceDefinitions exist: missing: servers.policy.linkerd.io',
    ]);
    await applyAll(cluster, renderInstall(defaultValues(VERSION)));
    assert.deepEqual(await findings(), []);
  });

  test('another version is a warning; values that somebody broke end the check', async () => {
    const path = '/api/v1/namespaces/tulle/configmaps/linkerd-config';
    await merge(path, { data: { values: 'version: 9.9.9' } });
    assert.deepEqual(await findings(), [
      `warning: control plane and cli versions match: the control plane is 9.9.9, the command line ${VERSION}`,
    ]);
    assert.equal((await check()).code, 0);
    for (const [values, said] of [
      ['version: [', /key values: .* at line \d, column \d+$/],
      ['', /key values: it is missing$/],
    ] as const) {
      await merge(path, { data: { values } });
      const [finding = '', ...more] = await findings();
      assert.match(finding, /^error: 'linkerd-config' config map holds values that can be used: /);
      assert.match(finding, said);
      assert.deepEqual(more, []);
    }
    await applyAll(cluster, renderInstall(defaultValues(VERSION)));
  });

  test('--proxy names pods without a proxy, proxies that wait, annotations that mean nothing and refused routes and objects without effect', async () => {
    assert.match(
      (await findings('--proxy', '-n', 'shop')).join('\n'),
      /^error: data plane namespace exists: .*"shop" does not exist$/,
    );
    await cluster.request('POST', '/api/v1/namespaces', {
      metadata: {
        name: 'shop',
        annotations: { 'linkerd.io/inject': 'enabled', 'config.linkerd.io/proxy-cpu-limits': '1' },
      },
    });
    await cluster.request('POST', '/api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'default' } });
    const ended = { exitCode: 64, reason: 'Error', message: 'LINKERD2_PROXY_LOG: is empty\n' };
    const pod = async (
      name: string,
      labels: object,
      annotations: object,
      containers: readonly string[],
      spec: object = {},
    ): Promise<void> => {
      await cluster.request('POST', '/api/v1/namespaces/shop/pods', {
        metadata: { name, labels, annotations },
        spec: { containers: containers.map((container) => ({ name: container, image: 'x' })), ...spec },
      });
      const containerStatuses = containers.map((container) => ({
        name: container,
        ready: false,
        image: 'x',
        imageID: '',
        restartCount: 0,
        ...(container === 'linkerd-proxy'
          ? {
              lastState: { terminated: ended },
              state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
            }
          : {}),
      }));
      await merge(`/api/v1/namespaces/shop/pods/${name}/status`, { status: { phase: 'Running', containerStatuses } });
    };
    const meshed = { 'linkerd.io/control-plane-ns': 'tulle' };
    await pod('bare', {}, {}, ['app']);
    await pod('on-windows', {}, {}, ['app'], { os: { name: 'windows' } });
    await pod(
      'waiting',
      meshed,
      {
        'config.linkerd.io/opaque-ports': 'lots!',
        'config.linkerd.io/skip-subnet': '10.0.0.0/8',
        'config.linkerd.io/proxy-cpu-limits': '1',
      },
      ['app', 'linkerd-proxy'],
    );
    await cluster.request('POST', '/apis/policy.linkerd.io/v1beta3/namespaces/shop/servers', {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'Server',
      metadata: { name: 'web' },
      spec: { podSelector: {}, port: 8080, proxyProtocol: 'HTTP/9' },
    });
    await cluster.request('POST', '/apis/policy.linkerd.io/v1alpha1/namespaces/shop/authorizationpolicies', {
      apiVersion: 'policy.linkerd.io/v1alpha1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'good-but-for' },
      spec: {
        targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: 'web' },
        requiredAuthenticationRefs: [{ group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name: 'gone' }],
      },
    });
    const routes = '/apis/policy.linkerd.io/v1beta3/namespaces/shop/httproutes';
    await cluster.request('POST', routes, {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'HTTPRoute',
      metadata: { name: 'split' },
      spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web' }] },
    });
    await cluster.request('POST', routes, {
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'HTTPRoute',
      metadata: { name: 'guarded' },
      spec: { parentRefs: [{ group: 'policy.linkerd.io', kind: 'Server', name: 'web' }] },
    });
    for (const name of ['guarded', 'split'])
      await cluster.request('POST', '/apis/policy.linkerd.io/v1alpha1/namespaces/shop/authorizationpolicies', {
        apiVersion: 'policy.linkerd.io/v1alpha1',
        kind: 'AuthorizationPolicy',
        metadata: { name: `of-${name}` },
        spec: { targetRef: { group: 'policy.linkerd.io', kind: 'HTTPRoute', name }, requiredAuthenticationRefs: [] },
      });
    const parents = ['tulle.dev/policy-controller', 'example.com/other'].map((controllerName) => ({
      parentRef: { group: '', kind: 'Service', name: 'web' },
      controllerName,
      conditions: [
        {
          type: 'Accepted',
          status: 'False',
          reason: 'NoMatchingParent',
          message: 'Service shop/web not found',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    }));
    await merge(`${routes}/split/status`, { status: { parents } });
    await cluster.request('POST', '/apis/linkerd.io/v1alpha2/namespaces/shop/serviceprofiles', {
      apiVersion: 'linkerd.io/v1alpha2',
      kind: 'ServiceProfile',
      metadata: { name: 'web.shop.svc.elsewhere' },
      spec: { routes: [] },
    });
    await cluster.request('POST', '/api/v1/namespaces/shop/services', {
      metadata: {
        name: 'api',
        annotations: { 'timeout.linkerd.io/request': 'soon', 'config.linkerd.io/opaque-ports': '4000,wrong,http' },
      },
      spec: { ports: [{ name: 'http', port: 80 }] },
    });
    const all = await findings('--proxy', '-n', 'shop');
    assert.deepEqual(all.slice(0, 3), [
      'error: data plane proxies are ready: not ready: shop/waiting',
      'warning: pods that want a proxy have one: shop/bare has no proxy: no workload would create it again: create it anew',
      'warning: pods that want a proxy can have one: shop/on-windows has no proxy: the pod is for windows; the proxy runs on linux',
    ]);
    assert.match(
      all[3] ?? '',
      /^warning: annotations of namespaces and meshed pods.*: shop: config.linkerd.io\/proxy-cpu-limits is no known annotation: did you mean config.linkerd.io\/proxy-cpu-limit\?\nshop\/waiting: config\.linkerd\.io\/opaque-ports: "lots!".*\nshop\/waiting: config.linkerd.io\/skip-subnet is no known annotation: did you mean config.linkerd.io\/skip-subnets\?$/,
    );
    assert.deepEqual(all.slice(4), [
      'error: data plane proxies can start: shop/waiting: container linkerd-proxy: CrashLoopBackOff: it ends again and again, last with exit code 64 (LINKERD2_PROXY_LOG: is empty)',
      'error: data plane proxies are at most 2 minor versions older: shop/waiting has none',
      'warning: routes are accepted and all of them has an effect: TL0102 httproute.policy.linkerd.io shop/split: spec.parentRefs[0]: Service shop/web not found',
      [
        'warning: every policy object takes effect: TL0204 authorizationpolicy.policy.linkerd.io shop/good-but-for: spec.requiredAuthenticationRefs[0]: MeshTLSAuthentication shop/gone does not exist',
        'TL0206 authorizationpolicy.policy.linkerd.io shop/of-split: spec.targetRef: HTTPRoute shop/split does not exist, or names no Server as its parent',
        'TL0001 server.policy.linkerd.io shop/web: spec.proxyProtocol: "HTTP/9": use one of unknown, HTTP/1, HTTP/2, gRPC, opaque, TLS',
        'TL0502 server.policy.linkerd.io shop/web: spec.podSelector: Pod shop/bare, Pod shop/on-windows without a proxy',
      ].join('\n'),
      [
        'warning: every ServiceProfile, TrafficSplit and annotation of a Service takes effect: TL0302 service shop/api: metadata.annotations[config.linkerd.io/opaque-ports]: "wrong" is no number, range or name of a port of the Service',
        'TL0302 service shop/api: metadata.annotations[timeout.linkerd.io/request]: "soon" is not a duration: write an integer and a unit, such as 300ms, 10s or 5m',
        'TL0401 serviceprofile.linkerd.io shop/web.shop.svc.elsewhere: metadata.name: "web.shop.svc.elsewhere" is not the name of a Service, such as web.shop.svc.cluster.local',
      ].join('\n'),
    ]);
  });

  test('--proxy names namespaces and pods whose linkerd.io/inject means nothing', async () => {
    await cluster.request('POST', '/api/v1/namespaces', {
      metadata: { name: 'typo', annotations: { 'linkerd.io/inject': 'on' } },
    });
    await cluster.request('POST', '/api/v1/namespaces/typo/serviceaccounts', { metadata: { name: 'default' } });
    await cluster.request('POST', '/api/v1/namespaces/typo/pods', {
      metadata: { name: 'bare', annotations: { 'linkerd.io/inject': 'yes' } },
      spec: { containers: [{ name: 'app', image: 'x' }] },
    });
    assert.deepEqual(await findings('--proxy', '-n', 'typo'), [
      'warning: values of linkerd.io/inject can be understood: typo: linkerd.io/inject is "on": use enabled, ingress or disabled\n' +
        'typo/bare: linkerd.io/inject is "yes": use enabled, ingress or disabled',
    ]);
  });

  test('--proxy gives advice that fits each mistake, and counts warnings and errors of configuration', async () => {
    await cluster.request('POST', '/api/v1/namespaces', {
      metadata: { name: 'slips', annotations: { 'linkerd.io/injct': 'enabled' } },
    });
    await cluster.request('POST', '/api/v1/namespaces/slips/services', {
      metadata: { name: 'api', annotations: { 'balancer.linkerd.io/failure-accural': 'consecutive' } },
      spec: { ports: [{ port: 80 }] },
    });
    await cluster.request('POST', '/apis/split.smi-spec.io/v1alpha2/namespaces/slips/trafficsplits', {
      apiVersion: 'split.smi-spec.io/v1alpha2',
      kind: 'TrafficSplit',
      metadata: { name: 'half' },
      spec: { service: 'gone', backends: [{ service: 'api', weight: 1 }] },
    });
    const { out, code } = await check('--proxy', '-n', 'slips');
    const advice =
      'hint: correct the name, or move the annotation to an object where it has an effect, as the line says';
    assert.ok(
      out.includes(
        `slips/api: balancer.linkerd.io/failure-accural is no known annotation: did you mean balancer.linkerd.io/failure-accrual?\n    ${advice}\n`,
      ),
      out,
    );
    assert.ok(
      out.includes(`slips: linkerd.io/injct is no known annotation: did you mean linkerd.io/inject?\n    ${advice}\n`),
      out,
    );
    assert.match(
      out,
      /TL0404 trafficsplit[^\n]*\n[^\n]*TL0304[^\n]*\n {4}hint: .* and fails for errors: here is one\n/,
    );
    assert.equal(code, 0);
    assert.match(out, /\nStatus check results are √, with 3 warnings\n$/);
  });

  test('the JSON form has hint and error only where something was found', async () => {
    const { out, code } = await check('-o', 'json', '--proxy');
    assert.equal(code, 1);
    const answer = JSON.parse(out) as Answer;
    assert.equal(answer.success, false);
    for (const one of answer.categories.flatMap(({ checks }) => checks)) {
      assert.deepEqual(
        Object.keys(one).filter((key) => key !== 'note'),
        one.result === 'success' ? ['description', 'result'] : ['description', 'hint', 'error', 'result'],
      );
    }
  });
});

test('where the control plane is one Deployment, all advice is about that one', async () => {
  await using server = await TestServer.start();
  const cluster = await connect({ kubeconfig: server.kubeconfigPath });
  const advice = async (): Promise<readonly string[]> => {
    const { out } = await tulle(['check', '--kubeconfig', server.kubeconfigPath, '--wait', '0', '-o', 'json']);
    return (JSON.parse(out) as Answer).categories.flatMap(({ checks }) => checks.flatMap(({ hint = [] }) => hint));
  };
  const create = (plural: string, name: string, data: Record<string, string>): Promise<unknown> =>
    cluster.request('POST', `/api/v1/namespaces/tulle/${plural}`, { metadata: { name }, data });
  try {
    await applyAll(cluster, renderInstall(overlay(defaultValues(VERSION), TINY).values));
    const deployment = '/apis/apps/v1/namespaces/tulle/deployments/tulle-control-plane/status';
    await cluster.request('PATCH', deployment, { status: { readyReplicas: 1 } }, 'application/merge-patch+json');
    assert.deepEqual(await advice(), [
      'the identity process renews what it made: `kubectl -n tulle logs deploy/tulle-control-plane`. The certificate forecast says what is yours to renew',
    ]);
    await create('configmaps', 'linkerd-identity-trust-roots', { 'ca-bundle.crt': server.server.caCertificate });
    assert.deepEqual(await advice(), ['the injector renews it: `kubectl -n tulle logs deploy/tulle-control-plane`']);
    const bundle = Buffer.from(server.server.caCertificate).toString('base64');
    const patch = [{ op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: bundle }];
    const webhooks = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
    await cluster.request('PATCH', `${webhooks}/tulle-injector-webhook-config`, patch, 'application/json-patch+json');
    const { certificatePem } = createServingCertificate('injector.tulle.svc', Date.now() - 300 * DAY_MS);
    const ending = Buffer.from(certificatePem).toString('base64');
    await create('secrets', 'tulle-injector-k8s-tls', { 'tls.crt': ending });
    assert.deepEqual(await advice(), [
      'renew what is yours in time; for the others see `kubectl -n tulle logs deploy/tulle-control-plane`',
    ]);
  } finally {
    cluster.close();
  }
});
