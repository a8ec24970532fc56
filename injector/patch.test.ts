import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { injectPod, type AddOperation, type InjectionContext } from './patch.ts';
import { parsePod, type Pod } from './pod.ts';

const context: InjectionContext = {
  values: defaultValues('0.0.0-test'),
  trustAnchorsPem: '-----BEGIN CERTIFICATE-----\nanchor\n-----END CERTIFICATE-----\n',
  namespace: { annotations: { 'linkerd.io/inject': 'enabled' }, labels: {} },
};

const pod: Pod = {
  metadata: {
    generateName: 'web-6c9d7f5b8-',
    labels: { app: 'web', 'pod-template-hash': '6c9d7f5b8' },
    ownerReferences: [{ kind: 'ReplicaSet', name: 'web-6c9d7f5b8', controller: true }],
  },
  spec: {
    initContainers: [{ name: 'migrate' }],
    containers: [
      {
        name: 'app',
        ports: [{ containerPort: 8080 }, { containerPort: 53, protocol: 'UDP' }],
        livenessProbe: { httpGet: { port: 9000 } },
        readinessProbe: { grpc: { port: 9100 } },
      },
    ],
  },
};

/** Applies add operations, the only ones that the injector makes. */
function apply(target: Pod, patch: readonly AddOperation[]): Record<string, never> & Pod {
  const root = structuredClone(target) as unknown as Record<string, unknown>;
  for (const { path, value } of patch) {
    const parts = path
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = parts.pop() ?? '';
    const parent = parts.reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], root);
    if (!Array.isArray(parent)) (parent as Record<string, unknown>)[last] = structuredClone(value);
    else if (last === '-') parent.push(structuredClone(value));
    else parent.splice(Number(last), 0, structuredClone(value));
  }
  return root as Record<string, never> & Pod;
}

type FullContainer = {
  name: string;
  restartPolicy?: string;
  args: string[];
  env: { name: string; value?: string }[];
  securityContext?: Record<string, unknown>;
};
const POD_SECURITY = 'pod-security.kubernetes.io/enforce';

test('the redirect and the proxy come before the init containers of the application', () => {
  const patched = apply(pod, injectPod(pod, 'shop', context).patch);
  const names = patched.spec?.initContainers?.map((container) => container.name);
  assert.deepEqual(names, ['linkerd-init', 'linkerd-proxy', 'migrate']);
  const proxy = patched.spec?.initContainers?.[1] as unknown as FullContainer;
  assert.equal(proxy.restartPolicy, 'Always');
  const env = Object.fromEntries(proxy.env.map(({ name, value }) => [name, value]));
  assert.equal(env['LINKERD2_PROXY_INBOUND_PORTS'], '8080,9000,9100');
  assert.equal(env['LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS'], context.trustAnchorsPem);
  assert.equal(
    env['LINKERD2_PROXY_IDENTITY_LOCAL_NAME'],
    '$(_pod_sa).$(_pod_ns).serviceaccount.identity.tulle.cluster.local',
  );
  assert.equal(env['LINKERD2_PROXY_DESTINATION_SVC_ADDR'], 'tulle-dst-headless.tulle.svc.cluster.local.:8086');
  assert.equal(env['LINKERD2_PROXY_TAP_SVC_NAME'], 'metrics-api.tulle-viz.serviceaccount.identity.tulle.cluster.local');
  assert.ok(!proxy.env.some(({ name }) => name.startsWith('LINKERD2_PROXY_TRACE_')), 'nothing is traced by default');
  // The environment refers to variables that must stand before their use.
  const order = proxy.env.map(({ name }) => name);
  assert.ok(order.indexOf('_pod_sa') < order.indexOf('LINKERD2_PROXY_IDENTITY_LOCAL_NAME'));
});

test('with a collector the proxy is told of it, its identity, and what spans say of the pod', () => {
  const tracing = {
    enabled: true,
    traceServiceName: 'proxies',
    collector: { endpoint: 'otel.tracing:4317', meshIdentity: { serviceAccountName: 'otel', namespace: 'tracing' } },
  };
  const values = { ...context.values, proxy: { ...context.values.proxy, tracing } };
  const annotations = { 'resource.opentelemetry.io/team': 'mesh' };
  const traced = { ...pod, metadata: { ...pod.metadata, annotations } };
  const patched = apply(traced, injectPod(traced, 'shop', { ...context, values }).patch);
  const proxy = patched.spec?.initContainers?.[1] as unknown as FullContainer;
  const env = Object.fromEntries(
    proxy.env.map(({ name, value }) => [name.replace('LINKERD2_PROXY_TRACE_', ''), value]),
  );
  assert.equal(env['COLLECTOR_SVC_ADDR'], 'otel.tracing:4317');
  assert.equal(env['COLLECTOR_SVC_NAME'], 'otel.tracing.serviceaccount.identity.tulle.cluster.local');
  assert.equal(env['SERVICE_NAME'], 'proxies');
  assert.match(env['EXTRA_ATTRIBUTES'] ?? '', /^k8s\.pod\.name=\$\(_pod_name\)\n(?:.*\n)*team=mesh$/);
});

test('where the node redirects pods, the first container waits for that with the same flags, and none needs a capability or root', () => {
  const byNode = { ...context, values: { ...context.values, cni: { enabled: true } } };
  const restricted = { ...byNode, namespace: { ...context.namespace, labels: { [POD_SECURITY]: 'restricted' } } };
  for (const one of [byNode, restricted]) {
    const patched = apply(pod, injectPod(pod, 'shop', one).patch);
    const [first, second, ...more] = (patched.spec?.initContainers ?? []) as unknown as FullContainer[];
    assert.deepEqual([first?.name, second?.name, more.length], ['linkerd-network-validator', 'linkerd-proxy', 1]);
    const [own] = (apply(pod, injectPod(pod, 'shop', context).patch).spec?.initContainers ??
      []) as unknown as FullContainer[];
    assert.deepEqual(first?.args, ['await-redirect', ...(own?.args.slice(1) ?? [])]);
    for (const container of [first, second]) {
      const { runAsUser, ...rest } = container?.securityContext ?? {};
      assert.ok(typeof runAsUser === 'number' && runAsUser > 0);
      assert.deepEqual(rest['runAsNonRoot'], true);
      assert.deepEqual(rest['capabilities'], { drop: ['ALL'] });
      assert.deepEqual(rest['allowPrivilegeEscalation'], false);
      assert.deepEqual(rest['seccompProfile'], { type: 'RuntimeDefault' });
    }
  }
});

test('who waits to be redirected is never the user whose connections are not', () => {
  const annotated = { ...pod, metadata: { ...pod.metadata, annotations: { 'config.linkerd.io/proxy-uid': '65534' } } };
  const byNode = { ...context, values: { ...context.values, cni: { enabled: true } } };
  const [first] = (apply(annotated, injectPod(annotated, 'shop', byNode).patch).spec?.initContainers ??
    []) as unknown as FullContainer[];
  assert.equal(first?.securityContext?.['runAsUser'], 65_533);
});

test('labels say who meshed the pod and which workload it belongs to', () => {
  const patched = apply(pod, injectPod(pod, 'shop', context).patch);
  assert.equal(patched.metadata?.labels?.['linkerd.io/control-plane-ns'], 'tulle');
  assert.equal(patched.metadata?.labels?.['linkerd.io/proxy-deployment'], 'web');
  assert.equal(patched.metadata?.labels?.['linkerd.io/workload-ns'], 'shop');
  assert.equal(patched.metadata?.labels?.['app'], 'web');
});

const KINDS: readonly (readonly [string, string, string])[] = [
  // kind of the owner, its name, label of the pod
  ['ReplicaSet', 'web-6c9d7f5b8', 'linkerd.io/proxy-deployment=web'],
  ['ReplicaSet', 'solo', 'linkerd.io/proxy-replicaset=solo'],
  ['StatefulSet', 'db', 'linkerd.io/proxy-statefulset=db'],
  ['DaemonSet', 'agent', 'linkerd.io/proxy-daemonset=agent'],
  ['Job', 'import', 'linkerd.io/proxy-job=import'],
  ['Job', 'nightly-29384756', 'linkerd.io/proxy-job=nightly-29384756'], // of a CronJob, as in Linkerd
  ['ReplicationController', 'old', 'linkerd.io/proxy-replicationcontroller=old'],
  ['Rollout', 'foreign', ''],
  ['', '', ''], // a bare pod
];

test('pods of every kind of workload get the proxy and its label, and are left alone when they have it', () => {
  for (const [kind, name, label] of KINDS) {
    for (const annotations of [{}, { 'config.linkerd.io/proxy-enable-native-sidecar': 'false' }]) {
      const made: Pod = {
        ...pod,
        metadata: {
          ...pod.metadata,
          annotations,
          ownerReferences: kind === '' ? [] : [{ kind, name, controller: true }],
        },
      };
      const first = injectPod(made, 'shop', context);
      assert.equal(first.decision.kind, 'inject', kind);
      const once = apply(made, first.patch);
      const labels = Object.entries(once.metadata?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
      assert.deepEqual(
        labels.filter((text) => text.startsWith('linkerd.io/proxy-')),
        label === '' ? [] : [label],
      );
      const again = injectPod(parsePod(once), 'shop', context);
      assert.equal(again.decision.kind === 'skip' && again.decision.reason, 'sidecar_already_exists');
      assert.deepEqual(again.patch, [], `${kind} ${name}`);
    }
  }
});

test('a bare pod without any list gets the lists made', () => {
  const bare: Pod = { metadata: { name: 'bare' }, spec: { containers: [{ name: 'app' }] } };
  const patched = apply(bare, injectPod(bare, 'shop', context).patch);
  assert.equal(patched.spec?.initContainers?.length, 2);
  assert.equal(patched.spec?.volumes?.length, 2);
  assert.equal(
    Object.keys(patched.metadata?.labels ?? {}).some((key) => key.startsWith('linkerd.io/proxy-')),
    false,
  );
});

test('ports and subnets to skip reach the redirect, and an empty list is no flag', () => {
  const annotated: Pod = {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: {
        'config.linkerd.io/skip-outbound-ports': '',
        'config.linkerd.io/skip-inbound-ports': '22,9000-9010',
        'config.linkerd.io/skip-subnets': '10.9.0.0/16',
      },
    },
  };
  const init = apply(annotated, injectPod(annotated, 'shop', context).patch).spec
    ?.initContainers?.[0] as unknown as FullContainer;
  assert.equal(init.args[init.args.indexOf('--inbound-ports-to-ignore') + 1], '4190,4191,22,9000-9010');
  assert.equal(init.args.includes('--outbound-ports-to-ignore'), false);
  assert.equal(init.args[init.args.indexOf('--subnets-to-ignore') + 1], '10.9.0.0/16');
});

test('discovery learns the opaque ports of every pod, meshed or not', () => {
  const redis: Pod = { spec: { containers: [{ name: 'redis', ports: [{ containerPort: 6379 }] }] } };
  const unmeshed = injectPod(redis, 'shop', { ...context, namespace: { annotations: {}, labels: {} } });
  assert.equal(unmeshed.decision.kind, 'skip');
  assert.equal(
    apply({ metadata: {}, ...redis }, unmeshed.patch).metadata?.annotations?.['config.linkerd.io/opaque-ports'],
    '6379',
  );
  const inherited = injectPod(redis, 'shop', {
    ...context,
    namespace: { annotations: { 'config.linkerd.io/opaque-ports': '7000' }, labels: {} },
  });
  assert.equal(
    apply({ metadata: {}, ...redis }, inherited.patch).metadata?.annotations?.['config.linkerd.io/opaque-ports'],
    '7000',
  );
});

test('namespace settings are copied to the pod, where discovery and people look for them', () => {
  const ns = { 'linkerd.io/inject': 'enabled', 'config.linkerd.io/default-inbound-policy': 'all-authenticated' };
  const patched = apply(pod, injectPod(pod, 'shop', { ...context, namespace: { annotations: ns, labels: {} } }).patch);
  assert.equal(patched.metadata?.annotations?.['config.linkerd.io/default-inbound-policy'], 'all-authenticated');
});

test('ingress mode says that it has no effect yet', () => {
  const outcome = injectPod(pod, 'shop', {
    ...context,
    namespace: { annotations: { 'linkerd.io/inject': 'ingress' }, labels: {} },
  });
  assert.equal(outcome.decision.kind, 'inject');
  assert.ok(outcome.problems.some((problem) => problem.message.includes('ingress')));
});

type Sidecar = {
  image: string;
  imagePullPolicy: string;
  restartPolicy?: string;
  startupProbe?: object;
  lifecycle?: object;
  resources: object;
  securityContext: { runAsUser: number; runAsGroup?: number };
  env: { name: string; value?: string }[];
};

function injected(annotations: Record<string, string>): { pod: Pod; proxy: Sidecar; env: Record<string, string> } {
  const annotated: Pod = { ...pod, metadata: { ...pod.metadata, annotations } };
  const outcome = injectPod(annotated, 'shop', context);
  assert.deepEqual(outcome.problems, []);
  const patched = apply(annotated, outcome.patch);
  const proxy = [...(patched.spec?.initContainers ?? []), ...(patched.spec?.containers ?? [])].find(
    ({ name }) => name === 'linkerd-proxy',
  ) as unknown as Sidecar;
  const env = Object.fromEntries(proxy.env.map(({ name, value = '' }) => [name.replace('LINKERD2_PROXY_', ''), value]));
  return { pod: patched, proxy, env };
}

test('annotations reach the container of the proxy', () => {
  const key = (name: string) => `config.linkerd.io/${name}`;
  const { proxy, env } = injected({
    [key('proxy-image')]: 'registry.example:5000/tulle',
    [key('proxy-version')]: 'edge',
    [key('image-pull-policy')]: 'Always',
    [key('proxy-cpu-limit')]: '1',
    [key('proxy-ephemeral-storage-request')]: '1Mi',
    [key('proxy-ephemeral-storage-limit')]: '10Mi',
    [key('proxy-uid')]: '3000',
    [key('proxy-gid')]: '3001',
    [key('proxy-log-level')]: 'warn,linkerd=debug',
    [key('proxy-log-format')]: 'plain',
    [key('access-log')]: 'json',
    [key('shutdown-grace-period')]: '5s',
    [key('proxy-inbound-connect-timeout')]: '7s',
    [key('proxy-outbound-discovery-cache-unused-timeout')]: '9s',
    [key('proxy-disable-outbound-protocol-detect-timeout')]: 'true',
    [key('proxy-additional-env')]: '[{"name":"EXTRA","value":"1"}]',
    [key('proxy-await')]: 'disabled',
    'viz.linkerd.io/disable-tap': 'true',
  });
  assert.equal(proxy.image, 'registry.example:5000/tulle:edge');
  assert.equal(proxy.imagePullPolicy, 'Always');
  assert.deepEqual(proxy.resources, {
    requests: { cpu: '10m', memory: '64Mi', 'ephemeral-storage': '1Mi' },
    limits: { cpu: '1', 'ephemeral-storage': '10Mi' },
  });
  assert.deepEqual([proxy.securityContext.runAsUser, proxy.securityContext.runAsGroup], [3000, 3001]);
  assert.equal(proxy.startupProbe, undefined);
  assert.equal(env['LOG'], 'warn,linkerd=debug');
  assert.equal(env['LOG_FORMAT'], 'plain');
  assert.equal(env['ACCESS_LOG'], 'json');
  assert.equal(env['SHUTDOWN_GRACE_PERIOD'], '5s');
  assert.equal(env['INBOUND_CONNECT_TIMEOUT'], '7s');
  assert.equal(env['OUTBOUND_DISCOVERY_IDLE_TIMEOUT'], '9s');
  assert.equal(env['OUTBOUND_DETECT_TIMEOUT'], '365d');
  assert.equal(env['INBOUND_DETECT_TIMEOUT'], undefined);
  assert.equal(env['TAP_SVC_NAME'], undefined);
  assert.equal(env['EXTRA'], '1');
});

test('an image with a tag or a digest is used as it is', () => {
  for (const image of ['registry.example:5000/tulle:1', 'tulle@sha256:00ff'])
    assert.equal(injected({ 'config.linkerd.io/proxy-image': image }).proxy.image, image);
});

test('where native sidecars are not wanted, the proxy is the first container and may wait before it ends', () => {
  const { pod: patched, proxy } = injected({
    'config.linkerd.io/proxy-enable-native-sidecar': 'false',
    'config.alpha.linkerd.io/proxy-wait-before-exit-seconds': '7',
  });
  assert.deepEqual(
    patched.spec?.initContainers?.map(({ name }) => name),
    ['linkerd-init', 'migrate'],
  );
  assert.deepEqual(
    patched.spec?.containers?.map(({ name }) => name),
    ['linkerd-proxy', 'app'],
  );
  assert.equal(proxy.restartPolicy, undefined);
  assert.equal(proxy.startupProbe, undefined);
  assert.deepEqual(proxy.lifecycle, { preStop: { sleep: { seconds: 7 } } });
});

test('a container that listens where the proxy does is named', () => {
  const taken: Pod = { ...pod, spec: { containers: [{ name: 'app', ports: [{ containerPort: 4191 }] }] } };
  const { decision, problems } = injectPod(taken, 'shop', context);
  assert.equal(decision.kind, 'inject');
  assert.match(problems[0]?.message ?? '', /listens on 4191, as the proxy does.*admin-port/);
});

test('a value that is too long is neither read nor copied to the pod', () => {
  const ns = { 'linkerd.io/inject': 'enabled', 'config.linkerd.io/opaque-ports': '1,'.repeat(9000) };
  const { patch, problems } = injectPod(pod, 'shop', { ...context, namespace: { annotations: ns, labels: {} } });
  assert.match(problems[0]?.message ?? '', /opaque-ports: is longer than/);
  assert.equal(apply(pod, patch).metadata?.annotations?.['config.linkerd.io/opaque-ports'], undefined);
});
