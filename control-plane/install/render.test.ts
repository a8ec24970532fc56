import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { overlay } from '#config/overlay.ts';
import { CNI_ENABLED, defaultValues, HIGH_AVAILABILITY, TINY, type Values } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { toJson, toYaml, type Manifest } from './manifest.ts';
import type { Rule } from './manifests/workload.ts';
import { renderCni, renderCrds, renderGatewayApiCrds, renderInstall } from './render.ts';

const GOLDEN = join(import.meta.dirname, 'testdata', 'install.yaml');
const values = defaultValues(VERSION);
const other: Values = {
  ...values,
  namespace: 'mesh',
  controllerReplicas: 3,
  identityTrustDomain: 'example.org',
  proxy: { ...values.proxy, resources: {}, opaquePorts: '' },
};

const tiny = overlay(values, TINY).values;
const cni = overlay(values, CNI_ENABLED).values;
const name = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.name}`;
const all = [values, other, tiny, overlay(values, HIGH_AVAILABILITY).values, cni];

describe('the manifest', () => {
  test('is the reviewed one; the CustomResourceDefinitions are files of their own (UPDATE=1 writes it anew)', () => {
    const text = toYaml(renderInstall(values).filter(({ kind }) => kind !== 'CustomResourceDefinition'));
    if (process.env['UPDATE'] === '1') {
      mkdirSync(dirname(GOLDEN), { recursive: true });
      writeFileSync(GOLDEN, text);
    }
    assert.ok(existsSync(GOLDEN), 'run this test with UPDATE=1 and review the file');
    assert.equal(
      text,
      readFileSync(GOLDEN, 'utf8'),
      'the manifest changed: run with UPDATE=1 and review the difference',
    );
  });

  test('is the same bytes at every rendering', () => {
    for (const some of all) {
      assert.equal(toYaml(renderInstall(some)), toYaml(renderInstall(structuredClone(some))));
      assert.equal(toJson(renderInstall(some)), toJson(renderInstall(structuredClone(some))));
    }
  });

  test('reads back from YAML and from JSON as what was rendered', () => {
    const objects = renderInstall(values);
    const read = parseAllDocuments(toYaml(objects), { version: '1.1' }).map((document) => document.toJS() as unknown);
    assert.deepEqual(read, objects);
    assert.deepEqual((JSON.parse(toJson(objects)) as { items: unknown }).items, objects);
  });

  test('holds no secret', () => {
    for (const some of all) {
      const text = toYaml(renderInstall(some));
      assert.doesNotMatch(text, /^kind: Secret$/m);
      assert.doesNotMatch(text, /PRIVATE KEY|BEGIN CERTIFICATE|caBundle:/);
    }
  });

  test('has no empty list, map or null outside of schemas: the API server drops them and a second apply would not be "unchanged"', () => {
    for (const some of all) {
      for (const object of renderInstall(some)) {
        if (object.kind === 'CustomResourceDefinition') continue;
        assert.deepEqual(empties(object), [], `${object.kind} ${object.metadata.name}`);
      }
    }
  });

  test('names each object once, its namespace before what is in it, and an account before what uses it', () => {
    const objects = renderInstall(other);
    const ids = objects.map(({ kind, metadata }) => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ids[0], 'Namespace//mesh');
    for (const { kind, metadata } of objects.filter((object) => object.kind === 'Deployment')) {
      assert.ok(ids.indexOf(`ServiceAccount/mesh/${metadata.name}`) < ids.indexOf(`${kind}/mesh/${metadata.name}`));
    }
    assert.ok(objects.every(({ metadata }) => metadata.namespace === undefined || metadata.namespace === 'mesh'));
  });

  test('grants each process only what it uses', () => {
    const granted = new Map(
      renderInstall(values)
        .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
        .map((role) => [`${role.kind} ${role.metadata.name}`, (role['rules'] as Rule[]).map(ruleText)]),
    );
    assert.deepEqual(Object.fromEntries(granted), GRANTED);
    for (const [role, rules] of granted) {
      for (const rule of rules) {
        assert.doesNotMatch(rule, /\*/, `${role}: no wildcard`);
        // Secrets and configuration of others: only by name, and never a list of all.
        if (/secrets/.test(rule)) assert.match(rule, /: create$|\[.+\]: get,update$/, `${role}: ${rule}`);
        assert.doesNotMatch(rule, /delete|escalate|impersonate|bind/, role);
      }
    }
  });

  test('binds each role to the account of the same process, in its namespace', () => {
    for (const binding of renderInstall(other).filter(({ kind }) => kind.endsWith('Binding'))) {
      const { name } = binding['roleRef'] as { name: string };
      assert.equal(name, binding.metadata.name);
      const [subject, ...more] = binding['subjects'] as { kind: string; name: string; namespace: string }[];
      assert.deepEqual([subject?.kind, subject?.namespace, more.length], ['ServiceAccount', 'mesh', 0]);
      assert.ok(name === subject?.name || name === `mesh-${subject?.name}`);
    }
  });

  test('--tiny is one Deployment whose one account has the rights of all three, and Services that find it', () => {
    const objects = renderInstall(tiny);
    const [deployment, ...more] = objects.filter(({ kind }) => kind === 'Deployment');
    assert.deepEqual([deployment?.metadata.name, more.length], ['tulle-control-plane', 0]);
    const of = (kind: string): readonly Manifest[] => objects.filter((object) => object.kind === kind);
    assert.deepEqual(
      of('ServiceAccount').map(({ metadata }) => metadata.name),
      ['tulle-destination'],
    );
    const rules = (some: readonly Manifest[]): unknown =>
      some.filter(({ kind }) => kind.endsWith('Role')).map(({ metadata, rules }) => [metadata.name, rules]);
    assert.deepEqual(rules(objects), rules(renderInstall(values)));
    for (const binding of objects.filter(({ kind }) => kind.endsWith('Binding')))
      assert.deepEqual(binding['subjects'], [
        { kind: 'ServiceAccount', name: 'tulle-destination', namespace: 'tulle' },
      ]);
    assert.ok(deployment);
    const { selector, template } = deployment['spec'] as {
      selector: { matchLabels: object };
      template: { spec: PodSpec };
    };
    const names = of('Service').map(({ metadata, spec }) => {
      assert.deepEqual((spec as { selector: object }).selector, selector.matchLabels);
      return metadata.name;
    });
    assert.deepEqual(
      names,
      renderInstall(values).flatMap(({ kind, metadata }) => (kind === 'Service' ? [metadata.name] : [])),
    );
    const [container] = template.spec.containers;
    const ports = container?.ports.map(({ containerPort }) => containerPort);
    assert.deepEqual(ports, [8080, 8086, 8090, 8443, 9994]);
    const env = container?.env.map(({ name }) => name) ?? [];
    assert.equal(new Set(env).size, env.length);
  });

  test('--ha spreads three replicas, lets one of them go at a time, and keeps pods starting without an injector', () => {
    const objects = renderInstall(overlay(values, HIGH_AVAILABILITY).values);
    const deployments = objects.filter(({ kind }) => kind === 'Deployment');
    const budgets = objects.filter(({ kind }) => kind === 'PodDisruptionBudget');
    assert.equal(deployments.length, 3);
    for (const [index, { metadata, spec }] of deployments.entries()) {
      const { replicas, selector, template } = spec as {
        replicas: number;
        selector: object;
        template: { spec: { affinity: { podAntiAffinity: object } } };
      };
      assert.equal(replicas, 3);
      assert.equal(budgets[index]?.metadata.name, metadata.name);
      assert.deepEqual(budgets[index]?.['spec'], { maxUnavailable: 1, selector });
      assert.match(JSON.stringify(template.spec.affinity.podAntiAffinity), /kubernetes.io\/hostname/);
    }
    assert.doesNotMatch(toJson(objects), /"failurePolicy": "Fail"/);
  });

  test('agents on the nodes are a part that can be applied by itself: privileged, in a namespace of its own, without an account with rights', () => {
    const part = renderCni(cni);
    const whole = renderInstall(cni);
    assert.deepEqual(
      whole.filter((object) => !part.some((one) => JSON.stringify(one) === JSON.stringify(object))).map(name),
      renderInstall(values).map(name),
    );
    assert.deepEqual(part.map(name), ['Namespace tulle-cni', 'ServiceAccount tulle-cni', 'DaemonSet tulle-cni']);
    const [namespace, account, agents] = part;
    assert.equal(namespace?.metadata.labels?.['pod-security.kubernetes.io/enforce'], 'privileged');
    assert.equal(account?.['automountServiceAccountToken'], false);
    assert.doesNotMatch(toJson(whole.filter(({ kind }) => kind.endsWith('Binding'))), /tulle-cni/);
    assert.ok(agents);
    const { template } = agents['spec'] as { template: { spec: { tolerations: object; hostNetwork?: boolean } } };
    assert.deepEqual(template.spec.tolerations, [{ operator: 'Exists' }]);
    assert.equal(template.spec.hostNetwork, undefined);
  });

  test('a value restarts only the processes that use it', () => {
    const templates = (some: Values): readonly string[] =>
      renderInstall(some).flatMap(({ kind, metadata, spec }) =>
        kind === 'Deployment' ? [`${metadata.name} ${JSON.stringify((spec as { template: unknown }).template)}`] : [],
      );
    const changed = (change: Partial<Values>): readonly string[] => {
      const before = new Set(templates(values));
      return templates({ ...values, ...change }).flatMap((text) =>
        before.has(text) ? [] : [text.split(' ', 1)[0] ?? ''],
      );
    };
    assert.deepEqual(changed({ proxy: { ...values.proxy, logLevel: 'debug' } }), ['tulle-injector']);
    assert.deepEqual(changed({ identity: { ...values.identity, issuanceLifetime: '1h' } }), [
      'tulle-identity',
      'tulle-injector',
    ]);
    assert.equal(changed({ controllerLogLevel: 'debug' }).length, 3);
  });

  test('runs every process without root, without capabilities and on a read-only file system', () => {
    const deployments = renderInstall(values).filter(({ kind }) => kind === 'Deployment');
    assert.equal(deployments.length, 3);
    for (const deployment of deployments) {
      const { spec } = (deployment['spec'] as { template: { spec: PodSpec } }).template;
      assert.deepEqual([spec.securityContext.runAsNonRoot, spec.securityContext.runAsUser], [true, 2103]);
      for (const { securityContext, livenessProbe, readinessProbe, resources } of spec.containers) {
        assert.deepEqual(securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        assert.ok(livenessProbe && readinessProbe && resources);
      }
    }
  });

  test('the definitions of Gateway API are apart, whole, and short enough for `kubectl apply`', () => {
    const names = renderGatewayApiCrds().map(({ metadata }) => metadata.name);
    const plurals = ['grpcroutes', 'httproutes', 'referencegrants', 'tcproutes', 'tlsroutes'];
    assert.deepEqual(
      names,
      plurals.map((plural) => `${plural}.gateway.networking.k8s.io`),
    );
    for (const crd of renderGatewayApiCrds()) assert.ok(JSON.stringify(crd).length < 200_000);
    assert.ok(renderCrds(values).every(({ metadata }) => !names.includes(metadata.name)));
  });

  test('--crds renders CustomResourceDefinitions only, each with one storage version', () => {
    const crds = renderCrds(values);
    assert.ok(crds.length >= 6);
    for (const { kind, metadata, ...crd } of crds) {
      assert.equal(kind, 'CustomResourceDefinition');
      const { versions } = crd['spec'] as { versions: { storage: boolean; schema: unknown }[] };
      assert.equal(versions.filter(({ storage }) => storage).length, 1, metadata.name);
      assert.ok(versions.every(({ schema }) => schema !== undefined));
    }
  });
});

type PodSpec = {
  readonly securityContext: { readonly runAsNonRoot: boolean; readonly runAsUser: number };
  readonly containers: readonly {
    readonly ports: readonly { readonly containerPort: number }[];
    readonly env: readonly { readonly name: string }[];
    readonly securityContext: unknown;
    readonly livenessProbe: unknown;
    readonly readinessProbe: unknown;
    readonly resources: unknown;
  }[];
};

/** `apps/deployments [a,b]: get,list`. */
function ruleText({ apiGroups, resources, resourceNames = [], verbs }: Rule): string {
  const group = apiGroups.join(',');
  const names = resourceNames.length === 0 ? '' : ` [${resourceNames.join(',')}]`;
  return `${group === '' ? '' : `${group}/`}${resources.join(',')}${names}: ${verbs.join(',')}`;
}

/** Paths of what is empty. */
function empties(value: unknown, path = ''): readonly string[] {
  if (value === null || value === undefined) return [path];
  if (typeof value !== 'object') return [];
  const entries = Object.entries(value);
  if (entries.length === 0) return [path];
  return entries.flatMap(([key, child]) => empties(child, `${path}.${key}`));
}

/** What each process may do. A change here is a change of what a stolen token can do. */
const GRANTED: Readonly<Record<string, readonly string[]>> = {
  'ClusterRole tulle-tulle-identity': ['authentication.k8s.io/tokenreviews: create'],
  'Role tulle-identity': [
    'secrets,configmaps,events: create',
    'secrets [linkerd-identity-issuer,linkerd-identity-anchor]: get,update',
    'configmaps [linkerd-identity-trust-roots]: get,list,watch,update',
  ],
  'ClusterRole tulle-tulle-destination': [
    'pods,services,nodes,serviceaccounts: list,watch',
    'discovery.k8s.io/endpointslices: list,watch,create,update',
    'workload.linkerd.io/externalworkloads: list,watch',
    'apiextensions.k8s.io/customresourcedefinitions: list,watch',
    'policy.linkerd.io/authorizationpolicies,egressnetworks,httplocalratelimitpolicies,httproutes,meshtlsauthentications,networkauthentications,serverauthorizations,servers: list,watch',
    'linkerd.io/serviceprofiles: list,watch',
    'split.smi-spec.io/trafficsplits: list,watch',
    'gateway.networking.k8s.io/httproutes,grpcroutes,tlsroutes,tcproutes: list,watch',
    'gateway.networking.k8s.io/httproutes/status,grpcroutes/status,tlsroutes/status,tcproutes/status: patch',
    'policy.linkerd.io/authorizationpolicies/status,egressnetworks/status,httplocalratelimitpolicies/status,httproutes/status,meshtlsauthentications/status,networkauthentications/status,serverauthorizations/status,servers/status: patch',
    'linkerd.io/serviceprofiles/status: patch',
    'split.smi-spec.io/trafficsplits/status: patch',
  ],
  'Role tulle-destination': [
    'coordination.k8s.io/leases: create',
    'coordination.k8s.io/leases [tulle-policy-status]: get,update',
    'configmaps [linkerd-identity-trust-roots]: list,watch',
  ],
  'ClusterRole tulle-tulle-injector': [
    'namespaces: get,list,watch',
    'events: create',
    'pods: list,watch',
    'pods/eviction: create',
    'admissionregistration.k8s.io/mutatingwebhookconfigurations [tulle-injector-webhook-config]: get,patch',
    'admissionregistration.k8s.io/validatingwebhookconfigurations [tulle-policy-validator-webhook-config]: get,patch',
  ],
  'Role tulle-injector': [
    'configmaps [linkerd-identity-trust-roots]: list,watch',
    'secrets: create',
    'secrets [tulle-injector-k8s-tls]: get,update',
    'coordination.k8s.io/leases: create',
    'coordination.k8s.io/leases [tulle-injector-repair]: get,update',
  ],
};
