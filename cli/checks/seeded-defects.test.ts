import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { applyAll } from '../../sandbox/demo/apply.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import { createTrustAnchor } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { connect, type ApiObject, type Cluster } from '../cluster.ts';
import { tulle } from '../testing.ts';

const DAY_MS = 86_400_000;
const NS = '/api/v1/namespaces';
const TULLE = `${NS}/tulle`;
const SHOP = `${NS}/shop`;
const APPS = '/apis/apps/v1/namespaces/tulle/deployments';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tulle-injector-webhook-config';
const VALIDATING =
  '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/tulle-policy-validator-webhook-config';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';

/** What is done to a healthy cluster, and undone after the check. A status is changed at its own path. */
type Step =
  | { readonly change: string; readonly to: unknown }
  | { readonly create: string; readonly object: unknown }
  | { readonly remove: string };

/** A defect, what `tulle check --proxy` must say about it, and whether it is worse than a warning. */
type Defect = readonly [name: string, kind: 'error' | 'warning', finding: RegExp, ...steps: Step[]];

const status = (name: string): string => `${APPS}/${name}/status`;
const anchorPem = (fromMs: number, toMs: number): string => {
  const now = Date.now();
  const anchor = createTrustAnchor('test.local', { notBeforeMs: now + fromMs, notAfterMs: now + toMs });
  return encodeCertificates([anchor.certificate.der]);
};
const roots = (pem: string): Step => ({
  change: `${TULLE}/configmaps/linkerd-identity-trust-roots`,
  to: { data: { 'ca-bundle.crt': pem } },
});
const pod = (name: string, rest: { labels?: object; annotations?: object; spec?: object } = {}): Step => ({
  create: `${SHOP}/pods`,
  object: {
    metadata: { name, labels: rest.labels, annotations: rest.annotations },
    spec: { containers: [{ name: 'app', image: 'x' }], ...rest.spec },
  },
});
const MESHED = { 'linkerd.io/control-plane-ns': 'tulle' };
const CURRENT = { 'linkerd.io/proxy-version': VERSION };
const meshed = (name: string, annotations: object = {}, labels: object = {}): Step =>
  pod(name, { labels: { ...MESHED, ...labels }, annotations: { ...CURRENT, ...annotations } });
/** A proxy that its pod gives these trust anchors. */
const anchored = (name: string, pem: string): Step =>
  pod(name, {
    labels: MESHED,
    annotations: CURRENT,
    spec: {
      initContainers: [
        {
          name: 'linkerd-proxy',
          image: 'x',
          restartPolicy: 'Always',
          env: [{ name: 'LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS', value: pem }],
        },
      ],
    },
  });
const ENDING_ANCHOR = anchorPem(-10 * DAY_MS, 20 * DAY_MS);
const running = (name: string, extra: object = {}): Step => ({
  change: `${SHOP}/pods/${name}/status`,
  to: { status: { phase: 'Running', ...extra } },
});
const container = (name: string, state: object, rest: object = {}): object => ({
  name,
  image: 'x',
  imageID: '',
  ready: false,
  restartCount: 3,
  state,
  ...rest,
});
const service = (name: string, metadata: object, spec: object = { ports: [{ port: 80 }] }): Step => ({
  create: `${SHOP}/services`,
  object: { metadata: { name, ...metadata }, spec },
});
const controlPod = (containerStatus: object): readonly Step[] => [
  {
    create: `${TULLE}/pods`,
    object: {
      metadata: { name: 'broken' },
      spec: {
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'identity',
            image: 'x',
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
        serviceAccountName: 'tulle-identity',
      },
    },
  },
  { change: `${TULLE}/pods/broken/status`, to: { status: { phase: 'Pending', containerStatuses: [containerStatus] } } },
];
const namespace = (name: string, metadata: object): Step => ({
  create: NS,
  object: { metadata: { name, ...metadata } },
});
const gatewayDefinition = (version: string): Step => ({
  create: CRDS,
  object: {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: 'httproutes.gateway.networking.k8s.io',
      annotations: { 'api-approved.kubernetes.io': 'https://example.test' },
    },
    spec: {
      group: 'gateway.networking.k8s.io',
      scope: 'Namespaced',
      names: { kind: 'HTTPRoute', plural: 'httproutes', singular: 'httproute', listKind: 'HTTPRouteList' },
      versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  },
});
const node = (info: object, podCIDRs: readonly string[] = ['10.42.0.0/24']): readonly Step[] => [
  { create: '/api/v1/nodes', object: { metadata: { name: 'one' }, spec: { podCIDR: podCIDRs[0], podCIDRs } } },
  {
    change: '/api/v1/nodes/one/status',
    to: { status: { nodeInfo: info, conditions: [{ type: 'Ready', status: 'True' }] } },
  },
];
const NODE_INFO = {
  kubeletVersion: 'v1.33.1',
  architecture: 'amd64',
  operatingSystem: 'linux',
  bootID: 'b',
  containerRuntimeVersion: 'containerd://2.0.0',
  kernelVersion: '6.1',
  kubeProxyVersion: '',
  machineID: 'm',
  osImage: 'x',
  systemUUID: 'u',
};

const DEFECTS: readonly Defect[] = [
  [
    'the config map is gone',
    'error',
    /'linkerd-config' config map exists: configmaps\/linkerd-config does not exist/,
    { remove: `${TULLE}/configmaps/linkerd-config` },
  ],
  [
    'a value is out of range',
    'error',
    /holds values that can be used: .*controllerReplicas is 99: use a whole number/,
    { change: `${TULLE}/configmaps/linkerd-config`, to: { data: { values: 'controllerReplicas: 99\n' } } },
  ],
  [
    'the values are not YAML',
    'error',
    /holds values that can be used: .*key values: .* at line \d/,
    { change: `${TULLE}/configmaps/linkerd-config`, to: { data: { values: 'a: [\n' } } },
  ],
  [
    'a value of another version',
    'warning',
    /holds no value that this version does not know: proxy\.future is no known value/,
    { change: `${TULLE}/configmaps/linkerd-config`, to: { data: { overrides: 'proxy:\n  future: 1\n' } } },
  ],
  [
    'identity is not ready',
    'error',
    /control plane deployment tulle-identity is ready: 0 of 1 pods are ready/,
    { change: status('tulle-identity'), to: { status: { readyReplicas: 0 } } },
  ],
  [
    'destination is not ready',
    'error',
    /deployment tulle-destination is ready: 0 of 1/,
    { change: status('tulle-destination'), to: { status: { readyReplicas: 0 } } },
  ],
  ['the injector is gone', 'error', /deployment tulle-injector is missing/, { remove: `${APPS}/tulle-injector` }],
  [
    'identity is scaled to nothing',
    'error',
    /tulle-identity is scaled to 0/,
    { change: `${APPS}/tulle-identity`, to: { spec: { replicas: 0 } } },
    { change: status('tulle-identity'), to: { status: { readyReplicas: 0 } } },
  ],
  [
    'an account is gone',
    'error',
    /ServiceAccount tulle-identity exists: serviceaccounts\/tulle-identity does not exist/,
    { remove: `${TULLE}/serviceaccounts/tulle-identity` },
  ],
  [
    'a cluster role is gone',
    'error',
    /clusterroles\/tulle-tulle-destination does not exist/,
    { remove: `${RBAC}/clusterroles/tulle-tulle-destination` },
  ],
  [
    'a role is gone',
    'error',
    /roles and bindings are as installed: role tulle\/tulle-identity does not exist/,
    { remove: `${RBAC}/namespaces/tulle/roles/tulle-identity` },
  ],
  [
    'a role was changed',
    'error',
    /roles and bindings are as installed: clusterrole tulle-tulle-identity: rules\[0\]\.verbs\[0\]: create -> get/,
    {
      change: `${RBAC}/clusterroles/tulle-tulle-identity`,
      to: { rules: [{ apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['get'] }] },
    },
  ],
  [
    'a binding names another account',
    'error',
    /rolebinding tulle\/tulle-injector: subjects\[tulle-injector\]: .*\(removed\)/,
    {
      change: `${RBAC}/namespaces/tulle/rolebindings/tulle-injector`,
      to: { subjects: [{ kind: 'ServiceAccount', name: 'other', namespace: 'tulle' }] },
    },
  ],
  [
    'a definition is gone',
    'error',
    /CustomResourceDefinitions exist: missing: serviceprofiles\.linkerd\.io/,
    { remove: `${CRDS}/serviceprofiles.linkerd.io` },
  ],
  [
    'a Service is gone',
    'error',
    /Services are as installed: service tulle\/tulle-policy does not exist/,
    { remove: `${TULLE}/services/tulle-policy` },
  ],
  [
    'a Service selects something else',
    'error',
    /Services are as installed: service tulle\/tulle-injector: spec\.selector\..*: injector -> nobody/,
    {
      change: `${TULLE}/services/tulle-injector`,
      to: { spec: { selector: { 'linkerd.io/control-plane-component': 'nobody' } } },
    },
  ],
  [
    'the webhook is gone',
    'error',
    /MutatingWebhookConfigurations exist: .*tulle-injector-webhook-config does not exist/,
    { remove: MUTATING },
  ],
  [
    'the webhook was set to Fail',
    'error',
    /webhook configurations are as installed: .*failurePolicy: Ignore -> Fail/,
    { change: MUTATING, to: { webhooks: 'Fail' } },
  ],
  [
    'the policy webhook is gone',
    'error',
    /webhook configurations are as installed: validatingwebhookconfiguration .* does not exist/,
    { remove: VALIDATING },
  ],
  [
    'a Deployment was edited',
    'warning',
    /Deployments and DaemonSets are as installed: deployment tulle\/tulle-destination: spec\.template\.spec\.containers\[destination\]\.image: \S+ -> other:1/,
    { change: `${APPS}/tulle-destination`, to: { spec: { template: { spec: { containers: 'other:1' } } } } },
  ],
  [
    'the namespace lost the label that keeps the webhook away',
    'warning',
    /Namespace and config map are as installed: namespace tulle: metadata\.labels\..*admission-webhooks.*: disabled \(removed\)/,
    { change: TULLE, to: { metadata: { labels: { 'config.linkerd.io/admission-webhooks': null } } } },
  ],
  [
    'something is left over',
    'warning',
    /nothing is left over .*: service tulle\/old/,
    {
      create: `${TULLE}/services`,
      object: { metadata: { name: 'old', labels: MESHED }, spec: { ports: [{ port: 1 }] } },
    },
  ],
  [
    'a second control plane',
    'warning',
    /no other control plane takes part: also in linkerd/,
    namespace('linkerd', { labels: { 'linkerd.io/is-control-plane': 'true' } }),
  ],
  [
    'two namespaces of one extension',
    'warning',
    /namespaces of extensions are distinct: viz: viz-one, viz-two/,
    namespace('viz-one', { labels: { 'linkerd.io/extension': 'viz' } }),
    namespace('viz-two', { labels: { 'linkerd.io/extension': 'viz' } }),
  ],
  [
    'the image cannot be fetched',
    'warning',
    /run without trouble: broken: container identity: ImagePullBackOff: its image cannot be fetched \(no such tag\)/,
    ...controlPod(container('identity', { waiting: { reason: 'ImagePullBackOff', message: 'no such tag' } })),
  ],
  [
    'the image may not be fetched',
    'warning',
    /ErrImageNeverPull: its image is not on the node, and imagePullPolicy is Never/,
    ...controlPod(container('identity', { waiting: { reason: 'ErrImageNeverPull' } })),
  ],
  [
    'a process ends again and again',
    'warning',
    /CrashLoopBackOff: it ends again and again, last with exit code 64/,
    ...controlPod(
      container(
        'identity',
        { waiting: { reason: 'CrashLoopBackOff' } },
        { lastState: { terminated: { exitCode: 64 } } },
      ),
    ),
  ],
  [
    'a process was killed for its memory',
    'warning',
    /killed for using more memory than its limit \(3 restarts\)/,
    ...controlPod(
      container('identity', { running: {} }, { lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }),
    ),
  ],
  [
    'no node has place',
    'warning',
    /no unschedulable pods: full/,
    {
      create: `${TULLE}/pods`,
      object: {
        metadata: { name: 'full' },
        spec: {
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
          serviceAccountName: 'tulle-identity',
          containers: [
            {
              name: 'a',
              image: 'x',
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
            },
          ],
        },
      },
    },
    {
      change: `${TULLE}/pods/full/status`,
      to: { status: { conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }] } },
    },
  ],
  [
    'the trust anchor is over',
    'error',
    /trust anchors: within the validity period: valid from .* to /,
    roots(anchorPem(-10 * DAY_MS, -DAY_MS)),
  ],
  [
    'a proxy has only trust anchors that are over',
    'error',
    /trust an anchor that holds: shop\/stale: the last of its trust anchors ended at 20/,
    anchored('stale', anchorPem(-10 * DAY_MS, -2 * DAY_MS) + anchorPem(-10 * DAY_MS, -DAY_MS)),
  ],
  [
    'the trust anchor is not valid yet',
    'error',
    /trust anchors: within the validity period: valid from/,
    roots(anchorPem(DAY_MS, 100 * DAY_MS)),
  ],
  [
    'the trust anchor ends soon',
    'warning',
    /trust anchors: valid for at least 60 days: will expire on /,
    roots(anchorPem(-DAY_MS, 30 * DAY_MS)),
  ],
  [
    'the trust anchors are empty',
    'error',
    /config map linkerd-identity-trust-roots holds no PEM certificate/,
    roots('nothing'),
  ],
  [
    'the trust anchors are gone',
    'error',
    /has no ca-bundle\.crt: the identity process has not made the trust anchor yet/,
    { remove: `${TULLE}/configmaps/linkerd-identity-trust-roots` },
  ],
  [
    'the control plane is of another version',
    'warning',
    /versions match: the control plane is 0\.2\.0, the command line/,
    { change: `${TULLE}/configmaps/linkerd-config`, to: { data: { values: 'version: 0.2.0\n' } } },
  ],
  [
    'a kubelet is too old',
    'error',
    /kubelets are at least 1\.29: one runs v1\.28\.3/,
    ...node({ ...NODE_INFO, kubeletVersion: 'v1.28.3' }),
  ],
  [
    'a node has another processor',
    'warning',
    /nodes have a processor that the image is built for: one is s390x/,
    ...node({ ...NODE_INFO, architecture: 's390x' }),
  ],
  [
    'a clock is late',
    'warning',
    /no clock skew detected: one is \d+ s behind this machine/,
    ...node(NODE_INFO),
    { create: LEASES, object: { metadata: { name: 'one' }, spec: { renewTime: '2020-01-01T00:00:00.000000Z' } } },
  ],
  [
    'pods of a node have addresses outside',
    'error',
    /contain all networks of nodes: node one has 198\.18\.0\.0\/24/,
    ...node(NODE_INFO, ['198.18.0.0/24']),
  ],
  [
    'a pod has an address outside',
    'error',
    /contain all pods: pod shop\/far has 198\.18\.0\.7/,
    meshed('far'),
    running('far', {
      podIP: '198.18.0.7',
      podIPs: [{ ip: '198.18.0.7' }],
      containerStatuses: [container('linkerd-proxy', { running: {} }, { ready: true })],
    }),
  ],
  [
    'Gateway API serves nothing that is known',
    'warning',
    /served in a version that takes effect: httproutes\S+ serves v1alpha9, and not one of v1, v1beta1, v1alpha2/,
    gatewayDefinition('v1alpha9'),
  ],
  [
    'a pod missed the injector',
    'warning',
    /pods that want a proxy have one: shop\/bare has no proxy: no workload would create it again/,
    { change: SHOP, to: { metadata: { annotations: { 'linkerd.io/inject': 'enabled' } } } },
    pod('bare'),
    running('bare'),
  ],
  [
    'a proxy is not ready',
    'error',
    /data plane proxies are ready: not ready: shop\/waits/,
    meshed('waits'),
    running('waits', { containerStatuses: [container('linkerd-proxy', { running: {} })] }),
  ],
  [
    'the redirect cannot be made',
    'error',
    /data plane proxies can start: shop\/init: container linkerd-init: CrashLoopBackOff: it ends again and again, last with exit code 1/,
    meshed('init'),
    {
      change: `${SHOP}/pods/init/status`,
      to: {
        status: {
          phase: 'Pending',
          initContainerStatuses: [
            container(
              'linkerd-init',
              { waiting: { reason: 'CrashLoopBackOff' } },
              { lastState: { terminated: { exitCode: 1 } } },
            ),
          ],
        },
      },
    },
  ],
  [
    'a proxy was killed for its memory',
    'error',
    /data plane proxies can start: shop\/oom: container linkerd-proxy: it was killed for using more memory/,
    meshed('oom'),
    {
      change: `${SHOP}/pods/oom/status`,
      to: {
        status: {
          phase: 'Pending',
          initContainerStatuses: [container('linkerd-proxy', { terminated: { exitCode: 137, reason: 'OOMKilled' } })],
        },
      },
    },
  ],
  [
    'a proxy is of another major version',
    'error',
    /at most 2 minor versions older: shop\/ancient has 9\.0\.0/,
    meshed('ancient', { 'linkerd.io/proxy-version': '9.0.0' }),
  ],
  [
    'a proxy is a little older',
    'warning',
    /data plane and cli versions match: another version than \S+: shop\/older/,
    meshed('older', { 'linkerd.io/proxy-version': '0.0.9' }),
  ],
  [
    'inject has no meaning',
    'warning',
    /can be understood: shop\/typo: linkerd\.io\/inject is "yes": use enabled/,
    pod('typo', { annotations: { 'linkerd.io/inject': 'yes' } }),
  ],
  [
    'an annotation cannot be read',
    'warning',
    /shop\/ports: config\.linkerd\.io\/opaque-ports: "lots!"/,
    meshed('ports', { 'config.linkerd.io/opaque-ports': 'lots!' }),
  ],
  [
    'an annotation is misspelt',
    'warning',
    /proxy-cpu-limits is no known annotation: did you mean config\.linkerd\.io\/proxy-cpu-limit\?/,
    meshed('speller', { 'config.linkerd.io/proxy-cpu-limits': '1' }),
  ],
  [
    'a setting of a namespace is a label',
    'warning',
    /no setting of a namespace or pod is a label: shop: linkerd\.io\/inject is a label/,
    { change: SHOP, to: { metadata: { labels: { 'linkerd.io/inject': 'enabled' } } } },
  ],
  [
    'a setting of a pod is a label',
    'warning',
    /shop\/lab: config\.linkerd\.io\/skip-inbound-ports is a label/,
    pod('lab', { labels: { 'config.linkerd.io/skip-inbound-ports': '80' } }),
  ],
  [
    'a setting of a Service is a label',
    'warning',
    /no setting of a Service is a label: shop\/web: config\.linkerd\.io\/opaque-ports is a label/,
    service('web', { labels: { 'config.linkerd.io/opaque-ports': '80' } }),
  ],
  [
    'inject is set on a Service',
    'warning',
    /annotations of Services .*: shop\/web: linkerd\.io\/inject has no effect on a Service/,
    service('web', { annotations: { 'linkerd.io/inject': 'enabled' } }),
  ],
  [
    'a retry is set on a pod',
    'warning',
    /annotations of namespaces and pods are .*: shop\/retrying: retry\.linkerd\.io\/http has no effect on a Pod/,
    pod('retrying', { annotations: { 'retry.linkerd.io/http': '5xx' } }),
  ],
  [
    'a Service calls a port opaque, its pod does not',
    'warning',
    /shop\/db calls port 5000 opaque, pod shop\/db-0 does not/,
    service(
      'db',
      { annotations: { 'config.linkerd.io/opaque-ports': '80' } },
      { selector: { app: 'db' }, ports: [{ port: 80, targetPort: 5000 }] },
    ),
    meshed('db-0', {}, { app: 'db' }),
  ],
  [
    'a proxy that starts again would know no current trust anchor',
    'warning',
    /proxies have trust anchors that last: shop\/old: none of the trust anchors in its pod is one of the current ones/,
    anchored('old', anchorPem(-10 * DAY_MS, 365 * DAY_MS)),
  ],
  [
    'a proxy that starts again would know only a trust anchor that ends soon',
    'warning',
    /proxies have trust anchors that last: shop\/old: the trust anchors in its pod end on \d{4}-\d\d-\d\d/,
    roots(ENDING_ANCHOR + anchorPem(-10 * DAY_MS, 365 * DAY_MS)),
    anchored('old', ENDING_ANCHOR),
  ],
  [
    'the trust anchors in a pod are nonsense',
    'error',
    /shop\/old: LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS holds no PEM certificate/,
    anchored('old', 'nonsense'),
  ],
  [
    'a namespace wants proxies and forbids the webhook',
    'warning',
    /inject enabled can have webhooks: both/,
    namespace('both', {
      labels: { 'config.linkerd.io/admission-webhooks': 'disabled' },
      annotations: { 'linkerd.io/inject': 'enabled' },
    }),
  ],
];

describe(`tulle check finds each of ${DEFECTS.length} defects`, () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
    await applyAll(cluster, renderInstall(defaultValues(VERSION)));
    for (const name of ['tulle-identity', 'tulle-destination', 'tulle-injector'])
      await merge(status(name), { status: { readyReplicas: 1 } });
    await cluster.request('POST', `${TULLE}/configmaps`, {
      metadata: { name: 'linkerd-identity-trust-roots' },
      data: { 'ca-bundle.crt': server.server.caCertificate },
    });
    const value = Buffer.from(server.server.caCertificate).toString('base64');
    const patch = [{ op: 'add', path: '/webhooks/0/clientConfig/caBundle', value }];
    await cluster.request('PATCH', MUTATING, patch, 'application/json-patch+json');
    await cluster.request('POST', NS, { metadata: { name: 'shop' } });
    await cluster.request('POST', `${SHOP}/serviceaccounts`, { metadata: { name: 'default' } });
  });
  after(async () => {
    cluster?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const merge = (path: string, body: unknown): Promise<unknown> =>
    cluster.request('PATCH', path, body, 'application/merge-patch+json');

  /** What is not well: `error: description: what` and what to do. */
  async function findings(): Promise<readonly { readonly text: string; readonly hint: string }[]> {
    const { out } = await tulle([
      'check',
      '--kubeconfig',
      server.kubeconfigPath,
      '--wait',
      '0',
      '--proxy',
      '-o',
      'json',
    ]);
    const { categories } = JSON.parse(out) as {
      categories: { checks: { description: string; result: string; error?: string; hint?: string }[] }[];
    };
    return categories
      .flatMap(({ checks }) => checks)
      .filter(({ result }) => result !== 'success')
      .map(({ result, description, error, hint }) => ({
        text: `${result}: ${description}: ${error}`,
        hint: hint ?? '',
      }));
  }

  /** @returns how to undo it */
  async function seed(step: Step): Promise<() => Promise<unknown>> {
    if ('create' in step) {
      await cluster.request('POST', step.create, step.object);
      const { name } = (step.object as ApiObject).metadata;
      const remove = step.create === NS ? removeNamespace : remover;
      return () => remove(`${step.create}/${name}`);
    }
    if ('remove' in step) {
      const old = await cluster.get(step.remove);
      await cluster.request('DELETE', step.remove);
      const collection = step.remove.slice(0, step.remove.lastIndexOf('/'));
      return async () => {
        await cluster.request('POST', collection, withoutServerFields(old));
        const { readyReplicas } = (old['status'] ?? {}) as { readyReplicas?: number };
        if (readyReplicas !== undefined) await merge(`${step.remove}/status`, { status: { readyReplicas } });
      };
    }
    const before = await cluster.get(step.change);
    await merge(step.change, expanded(step.to, before));
    return async () => {
      const { metadata } = await cluster.get(step.change);
      const { resourceVersion } = metadata as { resourceVersion?: string };
      await cluster.request('PUT', step.change, { ...before, metadata: { ...before.metadata, resourceVersion } });
    };
  }

  const remover = (path: string): Promise<unknown> => cluster.request('DELETE', `${path}?gracePeriodSeconds=0`);
  /** No controller ends namespaces here. */
  const removeNamespace = async (path: string): Promise<unknown> => {
    await cluster.request('DELETE', path);
    const object = await cluster.find(path);
    return object && cluster.request('PUT', `${path}/finalize`, { ...object, spec: { finalizers: [] } });
  };

  test('a healthy installation has no finding', async () => {
    assert.deepEqual(await findings(), []);
  });

  for (const [name, kind, expected, ...steps] of DEFECTS) {
    test(name, async () => {
      const undo: (() => Promise<unknown>)[] = [];
      try {
        for (const step of steps) undo.unshift(await seed(step));
        const found = await findings();
        const hit = found.find(({ text }) => expected.test(text));
        assert.ok(hit, `expected ${expected}, found:\n${found.map(({ text }) => text).join('\n')}`);
        assert.ok(hit.text.startsWith(`${kind}: `), hit.text);
        assert.ok(hit.hint.length > 20, `no advice: ${hit.hint}`);
      } finally {
        for (const step of undo) await step();
      }
    });
  }

  test('pods that are being deleted are left out, whatever is wrong with them', async () => {
    const finalizers = ['tulle.dev/test']; // so that it stays
    const labels = { 'config.linkerd.io/skip-inbound-ports': '80', app: 'web' };
    await cluster.request('POST', `${SHOP}/pods`, {
      metadata: { name: 'going', labels, finalizers },
      spec: { containers: [{ name: 'app', image: 'x' }] },
    });
    const path = `${SHOP}/pods/going`;
    await merge(`${path}/status`, { status: { phase: 'Running', podIP: '8.8.8.8', podIPs: [{ ip: '8.8.8.8' }] } });
    assert.equal((await findings()).length, 2);
    await remover(path);
    assert.deepEqual(await findings(), []);
    await merge(path, { metadata: { finalizers: null } });
  });

  test('after all of them were put right there is no finding again', async () => {
    assert.deepEqual(await findings(), []);
  });
});

/** Texts that stand for a list which is the old one with one word changed. */
function expanded(to: unknown, before: ApiObject): unknown {
  const { webhooks, spec } = to as { webhooks?: unknown; spec?: { template?: { spec?: { containers?: unknown } } } };
  if (typeof webhooks === 'string')
    return { webhooks: (before['webhooks'] as object[]).map((one) => ({ ...one, failurePolicy: webhooks })) };
  const image = spec?.template?.spec?.containers;
  if (typeof image !== 'string') return to;
  const { containers } = (before['spec'] as { template: { spec: { containers: object[] } } }).template.spec;
  return { spec: { template: { spec: { containers: containers.map((one) => ({ ...one, image })) } } } };
}

/** An object as it can be created again. */
function withoutServerFields(object: ApiObject): unknown {
  const { metadata, ...rest } = object;
  const { name, namespace: place, labels, annotations } = metadata;
  return { ...rest, metadata: { name, namespace: place, labels, annotations } };
}
