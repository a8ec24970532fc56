import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { injectPod, type AddOperation, type InjectionContext } from './patch.ts';
import type { Pod } from './pod.ts';

const context: InjectionContext = {
  values: defaultValues('0.0.0-test'),
  trustAnchorsPem: '-----BEGIN CERTIFICATE-----\nanchor\n-----END CERTIFICATE-----\n',
  namespaceAnnotations: { 'linkerd.io/inject': 'enabled' },
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

type FullContainer = { name: string; restartPolicy?: string; args: string[]; env: { name: string; value?: string }[] };

test('the redirect and the proxy come before the init containers of the application', () => {
  const patched = apply(pod, injectPod(pod, 'shop', context).patch);
  const names = patched.spec?.initContainers?.map((container) => container.name);
  assert.deepEqual(names, ['linkerd-init', 'linkerd-proxy', 'migrate']);
  const proxy = patched.spec?.initContainers?.[1] as unknown as FullContainer;
  assert.equal(proxy.restartPolicy, 'Always');
  const env = Object.fromEntries(proxy.env.map(({ name, value }) => [name, value]));
  assert.equal(env['LINKERD2_PROXY_INBOUND_PORTS'], '8080,9000');
  assert.equal(env['LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS'], context.trustAnchorsPem);
  assert.equal(
    env['LINKERD2_PROXY_IDENTITY_LOCAL_NAME'],
    '$(_pod_sa).$(_pod_ns).serviceaccount.identity.tulle.cluster.local',
  );
  assert.equal(env['LINKERD2_PROXY_DESTINATION_SVC_ADDR'], 'tulle-dst-headless.tulle.svc.cluster.local.:8086');
  assert.equal(env['LINKERD2_PROXY_TAP_SVC_NAME'], 'metrics-api.tulle-viz.serviceaccount.identity.tulle.cluster.local');
  // The environment refers to variables that must stand before their use.
  const order = proxy.env.map(({ name }) => name);
  assert.ok(order.indexOf('_pod_sa') < order.indexOf('LINKERD2_PROXY_IDENTITY_LOCAL_NAME'));
});

test('labels say who meshed the pod and which workload it belongs to', () => {
  const patched = apply(pod, injectPod(pod, 'shop', context).patch);
  assert.equal(patched.metadata?.labels?.['linkerd.io/control-plane-ns'], 'tulle');
  assert.equal(patched.metadata?.labels?.['linkerd.io/proxy-deployment'], 'web');
  assert.equal(patched.metadata?.labels?.['linkerd.io/workload-ns'], 'shop');
  assert.equal(patched.metadata?.labels?.['app'], 'web');
});

test('a pod that was injected is left alone: the patch is idempotent', () => {
  const once = apply(pod, injectPod(pod, 'shop', context).patch);
  const again = injectPod(once, 'shop', context);
  assert.equal(again.decision.kind === 'skip' && again.decision.reason, 'sidecar_already_exists');
  assert.deepEqual(again.patch, []);
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
  const unmeshed = injectPod(redis, 'shop', { ...context, namespaceAnnotations: {} });
  assert.equal(unmeshed.decision.kind, 'skip');
  assert.equal(
    apply({ metadata: {}, ...redis }, unmeshed.patch).metadata?.annotations?.['config.linkerd.io/opaque-ports'],
    '6379',
  );
  const inherited = injectPod(redis, 'shop', {
    ...context,
    namespaceAnnotations: { 'config.linkerd.io/opaque-ports': '7000' },
  });
  assert.equal(
    apply({ metadata: {}, ...redis }, inherited.patch).metadata?.annotations?.['config.linkerd.io/opaque-ports'],
    '7000',
  );
});

test('namespace settings are copied to the pod, where discovery and people look for them', () => {
  const ns = { 'linkerd.io/inject': 'enabled', 'config.linkerd.io/default-inbound-policy': 'all-authenticated' };
  const patched = apply(pod, injectPod(pod, 'shop', { ...context, namespaceAnnotations: ns }).patch);
  assert.equal(patched.metadata?.annotations?.['config.linkerd.io/default-inbound-policy'], 'all-authenticated');
});

test('ingress mode says that it has no effect yet', () => {
  const outcome = injectPod(pod, 'shop', { ...context, namespaceAnnotations: { 'linkerd.io/inject': 'ingress' } });
  assert.equal(outcome.decision.kind, 'inject');
  assert.ok(outcome.problems.some((problem) => problem.message.includes('ingress')));
});
