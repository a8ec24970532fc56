import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { CODES } from '../../control-plane/diagnosis/codes.ts';
import { renderCrds, renderGatewayApiCrds, renderInstall } from '../../control-plane/install/render.ts';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../../sandbox/demo/apply.ts';
import { connect } from '../cluster.ts';
import { Folder, tulle } from '../testing.ts';

/** All of this an API server takes: what is wrong with it shows only when it has no effect. */
const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, annotations: { linkerd.io/inject: enabled } }
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations:
    retry.linkerd.io/limit: many
spec: { selector: { app: web }, ports: [{ port: 80 }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: web }]
  rules:
    - matches: [{ path: { type: PathPrefix, value: /a } }]
      backendRefs:
        - { name: web, port: 80 }
        - { name: gone, port: 80 }
    - matches: [{ path: { type: PathPrefix, value: /a } }]
---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: a, namespace: shop }
spec: { server: { name: nobody }, client: { unauthenticated: true } }
`;
const CODES_OF_OBJECTS = ['TL0103', 'TL0105', 'TL0205', 'TL0302'];

type Finding = {
  readonly code: string;
  readonly field: string;
  readonly location?: { readonly file: string; readonly line: number };
};
const codes = (out: string): readonly string[] =>
  (JSON.parse(out) as readonly Finding[]).map(({ code }) => code).toSorted();

describe('tulle analyze of files', () => {
  const folder = new Folder();
  after(() => folder[Symbol.dispose]());
  const file = folder.write('shop.yaml', OBJECTS);

  test('names each finding with its place, what it means and what to do, and fails for errors', async () => {
    const { code, out, err } = await tulle(['analyze', '-f', file]);
    assert.deepEqual([code, err], [1, '']);
    assert.match(
      out,
      /shop\.yaml:24: error TL0103: httproute\.gateway\.networking\.k8s\.io shop\/r: spec\.rules\[0\]\.backendRefs\[1\]: Service shop\/gone not found\n {4}What is sent to the backend fails\. Correct the backendRef/,
    );
    assert.match(out, /shop\.yaml:25: warning TL0105: .*spec\.rules\[1\]: rule 0 of HTTPRoute shop\/r decides/);
    assert.match(
      out,
      /shop\.yaml:12: warning TL0302: service shop\/web: metadata\.annotations\[retry\.linkerd\.io\/limit\]/,
    );
    assert.match(out, /\n4 objects: 1 error, 3 warnings, 0 notes\n$/);
  });

  test('warnings alone do not fail; nothing found is said', async () => {
    const { code, out } = await tulle(['analyze', '-f', '-'], OBJECTS.replace('name: gone', 'name: web'));
    assert.equal(code, 0, out);
    const fine = await tulle(['analyze', '-f', '-'], 'apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n');
    assert.deepEqual(fine, { code: 0, out: '1 object: nothing found\n', err: '' });
  });

  test('what is no object is left out of a folder, and said; broken YAML is an error', async () => {
    using mixed = new Folder();
    mixed.write('shop.yaml', OBJECTS);
    const kustomization = mixed.write('kustomization.yaml', 'kind: Kustomization\nresources: [shop.yaml]\n');
    const values = mixed.write('values.yaml', 'replicas: 2\n');
    const { out, err } = await tulle(['analyze', '-f', mixed.path, '-o', 'json']);
    assert.deepEqual(codes(out), CODES_OF_OBJECTS);
    for (const name of [kustomization, values]) assert.match(err, new RegExp(`${name}:1: not a Kubernetes .*left out`));
    assert.match((await tulle(['analyze', '-f', values])).err, /not a Kubernetes object/);
    const broken = mixed.write('template.yaml', 'metadata: { name: {{ .Release.Name }}\n');
    assert.match((await tulle(['analyze', '-f', mixed.path])).err, new RegExp(broken));
  });

  test('JSON has code, object, field, place and remedy', async () => {
    const { out } = await tulle(['analyze', '-f', folder.path, '-o', 'json']);
    assert.deepEqual(codes(out), CODES_OF_OBJECTS);
    const [first] = JSON.parse(out) as readonly object[];
    assert.deepEqual(first, {
      code: 'TL0103',
      name: 'backend-not-usable',
      severity: 'error',
      object: { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop', name: 'r' },
      field: 'spec.rules[0].backendRefs[1]',
      message: 'Service shop/gone not found',
      remedy: CODES.TL0103.remedy,
      location: { file, line: 24 },
    });
  });

  test('SARIF 2.1.0: a rule for each code, a result for each finding that refers to it, with file and line', async () => {
    const { code, out } = await tulle(['analyze', '-f', file, '-o', 'sarif']);
    assert.equal(code, 1);
    const log = JSON.parse(out) as {
      readonly version: string;
      readonly runs: readonly {
        readonly tool: {
          readonly driver: { readonly name: string; readonly rules: readonly { readonly id: string }[] };
        };
        readonly results: readonly {
          readonly ruleId: string;
          readonly ruleIndex: number;
          readonly level: string;
          readonly message: { readonly text: string };
          readonly locations: readonly {
            readonly physicalLocation: { readonly artifactLocation: { readonly uri: string }; readonly region: object };
          }[];
        }[];
      }[];
    };
    assert.deepEqual([log.version, log.runs.length], ['2.1.0', 1]);
    const [run] = log.runs;
    const { rules } = run?.tool.driver ?? { rules: [] };
    assert.deepEqual(
      rules.map(({ id }) => id),
      Object.keys(CODES),
    );
    assert.equal(run?.results.length, 4);
    for (const { ruleId, ruleIndex, level, message } of run.results) {
      assert.equal(rules[ruleIndex]?.id, ruleId);
      assert.ok(['error', 'warning', 'note'].includes(level) && message.text !== '');
    }
    const { artifactLocation, region } = run.results[0]?.locations[0]?.physicalLocation ?? {};
    assert.deepEqual([artifactLocation?.uri, region], [`file://${file}`, { startLine: 24 }]);
  });

  test('items of a List are objects, and have their own lines', async () => {
    const list =
      'apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: shop\n    annotations:\n      linkerd.io/inject: "on"\n';
    const { code, out } = await tulle(['analyze', '-f', '-'], list);
    assert.equal(code, 1);
    assert.match(out, /^standard input:9: error TL0503: namespace shop: /);
  });

  test('a namespace narrows the findings, and is that of objects without one', async () => {
    const server =
      'apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: { name: s }\nspec: { podSelector: {}, port: 0 }\n';
    assert.match((await tulle(['analyze', '-f', '-', '-n', 'shop'], server)).out, /shop\/s: spec\.port/);
    assert.match((await tulle(['analyze', '-f', '-'], server)).out, /default\/s: spec\.port/);
    assert.deepEqual((await tulle(['analyze', '-f', file, '-n', 'other', '-o', 'json'])).out, '[]\n');
  });

  test('what is no manifest is said with its place, and is no finding', async () => {
    const broken = await tulle(['analyze', '-f', '-'], 'kind: [\n');
    assert.equal(broken.code, 1);
    assert.match(broken.err, /^tulle: standard input: /);
    assert.match((await tulle(['analyze', '-f', '-'], '- a\n')).err, /not a Kubernetes object/);
    assert.match((await tulle(['analyze', '-f', '-'], '')).err, /there is no Kubernetes object in it/);
    assert.match((await tulle(['analyze', '-f', '/no/such'])).err, /there is no such file or folder/);
    assert.equal((await tulle(['analyze', '-f', file, '-o', 'yaml'])).code, 2);
    assert.equal((await tulle(['analyze', 'shop.yaml'])).code, 2);
  });
});

describe('tulle analyze of what cannot be read', () => {
  test('an object that is refused for its name is a finding, and the others are looked at', async () => {
    const named = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {${name}}\n---\n`;
    const text = `${OBJECTS}---\n${named(' name: 5 ')}${named(' name: off ')}${named(' namespace: shop ')}${named('')}`;
    const { code, out, err } = await tulle(['analyze', '-f', '-'], text);
    assert.deepEqual([code, err], [1, '']);
    assert.match(
      out,
      /^standard input:34: error TL0003: configmap default\/5: metadata\.name: is 5, which is no text: put it in quotes\n/,
    );
    assert.match(out, /configmap default\/false: metadata\.name: is false, which is no text/);
    assert.match(out, /configmap shop\/\(no name\): metadata\.name: is missing\n/);
    assert.match(out, /TL0103: httproute\.gateway\.networking\.k8s\.io shop\/r/);
    assert.match(out, /\n8 objects: 5 errors, 3 warnings, 0 notes\n$/);
    const sarif = await tulle(['analyze', '-f', '-', '-o', 'sarif'], text);
    assert.match(sarif.out, /"text": "ConfigMap default\/5: metadata\.name: /);
  });

  test('YAML whose aliases stand for one another without end is refused in a line', async () => {
    const ten = (of: string): string => `[${Array.from({ length: 10 }, () => of).join(', ')}]`;
    const bomb = `kind: A\napiVersion: v1\nmetadata: { name: a }\na: &a ${ten('x')}\nb: &b ${ten('*a')}\nc: &c ${ten('*b')}\nd: ${ten('*c')}\n`;
    const { code, err } = await tulle(['analyze', '-f', '-'], bomb);
    assert.equal(code, 1);
    assert.match(err, /^tulle: standard input: aliases of YAML \(\*name\): Excessive alias count[^\n]*\n$/);
  });
});

describe('tulle analyze of a cluster', () => {
  let server: TestServer;
  before(async () => {
    server = await TestServer.start();
    const values = defaultValues(VERSION);
    const cluster = await connect({ kubeconfig: server.kubeconfigPath });
    const config = renderInstall(values).filter(({ kind }) => kind === 'Namespace' || kind === 'ConfigMap');
    await applyAll(cluster, [...config, ...renderCrds(values), ...renderGatewayApiCrds(), ...readManifests(OBJECTS)]);
    cluster.close();
  });
  after(() => server[Symbol.asyncDispose]());

  test('finds what it finds in the files that were applied', async () => {
    const { code, out, err } = await tulle([
      'analyze',
      '--kubeconfig',
      server.kubeconfigPath,
      '-n',
      'shop',
      '-o',
      'json',
    ]);
    assert.deepEqual([code, err], [1, '']);
    assert.deepEqual(codes(out), CODES_OF_OBJECTS);
  });

  test('takes versions that the cluster serves, though we would install others', async () => {
    const cluster = await connect({ kubeconfig: server.kubeconfigPath });
    const [definition] = renderGatewayApiCrds().filter(({ metadata }) => metadata.name.startsWith('tcproutes.'));
    assert.ok(definition);
    const { versions, ...spec } = definition['spec'] as { versions: object[] };
    const older = { ...definition, spec: { ...spec, versions: [{ ...versions[0], name: 'v1alpha2' }] } } as never;
    const route = {
      apiVersion: 'gateway.networking.k8s.io/v1alpha2',
      kind: 'TCPRoute',
      metadata: { name: 'older', namespace: 'old' },
      spec: {
        parentRefs: [{ group: '', kind: 'Service', name: 'gone' }],
        rules: [{ backendRefs: [{ name: 'gone', port: 80 }] }],
      },
    };
    await cluster.request(
      'DELETE',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tcproutes.gateway.networking.k8s.io',
    );
    await applyAll(cluster, [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'old' } },
      older,
      route,
    ] as never);
    cluster.close();
    const { out } = await tulle(['analyze', '--kubeconfig', server.kubeconfigPath, '-n', 'old', '-o', 'json']);
    assert.deepEqual(codes(out), ['TL0102', 'TL0103']);
    const file = (version: string): string =>
      JSON.stringify({ ...route, apiVersion: `gateway.networking.k8s.io/${version}` });
    assert.deepEqual(codes((await against(file('v1alpha2'), '-o', 'json')).out), ['TL0102', 'TL0103']);
    assert.match((await against(file('v1'))).out, /TL0002: .*v1 of TCPRoute is not served: use one of v1alpha2/);
  });

  const against = (manifest: string, ...more: readonly string[]): ReturnType<typeof tulle> =>
    tulle(['analyze', '-f', '-', '--against-cluster', '--kubeconfig', server.kubeconfigPath, ...more], manifest);

  test('judges files beside what the cluster holds, whose own findings stay out', async () => {
    const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: more }
spec:
  parentRefs: [{ group: "", kind: Service, name: web }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: /b } }], backendRefs: [{ name: web, port: 80 }] }]
`;
    const alone = await tulle(['analyze', '-f', '-', '-n', 'shop', '-o', 'json'], route);
    assert.deepEqual(codes(alone.out), ['TL0102', 'TL0103']);
    const { code, out, err } = await against(route, '-n', 'shop');
    assert.deepEqual([code, out, err], [0, '1 object: nothing found\n', '']);
  });

  test('a file takes the place of its object in the cluster, and what that breaks there is told', async () => {
    const service =
      'apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop }\nspec: { ports: [{ port: 81 }] }\n';
    const { code, out } = await against(service);
    assert.equal(code, 1);
    assert.match(
      out,
      /^error TL0103: httproute\.gateway\.networking\.k8s\.io shop\/r: spec\.rules\[0\]\.backendRefs\[0\]: /,
    );
    assert.match(out, /\n1 object: 1 error, 0 warnings, 0 notes\n$/);
    const sarif = await against(service, '-o', 'sarif');
    assert.match(sarif.out, /"fullyQualifiedName": "gateway\.networking\.k8s\.io\/HTTPRoute\/shop\/r\//);
  });

  test('a namespace that does not exist is a mistake, unless the files make it', async () => {
    const { code, err } = await tulle(['analyze', '--kubeconfig', server.kubeconfigPath, '-n', 'shopp']);
    assert.deepEqual(
      [code, err],
      [2, 'tulle: --namespace is "shopp", and there is no such namespace: did you mean shop?\n'],
    );
    const namespace = 'apiVersion: v1\nkind: Namespace\nmetadata: { name: fresh }\n';
    assert.equal((await against(namespace, '-n', 'fresh')).code, 0);
    assert.equal((await against(namespace, '-n', 'nope')).code, 2);
    assert.equal((await tulle(['analyze', '--against-cluster'])).code, 2);
  });

  test('says where there is no installation', async () => {
    const { code, err } = await tulle(['analyze', '--kubeconfig', server.kubeconfigPath, '-L', 'elsewhere']);
    assert.equal(code, 1);
    assert.match(err, /there is no Tulle in namespace elsewhere/);
  });
});
