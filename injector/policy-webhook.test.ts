import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { ROUTE_KINDS } from '../control-plane/dialects/route-kinds.ts';
import { webhookManifests } from '../control-plane/install/manifests/injector.ts';
import { PolicyStore } from '../control-plane/policy/policy-store.ts';
import { EXTERNAL_WORKLOADS } from '../control-plane/dialects/external-workload.ts';
import { TRAFFIC_KINDS } from '../control-plane/policy/traffic-objects.ts';
import { selectServer } from '../control-plane/dialects/linkerd-servers.ts';
import { type PolicyObjects } from '../control-plane/dialects/policy-objects.ts';
import { refusalsOf } from '../control-plane/diagnosis/own-problems.ts';
import { policyContextOf, reviewPolicy } from './policy-webhook.ts';
import { ReviewError } from './webhook.ts';

const context = policyContextOf(defaultValues('0.0.0-test'));
const SELECTOR = { podSelector: { matchLabels: { app: 'web' } } };
const TARGET = { group: 'policy.linkerd.io', kind: 'Server', name: 'web' };
const MESH_TLS = { group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name: 'a' };
const NETWORK = { group: 'policy.linkerd.io', kind: 'NetworkAuthentication', name: 'n' };
const ACCOUNT = { kind: 'ServiceAccount', name: 'web' };
const BY_NAME = { server: { name: 'web' } };

function objectOf(kind: string, spec: object, name = 'bad'): object {
  const groups: Readonly<Record<string, string>> = { ServiceProfile: 'linkerd.io', TrafficSplit: 'split.smi-spec.io' };
  const group = groups[kind] ?? 'policy.linkerd.io';
  return { apiVersion: `${group}/v1`, kind, metadata: { namespace: 'shop', name }, spec };
}

function parsed(object: object): CustomObject {
  const { kind, apiVersion } = object as { kind: string; apiVersion: string };
  const found = customKind({ group: apiVersion.split('/')[0] ?? '', kind, plural: '' }, 'v1').parse(object);
  assert.ok(found);
  return found;
}

function requestOf(object: object, oldObject?: object): object {
  const { kind, apiVersion } = object as { kind: string; apiVersion: string };
  return { request: { uid: 'u-1', kind: { group: apiVersion.split('/')[0], kind }, object, oldObject } };
}

const networks = (cidr: unknown, ...except: readonly unknown[]): object => ({ networks: [{ cidr, except }] });
const policy = (...requiredAuthenticationRefs: readonly object[]): object => ({
  targetRef: TARGET,
  requiredAuthenticationRefs,
});

/** Kind, spec, and the only field that may be named. */
const BAD: readonly (readonly [string, object, string])[] = [
  ['Server', { port: 80 }, 'spec.podSelector'],
  ['Server', { ...SELECTOR, externalWorkloadSelector: {}, port: 80 }, 'spec.externalWorkloadSelector'],
  ['Server', SELECTOR, 'spec.port'],
  ['Server', { ...SELECTOR, port: 0 }, 'spec.port'],
  ['Server', { ...SELECTOR, port: 70_000 }, 'spec.port'],
  ['Server', { ...SELECTOR, port: 'Not_A_Name' }, 'spec.port'],
  ['Server', { ...SELECTOR, port: 90, proxyProtocol: 'HTTP/3' }, 'spec.proxyProtocol'],
  ['Server', { ...SELECTOR, port: 90, proxyProtocol: 'constructor' }, 'spec.proxyProtocol'],
  ['Server', { ...SELECTOR, port: 90, accessPolicy: 'nobody' }, 'spec.accessPolicy'],
  [
    'Server',
    { podSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] }, port: 90 },
    'spec.podSelector.matchExpressions[0].operator',
  ],
  [
    'Server',
    { podSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] }, port: 90 },
    'spec.podSelector.matchExpressions[0].values',
  ],
  ['AuthorizationPolicy', { requiredAuthenticationRefs: [] }, 'spec.targetRef'],
  ['AuthorizationPolicy', { targetRef: TARGET }, 'spec.requiredAuthenticationRefs'],
  [
    'AuthorizationPolicy',
    { targetRef: { kind: 'Service', name: 'web' }, requiredAuthenticationRefs: [] },
    'spec.targetRef.kind',
  ],
  [
    'AuthorizationPolicy',
    { targetRef: { kind: 'Server', name: 'web' }, requiredAuthenticationRefs: [] }, // without the group
    'spec.targetRef.kind',
  ],
  [
    'AuthorizationPolicy',
    { targetRef: { kind: 'Namespace', name: 'bank' }, requiredAuthenticationRefs: [] },
    'spec.targetRef.name',
  ],
  [
    'AuthorizationPolicy',
    { targetRef: { ...TARGET, namespace: 'bank' }, requiredAuthenticationRefs: [] },
    'spec.targetRef.namespace',
  ],
  [
    'AuthorizationPolicy',
    { targetRef: { ...TARGET, name: '' }, requiredAuthenticationRefs: [] },
    'spec.targetRef.name',
  ],
  ['AuthorizationPolicy', policy(MESH_TLS, { ...MESH_TLS, name: 'b' }), 'spec.requiredAuthenticationRefs[1]'],
  ['AuthorizationPolicy', policy(ACCOUNT, ACCOUNT), 'spec.requiredAuthenticationRefs[1]'],
  ['AuthorizationPolicy', policy(NETWORK, MESH_TLS, ACCOUNT), 'spec.requiredAuthenticationRefs[2]'],
  ['AuthorizationPolicy', policy(NETWORK, NETWORK), 'spec.requiredAuthenticationRefs[1]'],
  ['AuthorizationPolicy', policy({ kind: 'Secret', name: 's' }), 'spec.requiredAuthenticationRefs[0].kind'],
  ['AuthorizationPolicy', policy({ ...MESH_TLS, name: '' }), 'spec.requiredAuthenticationRefs[0].name'],
  ['MeshTLSAuthentication', {}, 'spec.identities'],
  ['MeshTLSAuthentication', { identities: ['*'], identityRefs: [ACCOUNT] }, 'spec.identityRefs'],
  ['MeshTLSAuthentication', { identities: ['*', 'Web.Shop'] }, 'spec.identities[1]'],
  ['MeshTLSAuthentication', { identities: ['web*.shop'] }, 'spec.identities[0]'],
  ['MeshTLSAuthentication', { identities: ['*.'] }, 'spec.identities[0]'],
  ['MeshTLSAuthentication', { identities: ['spiffe://cluster.local/ns/../sa'] }, 'spec.identities[0]'],
  ['MeshTLSAuthentication', { identities: [7] }, 'spec.identities[0]'],
  ['MeshTLSAuthentication', { identityRefs: [{ kind: 'Pod', name: 'x' }] }, 'spec.identityRefs[0].kind'],
  [
    'MeshTLSAuthentication',
    { identityRefs: [{ kind: 'Namespace', name: 'x', namespace: 'y' }] },
    'spec.identityRefs[0].namespace',
  ],
  ['NetworkAuthentication', { networks: [] }, 'spec.networks'],
  ['NetworkAuthentication', networks('10.0.0.0/40'), 'spec.networks[0].cidr'],
  ['NetworkAuthentication', networks('example.com'), 'spec.networks[0].cidr'],
  ['NetworkAuthentication', networks('10.0.0.0/8', 'x'), 'spec.networks[0].except[0]'],
  ['NetworkAuthentication', networks('10.0.0.0/8', '10.0.0.0/8'), 'spec.networks[0].except[0]'],
  ['NetworkAuthentication', networks('10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/16'), 'spec.networks[0].except[1]'],
  ['NetworkAuthentication', networks('fd00::/8', '10.0.0.0/16'), 'spec.networks[0].except[0]'],
  ['ServerAuthorization', { server: {}, client: { unauthenticated: true } }, 'spec.server'],
  [
    'ServerAuthorization',
    { server: { name: 'web', selector: {} }, client: { unauthenticated: true } },
    'spec.server.selector',
  ],
  ['ServerAuthorization', { ...BY_NAME, client: {} }, 'spec.client'],
  ['ServerAuthorization', { ...BY_NAME, client: { unauthenticated: true, meshTLS: {} } }, 'spec.client.meshTLS'],
  [
    'ServerAuthorization',
    { ...BY_NAME, client: { meshTLS: { unauthenticatedTLS: true, identities: ['*'] } } },
    'spec.client.meshTLS.unauthenticatedTLS',
  ],
  [
    'ServerAuthorization',
    { ...BY_NAME, client: { meshTLS: { identities: ['a b'] } } },
    'spec.client.meshTLS.identities[0]',
  ],
  [
    'ServerAuthorization',
    { ...BY_NAME, client: { meshTLS: { serviceAccounts: [{ namespace: 'x' }] } } },
    'spec.client.meshTLS.serviceAccounts[0].name',
  ],
  [
    'ServerAuthorization',
    { ...BY_NAME, client: { unauthenticated: true, ...networks('1.2.3') } },
    'spec.client.networks[0].cidr',
  ],
  ['ServiceProfile', { routes: [{ condition: { method: 'GET' } }] }, 'spec.routes[0].name'],
  [
    'ServiceProfile',
    { routes: [{ name: 'r', condition: { method: 'GET' }, timeout: 'soon' }] },
    'spec.routes[0].timeout',
  ],
  ['ServiceProfile', { routes: [{ name: 'r', condition: { pathRegex: '(' } }] }, 'spec.routes[0].condition.pathRegex'],
  ['HTTPLocalRateLimitPolicy', { targetRef: TARGET }, 'spec'],
  ['HTTPLocalRateLimitPolicy', { targetRef: TARGET, total: { requestsPerSecond: 0 } }, 'spec.total.requestsPerSecond'],
  [
    'HTTPLocalRateLimitPolicy',
    { targetRef: { ...TARGET, kind: 'HTTPRoute' }, total: { requestsPerSecond: 1 } },
    'spec.targetRef.kind',
  ],
  [
    'HTTPLocalRateLimitPolicy',
    { targetRef: TARGET, overrides: [{ requestsPerSecond: 1, clientRefs: [] }] },
    'spec.overrides[0].clientRefs',
  ],
  ['TrafficSplit', { backends: [{ service: 'a', weight: 1 }] }, 'spec.service'],
  ['TrafficSplit', { service: 'web', backends: [] }, 'spec.backends'],
  [
    'TrafficSplit',
    {
      service: 'web',
      backends: [
        { service: 'a', weight: 'x' },
        { service: 'b', weight: 1 },
      ],
    },
    'spec.backends[0].weight',
  ],
];

const GOOD: readonly object[] = [
  objectOf('Server', { ...SELECTOR, port: 8080, accessPolicy: 'deny' }, 'web'),
  objectOf('AuthorizationPolicy', policy(ACCOUNT), 'good'),
];

/** What a pod's port 8080 comes to with these objects. */
function effectOf(objects: readonly object[]): unknown {
  const all = objects.map(parsed);
  const found: PolicyObjects = {
    list: (kind, namespace) => all.filter((object) => object.kind === kind && object.namespace === namespace),
    routes: () => [],
    get: (kind, namespace, name) =>
      all.find((object) => object.kind === kind && object.namespace === namespace && object.name === name),
  };
  const pod = PODS.parse({ metadata: { namespace: 'shop', name: 'web-1', labels: { app: 'web' } } });
  assert.ok(pod);
  return selectServer(pod, 8080, found, context);
}

describe('an object that can never work is refused with the field that is wrong, and affects nothing else', () => {
  for (const [kind, spec, field] of BAD) {
    test(`${kind} ${JSON.stringify(spec)}`, () => {
      const object = objectOf(kind, spec);
      const code = kind === 'TrafficSplit' ? 'TL0403' : 'TL0001';
      assert.deepEqual(
        refusalsOf(parsed(object), context).map((problem) => `${problem.code} ${problem.field}`),
        [`${code} ${field}`],
      );
      const { response } = reviewPolicy(requestOf(object), context);
      assert.equal(response.allowed, false);
      assert.ok(
        response.status?.message.startsWith(`${kind} shop/bad can never work: ${code} ${field}: `),
        JSON.stringify(response),
      );
      assert.deepEqual(effectOf([object, ...GOOD]), effectOf(GOOD));
    });
  }

  test('good objects, and kinds that are not judged, are admitted', () => {
    for (const object of [...GOOD, { ...objectOf('Server', {}), apiVersion: 'example.org/v1' }])
      assert.deepEqual(reviewPolicy(requestOf(object), context).response, { uid: 'u-1', allowed: true });
  });

  test('an object that was bad before can be labelled and deleted, and can be corrected only to something good', () => {
    const bad = objectOf('Server', { ...SELECTOR, port: 0 });
    const labelled = { ...bad, metadata: { namespace: 'shop', name: 'bad', labels: { a: 'b' } } };
    assert.equal(reviewPolicy(requestOf(labelled, bad), context).response.allowed, true);
    const worse = objectOf('Server', { ...SELECTOR, port: -1 });
    assert.equal(reviewPolicy(requestOf(worse, bad), context).response.allowed, false);
    const better = objectOf('Server', { ...SELECTOR, port: 80 });
    assert.equal(reviewPolicy(requestOf(better, bad), context).response.allowed, true);
  });

  test('a policy of a route is admitted', () => {
    const targetRef = { group: 'policy.linkerd.io', kind: 'HTTPRoute', name: 'r' };
    const object = objectOf('AuthorizationPolicy', { targetRef, requiredAuthenticationRefs: [] });
    assert.deepEqual(reviewPolicy(requestOf(object), context).response, { uid: 'u-1', allowed: true });
  });

  test('a route of a Server is refused for what can never be matched or done there, and warned of what is for clients only', () => {
    const parent = { group: 'policy.linkerd.io', kind: 'Server', name: 'web' };
    const service = { group: '', kind: 'Service', name: 'web' };
    const rewrite = { type: 'URLRewrite', urlRewrite: { hostname: 'a' } };
    const bad: readonly (readonly [object, string])[] = [
      [{ parentRefs: [{ ...parent, namespace: 'other' }] }, 'spec.parentRefs[0].namespace'],
      [{ parentRefs: [{ ...parent, port: 80 }] }, 'spec.parentRefs[0].port'],
      [{ parentRefs: [{ ...parent, sectionName: 'a' }] }, 'spec.parentRefs[0].sectionName'],
      [{ parentRefs: [parent], hostnames: ['_'] }, 'spec.hostnames[0]'],
      [
        { parentRefs: [parent], rules: [{ matches: [{ path: { value: 'a' } }] }] },
        'spec.rules[0].matches[0].path.value',
      ],
      [{ parentRefs: [parent], rules: [{ filters: [rewrite] }] }, 'spec.rules[0].filters[0].type'],
    ];
    for (const [spec, field] of bad) {
      const { response } = reviewPolicy(requestOf(objectOf('HTTPRoute', spec)), context);
      assert.equal(response.allowed, false, JSON.stringify(spec));
      assert.ok(
        response.status?.message.startsWith(`HTTPRoute shop/bad can never work: TL0001 ${field}: `),
        JSON.stringify(response),
      );
    }
    const ofBoth = objectOf('HTTPRoute', { parentRefs: [parent, service], rules: [{ filters: [rewrite] }] });
    assert.deepEqual(reviewPolicy(requestOf(ofBoth), context).response, { uid: 'u-1', allowed: true });
    const rules = [
      { matches: [{ method: 'GET' }], backendRefs: [{ name: 'web', port: 80 }], timeouts: { request: '1s' } },
    ];
    const { response } = reviewPolicy(requestOf(objectOf('HTTPRoute', { parentRefs: [parent], rules })), context);
    assert.equal(response.allowed, true);
    assert.deepEqual(response.warnings, [
      'tulle: TL0112 spec.rules[0].backendRefs: has no effect: all parents of the route are Servers',
      'tulle: TL0112 spec.rules[0].timeouts: has no effect: all parents of the route are Servers',
    ]);
  });

  test('every kind that is judged is one that the API server asks about', () => {
    const [, webhook] = webhookManifests(defaultValues('0.0.0-test')) as readonly unknown[] as readonly {
      readonly webhooks: readonly {
        readonly failurePolicy: string;
        readonly timeoutSeconds: number;
        readonly rules: readonly { readonly apiGroups: readonly string[]; readonly resources: readonly string[] }[];
      }[];
    }[];
    const [only, more] = webhook?.webhooks ?? [];
    assert.equal(more, undefined);
    assert.equal(only?.failurePolicy, 'Ignore');
    assert.ok((only?.timeoutSeconds ?? 99) <= 5);
    const asked = only?.rules.flatMap(({ apiGroups, resources }) =>
      apiGroups.flatMap((group) => resources.map((resource) => `${resource}.${group}`)),
    );
    const kinds = [...new PolicyStore().kinds, ...TRAFFIC_KINDS, ...ROUTE_KINDS, EXTERNAL_WORKLOADS];
    assert.deepEqual(
      kinds.map(({ plural, group }) => `${plural}.${group}`).filter((name) => !asked?.includes(name)),
      [],
    );
  });

  test('the largest object that there can be is judged in time, and the answer stays small', () => {
    const identities = Array.from({ length: 200_000 }, (_, index) => `Web*${index}`);
    const began = performance.now();
    const { response } = reviewPolicy(requestOf(objectOf('MeshTLSAuthentication', { identities })), context);
    const deep = (depth: number): object => (depth === 0 ? { method: 'GET' } : { all: [deep(depth - 1)] });
    const nested = objectOf('ServiceProfile', { routes: [{ name: 'r', condition: deep(2_000) }] });
    assert.equal(reviewPolicy(requestOf(nested), context).response.allowed, false);
    assert.equal(response.allowed, false);
    assert.ok(JSON.stringify(response).length < 4096);
    assert.ok(performance.now() - began < 2_500, `${performance.now() - began} ms`); // half of what the API server waits
  });

  test('what is not understood in a route of clients is admitted and warned of; routes of Gateways are for others', () => {
    const parentRefs = [{ group: '', kind: 'Service', name: 'web' }];
    const wrong = { filters: [{ type: 'Compress' }] };
    const warnings = (spec: object): unknown =>
      reviewPolicy(requestOf(objectOf('HTTPRoute', spec)), context).response.warnings;
    const field = 'spec.rules[0].filters[0].type: filters of type "Compress" are not supported';
    assert.deepEqual(warnings({ parentRefs, rules: [wrong] }), [`tulle: TL0101 ${field}`]);
    assert.deepEqual(warnings({ parentRefs, rules: [wrong, {}] }), [`tulle: TL0114 ${field}`]);
    assert.equal(warnings({ parentRefs, rules: [{}] }), undefined);
    assert.equal(warnings({ parentRefs: [{ name: 'edge', kind: 'Gateway' }], rules: [wrong] }), undefined);
  });

  test('annotations that nobody reads are warned of', () => {
    const warnings = (annotations: object): readonly string[] => {
      const route = objectOf('HTTPRoute', { parentRefs: [{ group: '', kind: 'Service', name: 'web' }] });
      const metadata = { namespace: 'shop', name: 'bad', annotations };
      return reviewPolicy(requestOf({ ...route, metadata }), context).response.warnings ?? [];
    };
    const field = 'metadata.annotations[retry.linkerd.io/limits]';
    const guess = 'is no known annotation: did you mean retry.linkerd.io/limit?';
    assert.deepEqual(warnings({ 'retry.linkerd.io/limits': '2' }), [`tulle: TL0304 ${field}: ${guess}`]);
  });

  test('session persistence is admitted, and warned of only where it can have no effect', () => {
    const web = { group: '', kind: 'Service', name: 'web' };
    const egress = { group: 'policy.linkerd.io', kind: 'EgressNetwork', name: 'all', port: 80 };
    const warnings = (parent: object, rule: object): unknown => {
      const rules = [{ sessionPersistence: { type: 'Cookie' }, ...rule }];
      return reviewPolicy(requestOf(objectOf('HTTPRoute', { parentRefs: [parent], rules })), context).response.warnings;
    };
    const field = 'spec.rules[0].sessionPersistence';
    assert.equal(warnings(web, {}), undefined);
    assert.equal(warnings(egress, { backendRefs: [{ name: 'web', port: 80 }] }), undefined);
    assert.deepEqual(warnings(egress, {}), [
      `tulle: TL0113 ${field}: has no effect: requests go to the address that the client asks for`,
    ]);
    assert.deepEqual(warnings(web, { filters: [{ type: 'RequestRedirect', requestRedirect: {} }] }), [
      `tulle: TL0113 ${field}: has no effect: the rule redirects`,
    ]);
    assert.deepEqual(warnings(web, { sessionPersistence: { idleTimeout: 'soon' } }), [
      `tulle: TL0101 ${field}.idleTimeout: "soon" is not a duration such as 500ms, 10s or 1h30m`,
    ]);
  });

  test('routes of connections and of EgressNetworks, and EgressNetworks, are refused for what can never work', () => {
    const egress = { group: 'policy.linkerd.io', kind: 'EgressNetwork', name: 'all' };
    const parentRefs = [{ ...egress, port: 443 }];
    const rules = [{ backendRefs: [{ name: 'web', port: 80 }] }];
    const hostnames = ['a.test'];
    const gateway = (kind: string, spec: object): object => ({
      ...objectOf(kind, spec),
      apiVersion: 'gateway.networking.k8s.io/v1',
    });
    const bad: readonly (readonly [object, string])[] = [
      [objectOf('EgressNetwork', { trafficPolicy: 'Reject' }), 'spec.trafficPolicy'],
      [objectOf('EgressNetwork', { trafficPolicy: 'Deny', networks: [] }), 'spec.networks'],
      [objectOf('EgressNetwork', { trafficPolicy: 'Deny', ...networks('some') }), 'spec.networks[0].cidr'],
      [
        objectOf('EgressNetwork', { trafficPolicy: 'Deny', ...networks('203.0.113.0/24', '203.0.114.0/24') }),
        'spec.networks[0].except[0]',
      ],
      [objectOf('HTTPRoute', { parentRefs: [egress] }), 'spec.parentRefs[0].port'],
      [gateway('GRPCRoute', { parentRefs: [egress] }), 'spec.parentRefs[0].port'],
      [gateway('TLSRoute', { parentRefs: [egress], hostnames, rules }), 'spec.parentRefs[0].port'],
      [gateway('TLSRoute', { parentRefs, hostnames: ['192.0.2.1'], rules }), 'spec.hostnames[0]'],
      [gateway('TLSRoute', { parentRefs, hostnames, rules: [] }), 'spec.rules'],
      [gateway('TCPRoute', { parentRefs, rules: [...rules, ...rules] }), 'spec.rules'],
    ];
    for (const [object, field] of bad) {
      const { response } = reviewPolicy(requestOf(object), context);
      const message = response.status?.message ?? '';
      assert.ok(message.includes(` shop/bad can never work: TL0001 ${field}: `), JSON.stringify([object, response]));
    }
    const good = [
      objectOf('EgressNetwork', { trafficPolicy: 'Allow' }),
      objectOf('EgressNetwork', { trafficPolicy: 'Deny', ...networks('10.0.0.0/8') }), // its status says why it is not in effect
      objectOf('HTTPRoute', { parentRefs }),
      gateway('TLSRoute', { parentRefs, hostnames, rules }),
      gateway('TCPRoute', { parentRefs, rules: [{ backendRefs: [{ name: 'gone' }] }] }),
    ];
    for (const object of good) assert.equal(reviewPolicy(requestOf(object), context).response.allowed, true);
  });

  test('what is no review is not answered', () => {
    for (const body of [undefined, null, [], {}, { request: {} }, { request: { uid: 7 } }])
      assert.throws(() => reviewPolicy(body, context), ReviewError);
  });
});
