// Conditions of objects that are configuration of the mesh, as an API server has them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import { eventually } from '#k8s/testing.ts';
import { renderCrds, renderGatewayApiCrds } from '../install/render.ts';
import { startControlPlane } from './testing-process.ts';
import { serviceObject } from './testing.ts';

const CRDS = 'customresourcedefinitions.apiextensions.k8s.io';
const DEADLINE_MS = 10_000;
const POLICY = 'policy.linkerd.io';
const TARGET = { group: POLICY, kind: 'Server', name: 'web' };
const SERVER = { podSelector: { matchLabels: { app: 'web' } }, port: 8080 };
const NOW = '2026-01-01T00:00:00Z';

async function setUp(definitions: readonly object[]) {
  const all = await startControlPlane();
  const { client } = all.cluster.server;
  for (const definition of definitions) await client.create(CRDS, definition as never);
  const objectOf = (resource: string, name: string): JsonObject => asObject(client.get(resource, 'shop', name));
  const conditionsOf = (resource: string, name: string): readonly JsonObject[] => {
    const { conditions, parents } = asObject(objectOf(resource, name)['status']);
    return asList(conditions ?? asObject(asList(parents)[0])['conditions']).map(asObject);
  };
  return {
    all,
    client,
    conditionsOf,
    versionOf: (resource: string, name: string) => asObject(objectOf(resource, name)['metadata'])['resourceVersion'],
    /** Conditions in the order of their types. */
    says: (resource: string, name: string): string =>
      conditionsOf(resource, name)
        .map(({ type, status, reason }) => `${String(type)}=${String(status)}/${String(reason)}`)
        .toSorted()
        .join(' '),
  };
}

const DEFINITIONS = [...renderCrds(defaultValues('0.0.0')), ...renderGatewayApiCrds()] as readonly object[];

test('every kind has conditions that say what is ignored and why, and no longer when it is put right', async () => {
  const t = await setUp(DEFINITIONS);
  await using _all = t.all;
  const { client, says } = t;
  const create = (resource: string, name: string, spec: object): Promise<unknown> =>
    client.create(resource, { metadata: { name, namespace: 'shop' }, spec });
  const settles = async (resource: string, name: string, text: string): Promise<void> => {
    await eventually(`${resource} ${name}`, () => says(resource, name) === text, DEADLINE_MS).catch(() => {});
    assert.equal(says(resource, name), text, `${resource} ${name}`);
  };
  const resources = {
    server: `servers.${POLICY}`,
    policy: `authorizationpolicies.${POLICY}`,
    meshTls: `meshtlsauthentications.${POLICY}`,
    network: `networkauthentications.${POLICY}`,
    older: `serverauthorizations.${POLICY}`,
    limit: `httplocalratelimitpolicies.${POLICY}`,
    profile: 'serviceprofiles.linkerd.io',
    split: 'trafficsplits.split.smi-spec.io',
    linkerd: `httproutes.${POLICY}`,
  };
  const unresolved = (code: string): string =>
    `Accepted=True/Accepted ResolvedRefs=False/RefNotFound tulle.dev/Effective=False/${code}`;
  const good = 'Accepted=True/Accepted tulle.dev/Effective=True/Effective';
  const resolved = 'Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs tulle.dev/Effective=True/Effective';

  await create(resources.policy, 'p', {
    targetRef: TARGET,
    requiredAuthenticationRefs: [{ group: POLICY, kind: 'MeshTLSAuthentication', name: 'm' }],
  });
  await settles(resources.policy, 'p', unresolved('TL0204'));
  const [effective] = t.conditionsOf(resources.policy, 'p').filter(({ type }) => type === 'tulle.dev/Effective');
  assert.equal(
    effective?.['message'],
    'TL0204 spec.requiredAuthenticationRefs[0]: MeshTLSAuthentication shop/m does not exist; ' +
      'TL0203 spec.targetRef: Server shop/web does not exist',
  );
  assert.equal(effective['observedGeneration'], 1);
  await create(resources.older, 'o', { server: { name: 'web' }, client: { unauthenticated: true } });
  await settles(resources.older, 'o', unresolved('TL0205'));
  await create(resources.limit, 'l', { targetRef: TARGET, total: { requestsPerSecond: 5 } });
  await settles(resources.limit, 'l', 'Accepted=False/NoMatchingTarget tulle.dev/Effective=False/TL0207');
  await create(resources.linkerd, 'r', { parentRefs: [TARGET], rules: [{ backendRefs: [{ name: 'web', port: 80 }] }] });
  await settles(
    resources.linkerd,
    'r',
    'Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs tulle.dev/Effective=False/TL0102',
  );
  await create(resources.meshTls, 'm', { identities: ['*'] });
  await settles(resources.meshTls, 'm', good);
  await settles(resources.policy, 'p', unresolved('TL0203'));
  await create(resources.network, 'n', { networks: [{ cidr: '10.0.0.0/8' }] });
  await settles(resources.network, 'n', good); // that nobody requires it is a note
  assert.match(String(t.conditionsOf(resources.network, 'n').at(-1)?.['message']), /^TL0208 /);

  await create(resources.server, 'web', SERVER);
  for (const [resource, name, text] of [
    [resources.server, 'web', good],
    [resources.policy, 'p', resolved],
    [resources.older, 'o', resolved],
    [resources.limit, 'l', good],
    [resources.linkerd, 'r', resolved.replace('=True/Effective', '=False/TL0112')],
  ] as const)
    await settles(resource, name, text);

  await create(resources.profile, 'web.shop.svc.cluster.local', { routes: [] });
  await settles(resources.profile, 'web.shop.svc.cluster.local', unresolved('TL0401'));
  await create(resources.split, 's', { service: 'web', backends: [{ service: 'web', weight: 1 }] });
  await settles(resources.split, 's', unresolved('TL0404'));
  await client.create('services', serviceObject('web', '10.96.0.7', [{ port: 80 }]) as never);
  await settles(resources.profile, 'web.shop.svc.cluster.local', resolved);
  await settles(resources.split, 's', resolved);

  const requiredAuthenticationRefs = [{ kind: 'ServiceAccount', name: 'client' }];
  await client.patch(resources.policy, 'shop', 'p', 'merge', { spec: { requiredAuthenticationRefs } });
  await settles(resources.policy, 'p', resolved.replace('=True/Effective', '=False/TL0209'));
  await client.create('serviceaccounts', { metadata: { name: 'client', namespace: 'shop' } });
  await settles(resources.policy, 'p', resolved);

  await client.patch(resources.server, 'shop', 'web', 'merge', { spec: { proxyProtocol: 'HTTP/9' } });
  await settles(resources.server, 'web', 'Accepted=False/Invalid tulle.dev/Effective=False/TL0001');
  assert.deepEqual(
    t.conditionsOf(resources.server, 'web').map(({ observedGeneration }) => observedGeneration),
    [2, 2],
  );
});

test('a parent of a route is not told what is wrong with another one, and what others wrote stays', async () => {
  const t = await setUp(DEFINITIONS);
  await using _all = t.all;
  const { client } = t;
  const gateway = 'httproutes.gateway.networking.k8s.io';
  await client.create('services', serviceObject('web', '10.96.0.7', [{ port: 80 }]) as never);
  const parents = [
    { group: '', kind: 'Service', name: 'web', port: 80 },
    { group: '', kind: 'Service', name: 'gone', port: 80 },
  ];
  await client.create(gateway, { metadata: { name: 'r', namespace: 'shop' }, spec: { parentRefs: parents } });
  const effects = (): readonly string[] =>
    asList(asObject(client.get(gateway, 'shop', 'r')?.['status'])['parents']).map((entry) => {
      const { conditions, controllerName } = asObject(entry);
      const [last] = asList(conditions).map(asObject).toReversed();
      return `${String(controllerName)} ${String(last?.['type'])} ${String(last?.['reason'])}`;
    });
  const ours = ['Effective', 'TL0102'].map((reason) => `tulle.dev/policy-controller tulle.dev/Effective ${reason}`);
  await eventually('both parents', () => JSON.stringify(effects()) === JSON.stringify(ours), DEADLINE_MS);

  const server = `servers.${POLICY}`;
  await client.create(server, { metadata: { name: 'web', namespace: 'shop' }, spec: SERVER });
  await eventually('the Server', () => t.says(server, 'web').startsWith('Accepted=True'), DEADLINE_MS);
  const foreign = { type: 'example.com/Seen', status: 'True', reason: 'Yes', message: '', lastTransitionTime: NOW };
  await client.patch(
    server,
    'shop',
    'web',
    'merge',
    { status: { conditions: [foreign, ...t.conditionsOf(server, 'web').slice(0, 1)] } },
    'status',
  );
  await eventually('what was taken out is back', () => t.conditionsOf(server, 'web').length === 3, DEADLINE_MS);
  assert.ok(t.conditionsOf(server, 'web').some(({ type }) => type === foreign.type));
  // Whatever was written is seen again: it must not be a reason to write once more.
  const versions = (): readonly unknown[] => [t.versionOf(server, 'web'), t.versionOf(gateway, 'r')];
  const before = versions();
  const done = Date.now() + 3_000;
  await eventually('time has passed', () => Date.now() > done, DEADLINE_MS);
  assert.deepEqual(versions(), before);
});

test('EgressNetworks and routes of connections say what became of them, and nothing is written twice', async () => {
  const t = await setUp(DEFINITIONS);
  await using _all = t.all;
  const { client, says } = t;
  const gateway = 'gateway.networking.k8s.io';
  const [networks, tls, tcp] = [`egressnetworks.${POLICY}`, `tlsroutes.${gateway}`, `tcproutes.${gateway}`];
  const create = (resource: string, name: string, spec: object): Promise<unknown> =>
    client.create(resource, { metadata: { name, namespace: 'shop' }, spec });
  const settles = async (resource: string, name: string, text: string): Promise<void> => {
    await eventually(`${resource} ${name}`, () => says(resource, name) === text, DEADLINE_MS).catch(() => {});
    assert.equal(says(resource, name), text, `${resource} ${name}`);
  };
  const egress = { group: POLICY, kind: 'EgressNetwork', name: 'all' };
  const parentRefs = [{ ...egress, port: 443 }];
  const rules = [{ backendRefs: [egress] }];
  const resolved = 'ResolvedRefs=True/ResolvedRefs';
  const good = `Accepted=True/Accepted ${resolved} tulle.dev/Effective=True/Effective`;
  await create(tls, 'by-name', { parentRefs, hostnames: ['a.test'], rules });
  await settles(tls, 'by-name', `Accepted=False/NoMatchingParent ${resolved} tulle.dev/Effective=False/TL0102`);
  await create(networks, 'all', { trafficPolicy: 'Deny', networks: [{ cidr: '10.1.0.0/16' }] });
  await settles(networks, 'all', 'Accepted=False/EgressReasonNetworkOverlap tulle.dev/Effective=False/TL0601');
  await client.patch(networks, 'shop', 'all', 'merge', { spec: { networks: [{ cidr: '203.0.113.0/24' }] } });
  await settles(networks, 'all', 'Accepted=True/Accepted tulle.dev/Effective=True/Effective');
  await settles(tls, 'by-name', good);
  await create(tcp, 'bytes', { parentRefs, rules: [{ backendRefs: [{ name: 'gone', port: 80 }] }] });
  const displaced = 'Accepted=False/RouteReasonConflicted ResolvedRefs=False/BackendNotFound';
  await settles(tcp, 'bytes', `${displaced} tulle.dev/Effective=False/TL0103`);
  const versions = (): readonly unknown[] => [t.versionOf(networks, 'all'), t.versionOf(tls, 'by-name')];
  const before = versions();
  const done = Date.now() + 3_000;
  await eventually('time has passed', () => Date.now() > done, DEADLINE_MS);
  assert.deepEqual(versions(), before);
  await client.delete(networks, 'shop', 'all');
  await settles(tls, 'by-name', `Accepted=False/NoMatchingParent ${resolved} tulle.dev/Effective=False/TL0102`);
});

test('kinds whose definition has no status are left alone', async () => {
  const withoutStatus = DEFINITIONS.map((definition) => {
    const copy = structuredClone(definition) as { spec: { versions: { subresources?: object }[] } };
    for (const version of copy.spec.versions) delete version.subresources;
    return copy;
  });
  const t = await setUp(withoutStatus);
  await using _all = t.all;
  const server = `servers.${POLICY}`;
  await t.client.create(server, { metadata: { name: 'web', namespace: 'shop' }, spec: SERVER });
  const metrics = `http://127.0.0.1:${t.all.destination.adminPort}/metrics`;
  let text = '';
  const looked = /^configuration_rules_seconds_total [0-9.e-]*[1-9]/m;
  const poll = setInterval(() => void fetch(metrics).then(async (answer) => (text = await answer.text())), 100);
  await eventually('the rules were asked', () => looked.test(text), DEADLINE_MS);
  clearInterval(poll);
  assert.equal(t.client.get(server, 'shop', 'web')?.['status'], undefined);
});
