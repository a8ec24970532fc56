// InboundServerPolicies, as a foreign proxy sees them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startWorld, type Namespace, type World } from './testing.ts';
import type { Message } from './wire.ts';

const GATEWAY = 'gateway.networking.k8s.io';
const POLICY = 'policy.linkerd.io';
const TEN_SECONDS = { seconds: 10n };
const SUFFIX = 'serviceaccount.identity.tulle.cluster.local';
const EVERYWHERE = [{ net: { ip: { ipv4: 0 } } }, { net: { ip: { ipv6: {} } } }];

let world: World;
let shop: Namespace;
before(async () => {
  world = await startWorld();
  shop = await world.namespace('shop');
  await world.define(GATEWAY);
  await world.define(POLICY);
});
after(() => world[Symbol.asyncDispose]());

const port = (pod: string, number: number, more = ''): Message => ({
  workload: `{"ns":"shop","pod":"${pod}"${more}}\n`,
  port: number,
});

const UNAUTHENTICATED = { unauthenticated: {} };
const ANY_IDENTITY = { meshTLS: { identities: { suffixes: [{}] } } };

function defaultAuthz(name: string, networks: readonly Message[], authentication: Message): Message {
  return { networks, authentication, labels: { group: '', kind: 'default', name }, metadata: { default: name } };
}

function defaultServer(name: string, protocol: Message, authorizations?: readonly Message[]): Message {
  return { protocol, labels: { group: '', kind: 'default', name }, ...(authorizations && { authorizations }) };
}

const DEFAULT_ROUTE = { metadata: { default: 'default' }, rules: [{ matches: [{ path: { prefix: '/' } }] }] };
const DETECT = { detect: { timeout: TEN_SECONDS, http_routes: [DEFAULT_ROUTE] } };
const OPEN = defaultAuthz('all-unauthenticated', EVERYWHERE, UNAUTHENTICATED);

function probeRoute(...paths: readonly string[]): Message {
  return {
    metadata: { default: 'probe' },
    authorizations: [defaultAuthz('probe', EVERYWHERE, UNAUTHENTICATED)],
    rules: [{ matches: paths.map((exact) => ({ path: { exact }, method: { registered: 0 } })) }],
  };
}

function object(kind: string, name: string, version: string, spec: Message): Parameters<Namespace['put']>[1] {
  return { apiVersion: `${POLICY}/${version}`, kind, metadata: { name }, spec };
}

function authz(kind: string, name: string, networks: readonly Message[], authentication: Message): Message {
  const resource = { group: POLICY, kind, name, namespace: 'shop' };
  return { networks, authentication, labels: { group: POLICY, kind, name }, metadata: { resource } };
}

test('workloads that are not there, and what is no workload', async () => {
  for (const [request, code] of [
    [port('nobody', 80), 'NOT_FOUND'],
    [{ workload: 'shop:nobody', port: 80 }, 'NOT_FOUND'],
    [port('nobody', 0), 'INVALID_ARGUMENT'],
    [port('nobody', 65_536), 'INVALID_ARGUMENT'],
    [{ workload: 'nobody', port: 80 }, 'INVALID_ARGUMENT'],
    [{ workload: '{"ns":"shop"}', port: 80 }, 'INVALID_ARGUMENT'],
    [{ workload: '{', port: 80 }, 'INVALID_ARGUMENT'],
    [{}, 'INVALID_ARGUMENT'],
  ] as const) {
    assert.equal(await world.policy.ask('getPort', request), code, JSON.stringify(request));
    assert.equal(await world.policy.open('watchPort', request).end(), code, JSON.stringify(request));
  }
});

test('a pod without a Server: made, annotated with each default policy, opaque, deleted', async () => {
  const probe = { httpGet: { path: '/ready', port: 8080 } };
  const containers = [
    {
      name: 'web',
      image: 'web',
      ports: [{ name: 'http', containerPort: 8080 }],
      readinessProbe: probe,
      livenessProbe: { httpGet: { path: 'live?x=1', port: 'http' } },
      startupProbe: { httpGet: { path: '/other', port: 9090 } },
    },
  ];
  await shop.pod('web', ['10.42.1.1'], { spec: { containers } });
  const probed = { detect: { timeout: TEN_SECONDS, http_routes: [probeRoute('/live', '/ready'), DEFAULT_ROUTE] } };
  const stream = world.policy.open('watchPort', port('web', 8080));
  const server = defaultServer('all-unauthenticated', probed, [OPEN]);
  const expected = { ...server };
  assert.deepEqual(await stream.next('the default'), expected);
  assert.deepEqual(await world.policy.ask('getPort', port('web', 8080)), expected);
  assert.deepEqual(
    await world.policy.ask('getPort', { workload: 'shop:web', port: 4191 }),
    defaultServer('all-unauthenticated', DETECT, [OPEN]),
  );

  const annotate = (annotations: Message) => shop.patch('pods', 'web', { metadata: { annotations } });
  const policy = 'config.linkerd.io/default-inbound-policy';
  const cluster = [
    { net: { ip: { ipv4: 0x0a00_0000 }, prefix_len: 8 } },
    { net: { ip: { ipv4: 0x6440_0000 }, prefix_len: 10 } },
    { net: { ip: { ipv4: 0xac10_0000 }, prefix_len: 12 } },
    { net: { ip: { ipv4: 0xc0a8_0000 }, prefix_len: 16 } },
    { net: { ip: { ipv6: { first: 0xfd00_0000_0000_0000n } }, prefix_len: 8 } },
  ];
  for (const [name, authorizations] of [
    ['deny', undefined],
    ['all-authenticated', [defaultAuthz('all-authenticated', EVERYWHERE, ANY_IDENTITY)]],
    ['cluster-unauthenticated', [defaultAuthz('cluster-unauthenticated', cluster, UNAUTHENTICATED)]],
    ['cluster-authenticated', [defaultAuthz('cluster-authenticated', cluster, ANY_IDENTITY)]],
    ['audit', [defaultAuthz('audit', EVERYWHERE, UNAUTHENTICATED)]],
  ] as const) {
    await annotate({ [policy]: name });
    assert.deepEqual(await stream.next(name), defaultServer(name, probed, authorizations), name);
  }
  await annotate({ [policy]: null, 'config.linkerd.io/proxy-require-identity-inbound-ports': '8080' });
  assert.deepEqual(
    await stream.next('identity'),
    defaultServer('all-authenticated', probed, [defaultAuthz('all-authenticated', EVERYWHERE, ANY_IDENTITY)]),
  );
  await annotate({
    'config.linkerd.io/proxy-require-identity-inbound-ports': null,
    'config.linkerd.io/opaque-ports': 'http',
  });
  assert.deepEqual(await stream.next('opaque'), defaultServer('all-unauthenticated', { opaque: {} }, [OPEN]));
  await shop.deletePod('web');
  assert.equal(await stream.end(), 'NOT_FOUND');
});

test('a Server takes its port: each protocol, access policy, authorizations of every kind, and back', async () => {
  const labels = { app: 'served', 'linkerd.io/control-plane-ns': 'tulle' };
  await shop.pod('served', ['10.42.2.1'], { metadata: { labels } });
  const stream = world.policy.open('watchPort', port('served', 8080));
  const other = world.policy.open('watchPort', port('served', 9090));
  await stream.next('the default');
  await other.next('the default');
  const put = (spec: Message) =>
    shop.put(
      `servers.${POLICY}`,
      object('Server', 'served', 'v1beta3', { podSelector: { matchLabels: { app: 'served' } }, port: 8080, ...spec }),
    );
  const taken = (protocol: Message, authorizations?: readonly Message[]): Message => ({
    protocol,
    labels: { group: POLICY, kind: 'server', name: 'served' },
    ...(authorizations && { authorizations }),
  });
  await put({});
  assert.deepEqual(await stream.next('the Server'), taken(DETECT), 'who is not let in is out');
  for (const [proxyProtocol, protocol] of [
    ['HTTP/1', { http1: { routes: [DEFAULT_ROUTE] } }],
    ['HTTP/2', { http2: { routes: [DEFAULT_ROUTE] } }],
    ['opaque', { opaque: {} }],
    ['TLS', { tls: {} }],
    ['unknown', DETECT],
  ] as const) {
    await put({ proxyProtocol });
    assert.deepEqual(await stream.next(proxyProtocol), taken(protocol), proxyProtocol);
  }
  await put({ accessPolicy: 'all-authenticated' });
  const access = defaultAuthz('all-authenticated', EVERYWHERE, ANY_IDENTITY);
  assert.deepEqual(await stream.next('the access policy'), taken(DETECT, [access]));
  await put({});
  assert.deepEqual(await stream.next('without'), taken(DETECT));

  await shop.put(
    `meshtlsauthentications.${POLICY}`,
    object('MeshTLSAuthentication', 'friends', 'v1alpha1', {
      identities: [`a.shop.${SUFFIX}`, '*.example.com', 'spiffe://root/x'],
    }),
  );
  await shop.put(
    `networkauthentications.${POLICY}`,
    object('NetworkAuthentication', 'near', 'v1alpha1', {
      networks: [{ cidr: '10.1.0.0/16', except: ['10.1.2.0/24'] }],
    }),
  );
  const near = [
    {
      net: { ip: { ipv4: 0x0a01_0000 }, prefix_len: 16 },
      except: [{ ip: { ipv4: 0x0a01_0200 }, prefix_len: 24 }],
    },
  ];
  const target = { group: POLICY, kind: 'Server', name: 'served' };
  const ref = (kind: string, name: string): Message => ({ group: POLICY, kind, name });
  const authorization = (name: string, targetRef: Message, requiredAuthenticationRefs: readonly Message[]) =>
    shop.put(
      `authorizationpolicies.${POLICY}`,
      object('AuthorizationPolicy', name, 'v1alpha1', { targetRef, requiredAuthenticationRefs }),
    );
  await authorization('friends-near', target, [
    ref('MeshTLSAuthentication', 'friends'),
    ref('NetworkAuthentication', 'near'),
  ]);
  const identities = {
    identities: [{ name: `a.shop.${SUFFIX}` }, { name: 'spiffe://root/x' }],
    suffixes: [{ parts: ['example', 'com'] }],
  };
  const friends = authz('authorizationpolicy', 'friends-near', near, { meshTLS: { identities } });
  assert.deepEqual(await stream.next('friends'), taken(DETECT, [friends]));

  await authorization('ops', { kind: 'Namespace', name: 'shop' }, [
    { kind: 'ServiceAccount', name: 'ops', namespace: 'prod' },
  ]);
  const ops = authz('authorizationpolicy', 'ops', EVERYWHERE, {
    meshTLS: { identities: { identities: [{ name: `ops.prod.${SUFFIX}` }] } },
  });
  const { authorizations } = await stream.next('the whole namespace');
  assert.deepEqual(new Set(authorizations as Message[]), new Set([friends, ops]));
  await shop.delete(`authorizationpolicies.${POLICY}`, 'ops');
  assert.deepEqual(await stream.next('friends alone'), taken(DETECT, [friends]));
  await shop.delete(`networkauthentications.${POLICY}`, 'near');
  assert.deepEqual(await stream.next('a reference to nothing'), taken(DETECT), 'grants nothing');
  await shop.delete(`authorizationpolicies.${POLICY}`, 'friends-near');

  await shop.put(
    `serverauthorizations.${POLICY}`,
    object('ServerAuthorization', 'older', 'v1beta1', {
      server: { name: 'served' },
      client: { meshTLS: { unauthenticatedTLS: true }, networks: [{ cidr: '10.1.0.0/16', except: ['10.1.2.0/24'] }] },
    }),
  );
  const older = authz('serverauthorization', 'older', near, { meshTLS: { unauthenticated: {} } });
  assert.deepEqual(await stream.next('the older kind'), taken(DETECT, [older]));

  await shop.put(
    `httplocalratelimitpolicies.${POLICY}`,
    object('HTTPLocalRateLimitPolicy', 'limit', 'v1alpha1', {
      targetRef: target,
      total: { requestsPerSecond: 100 },
      identity: { requestsPerSecond: 10 },
      overrides: [{ requestsPerSecond: 50, clientRefs: [{ kind: 'ServiceAccount', name: 'ops', namespace: 'prod' }] }],
    }),
  );
  const limit = {
    metadata: { resource: { group: POLICY, kind: 'HTTPLocalRateLimitPolicy', name: 'limit', namespace: 'shop' } },
    total: { requestsPerSecond: 100 },
    identity: { requestsPerSecond: 10 },
    overrides: [{ limit: { requestsPerSecond: 50 }, clients: { identities: [{ name: `ops.prod.${SUFFIX}` }] } }],
  };
  assert.deepEqual(
    await stream.next('a limit'),
    taken({ detect: { timeout: TEN_SECONDS, http_routes: [DEFAULT_ROUTE], http_local_rate_limit: limit } }, [older]),
  );
  assert.deepEqual(other.unread, [], 'other ports have nothing to do with it');
  await shop.delete(`servers.${POLICY}`, 'served');
  assert.deepEqual(await stream.next('no Server'), defaultServer('all-unauthenticated', DETECT, [OPEN]));
});

test('routes of a Server have clients of their own; a GRPCRoute needs a Server that says gRPC', async () => {
  await shop.pod('routed', ['10.42.3.1'], {
    metadata: { labels: { app: 'routed', 'linkerd.io/control-plane-ns': 'tulle' } },
  });
  const stream = world.policy.open('watchPort', port('routed', 8080));
  await stream.next('the default');
  const server = (proxyProtocol: string) =>
    shop.put(
      `servers.${POLICY}`,
      object('Server', 'routed', 'v1beta3', {
        podSelector: { matchLabels: { app: 'routed' } },
        port: 8080,
        proxyProtocol,
      }),
    );
  await server('HTTP/1');
  await stream.next('the Server');
  const parentRefs = [{ group: POLICY, kind: 'Server', name: 'routed' }];
  await shop.put(
    `httproutes.${POLICY}`,
    object('HTTPRoute', 'read', 'v1beta3', {
      parentRefs,
      rules: [{ matches: [{ path: { type: 'Exact', value: '/read' }, method: 'GET' }] }],
    }),
  );
  const route = (more: Message = {}): Message => ({
    metadata: { resource: { group: POLICY, kind: 'HTTPRoute', name: 'read', namespace: 'shop' } },
    ...more,
    rules: [{ matches: [{ path: { exact: '/read' }, method: { registered: 0 } }] }],
  });
  const labels = { group: POLICY, kind: 'server', name: 'routed' };
  const plain = await stream.next('the route');
  assert.deepEqual(plain, { protocol: { http1: { routes: [route()] } }, labels });

  await shop.put(
    `authorizationpolicies.${POLICY}`,
    object('AuthorizationPolicy', 'readers', 'v1alpha1', {
      targetRef: { group: POLICY, kind: 'HTTPRoute', name: 'read' },
      requiredAuthenticationRefs: [],
    }),
  );
  const readers = authz('authorizationpolicy', 'readers', EVERYWHERE, UNAUTHENTICATED);
  assert.deepEqual(await stream.next('its clients'), {
    protocol: { http1: { routes: [route({ authorizations: [readers] })] } },
    labels,
  });
  await shop.delete(`httproutes.${POLICY}`, 'read');
  assert.deepEqual(await stream.next('no route'), { protocol: { http1: { routes: [DEFAULT_ROUTE] } }, labels });

  await shop.put(`grpcroutes.${GATEWAY}`, {
    apiVersion: `${GATEWAY}/v1`,
    kind: 'GRPCRoute',
    metadata: { name: 'calls' },
    spec: { parentRefs, rules: [{ matches: [{ method: { service: 'shop.Cart' } }] }] },
  });
  await server('gRPC');
  const calls = {
    metadata: { resource: { group: GATEWAY, kind: 'GRPCRoute', name: 'calls', namespace: 'shop' } },
    rules: [{ matches: [{ rpc: { service: 'shop.Cart' } }] }],
  };
  assert.deepEqual(await stream.next('gRPC'), { protocol: { grpc: { routes: [calls] } }, labels });
  await shop.delete(`grpcroutes.${GATEWAY}`, 'calls');
  assert.deepEqual(await stream.next('no calls'), { protocol: { http2: { routes: [DEFAULT_ROUTE] } }, labels });
});
