import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { renderInstall } from '../control-plane/install/render.ts';
import { decide } from '../injector/decision.ts';
import { parsePod } from '../injector/pod.ts';
import { TestServer } from '../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../sandbox/demo/apply.ts';
import { connect, type Cluster } from './cluster.ts';
import { tulle, type Outcome } from './testing.ts';

const MANIFEST = `---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: app # stays
          image: example.dev/web
          ports: [{containerPort: 3306}]
          env: [{name: MODE, value: "0644"}]
`;

type Template = {
  readonly metadata: { readonly labels: object; readonly annotations: object };
  readonly spec: { readonly initContainers: readonly object[]; readonly volumes: readonly object[] };
};

describe('inject --manual', () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
    await applyAll(cluster, renderInstall(defaultValues(VERSION)));
    const annotations = { 'config.linkerd.io/proxy-log-level': 'debug' };
    await cluster.request('POST', '/api/v1/namespaces', { metadata: { name: 'shop', annotations } });
  });
  after(async () => {
    cluster?.close();
    await server?.[Symbol.asyncDispose]();
  });
  const inject = (text: string, ...flags: readonly string[]): Promise<Outcome> =>
    tulle(['inject', '--manual', '-', '--kubeconfig', server.kubeconfigPath, ...flags], text);

  test('without trust anchors it says so', async () => {
    const { code, out, err } = await inject(MANIFEST);
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /there are no trust anchors yet \(configmaps\/linkerd-identity-trust-roots in tulle\)/);
    await cluster.request('POST', '/api/v1/namespaces/tulle/configmaps', {
      metadata: { name: 'linkerd-identity-trust-roots' },
      data: { 'ca-bundle.crt': server.server.caCertificate },
    });
  });

  test('the pods have what the webhook would give them, which leaves them alone then; uninject takes it out again', async () => {
    const { code, out, err } = await inject(MANIFEST);
    assert.deepEqual([code, err], [0, 'deployment "web" injected\n']);
    assert.match(out, /- name: app # stays$/m);
    const [deployment] = readManifests(out);
    assert.ok(deployment);
    const { template } = deployment['spec'] as { template: Template };
    assert.deepEqual(template.metadata.labels, {
      app: 'web',
      'linkerd.io/control-plane-ns': 'tulle',
      'linkerd.io/workload-ns': 'shop',
      'linkerd.io/proxy-deployment': 'web',
    });
    assert.match(JSON.stringify(template.metadata.annotations), /"config.linkerd.io\/opaque-ports":"3306"/);
    const text = JSON.stringify(template.spec);
    assert.match(text, /"name":"linkerd-init"[^]*"name":"linkerd-proxy"/);
    assert.match(text, /"name":"LINKERD2_PROXY_LOG","value":"debug"/, 'what the namespace says counts');
    assert.match(text, /"containerPort":4143/, 'a number stays one');
    assert.ok(text.includes(JSON.stringify(server.server.caCertificate)), 'the trust anchors of now');
    assert.equal(template.spec.volumes.length, 2);
    assert.deepEqual(decide(parsePod(template), { annotations: {}, labels: {} }, false), {
      kind: 'skip',
      reason: 'sidecar_already_exists',
      message: 'the pod has a container named linkerd-init already',
    });
    await applyAll(cluster, [deployment]);
    const removed = await tulle(['uninject', '-'], out);
    const settings = [
      '      annotations:',
      '        config.linkerd.io/proxy-log-level: debug',
      '        config.linkerd.io/opaque-ports: "3306"',
      '    spec:\n',
    ].join('\n');
    assert.equal(removed.out, MANIFEST.replace('    spec:\n', settings));
  });

  test('what cannot have a proxy is told with the reason, and an alias with what to do', async () => {
    const windows = MANIFEST.replace('    spec:\n      cont', '    spec:\n      os: {name: windows}\n      cont');
    assert.match(
      (await inject(windows)).err,
      /^deployment "web" skipped: the pod is for windows; the proxy runs on linux/,
    );
    const twice = `${MANIFEST}          x: 1\n`.replace('containers:', 'initContainers: &c []\n      containers:');
    assert.equal((await inject(twice)).code, 0, 'an anchor is no alias');
    const alias = MANIFEST.replace(
      '      labels: {app: web}\n    spec:',
      '      labels: &l {app: web}\n    spec:\n      volumes: *v',
    ).replace('metadata:\n  name: web', 'metadata:\n  name: web\n  x: &v []');
    const { code, out, err } = await inject(alias);
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /deployment "web": spec\.template\.spec\.volumes is an alias: write out what it stands for/);
  });

  test('--disable contradicts it', async () => {
    assert.match((await inject(MANIFEST, '--disable')).err, /--manual and --disable exclude each other/);
  });
});
