import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Patterns } from '#runtime/pattern.ts';
import { networkMatches, type Authorization, type Client } from './authorization.ts';
import type { Backend } from './backend.ts';
import { evaluateConnection, evaluateInbound, evaluateOutbound } from './evaluate.ts';
import { authorizeRequest, isUniform, type InboundRoute, type InboundServer } from './inbound.ts';
import type { HttpMatch, RequestHead } from './match.ts';
import type { OutboundPolicy } from './outbound.ts';
import type { Profile } from './profile.ts';
import type { ResourceRef } from './resource-ref.ts';
import type { HttpRule } from './route.ts';
import { seededRandom } from '../../test/harness/random.ts';

const PATTERNS = new Patterns(10);

function request(method: string, path: string, more: Partial<RequestHead> = {}): RequestHead {
  const rest = { query: '', host: 'web.shop', header: () => undefined, matchesPattern: PATTERNS.matches };
  return { method, path, ...rest, ...more };
}

function object(kind: string, name: string): ResourceRef {
  return { type: 'resource', group: 'policy.linkerd.io', kind, name, namespace: 'shop' };
}

function service(name: string): Backend {
  const ref = { type: 'resource', group: 'core', kind: 'Service', name, namespace: 'shop', port: 80 } as const;
  return { ref, target: { kind: 'balancer', authority: `${name}.shop.svc.cluster.local:80` } };
}

const WEB = service('web');

function rule(path: string, more: Partial<HttpRule> = {}): HttpRule {
  return {
    matches: [{ path: { kind: 'prefix', value: path }, headers: [], queryParams: [] }],
    filters: [],
    distribution: { kind: 'first-available', backends: [{ backend: WEB, filters: [] }] },
    timeouts: {},
    allowsRequestHeaders: false,
    ...more,
  };
}

function policy(...rules: readonly HttpRule[]): OutboundPolicy {
  const opaque = {
    ref: { type: 'default', name: 'opaq' },
    filters: [],
    distribution: { kind: 'first-available', backends: [{ backend: WEB, filters: [] }] },
  } as const;
  const routes = [{ ref: object('HTTPRoute', 'web'), hosts: [], rules }];
  return { ref: WEB.ref, protocol: { kind: 'detect', timeoutMs: 1, opaque, routes } };
}

const PROFILE: Profile = {
  fullyQualifiedName: 'web.shop.svc.cluster.local',
  isOpaque: false,
  parent: WEB.ref,
  ref: object('ServiceProfile', 'web.shop.svc.cluster.local'),
  retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 },
  routes: [
    {
      condition: { kind: 'method', method: 'POST' },
      responseClasses: [],
      labels: { route: 'write' },
      isRetryable: false,
    },
    {
      condition: {
        kind: 'all',
        conditions: [
          { kind: 'path', pattern: '/a.*' },
          { kind: 'not', condition: { kind: 'path', pattern: '/ab' } },
        ],
      },
      responseClasses: [],
      labels: { route: 'a' },
      isRetryable: true,
      timeoutMs: 300,
    },
  ],
};

test('the rule that matches most specifically decides, and is named with its place in the object', () => {
  const known = { policy: policy(rule('/', { index: 0 }), rule('/api', { index: 1, timeouts: { requestMs: 7 } })) };
  const verdict = evaluateOutbound(known, request('GET', '/api/x'));
  assert.deepEqual(verdict, {
    kind: 'routed',
    decider: { ref: object('HTTPRoute', 'web'), rule: 1 },
    filters: [],
    shares: [{ ref: WEB.ref, ratio: 1 }],
    timeouts: { requestMs: 7 },
  });
});

test('a rule says that its requests have sessions, whatever the shares of its backends are', () => {
  const session = { carrier: { kind: 'cookie', name: 'sid', isPermanent: false }, scope: 'a' } as const;
  const known = { policy: policy(rule('/a', { session }), rule('/')) };
  const sessions = ['/a/b', '/b'].map((path) => {
    const verdict = evaluateOutbound(known, request('GET', path));
    return verdict.kind === 'routed' ? verdict.session : verdict.kind;
  });
  assert.deepEqual(sessions, [session, undefined]);
});

test('a request that no rule matches is answered by the proxy, and the Service is named', () => {
  assert.deepEqual(evaluateOutbound({ policy: policy(rule('/api')) }, request('GET', '/x')), {
    kind: 'no-route',
    decider: { ref: WEB.ref },
    reason: 'no route of service shop/web:80 matches GET /x',
  });
});

test('shares are those of the weights; a backend that cannot be used keeps its share and says why', () => {
  const failure = { kind: 'failure', status: 500, message: 'Service shop/gone not found' } as const;
  const backends = [
    { backend: service('v1'), weight: 9, filters: [] },
    { backend: { ...service('gone'), target: { kind: 'none' as const } }, weight: 1, filters: [failure] },
  ];
  const known = { policy: policy(rule('/', { distribution: { kind: 'random-available', backends } })) };
  const verdict = evaluateOutbound(known, request('GET', '/'));
  assert.deepEqual(verdict.kind === 'routed' && verdict.shares, [
    { ref: service('v1').ref, ratio: 0.9 },
    { ref: service('gone').ref, ratio: 0.1, failure: 'Service shop/gone not found' },
  ]);
});

test('a ServiceProfile with routes comes before the routes of the policy; its first route that holds decides', () => {
  const known = { profile: PROFILE, policy: policy(rule('/')) };
  const place = (method: string, path: string): unknown => {
    const verdict = evaluateOutbound(known, request(method, path));
    assert.equal(verdict.kind, 'routed');
    return verdict.kind === 'routed' && [verdict.decider?.rule, verdict.retry, verdict.timeouts.requestMs];
  };
  assert.deepEqual(place('POST', '/a'), [0, undefined, undefined]);
  assert.deepEqual(place('GET', '/a'), [1, 'budget', 300]);
  assert.deepEqual(place('GET', '/ab'), [undefined, undefined, undefined]);
  const { routes: _none, ...plain } = PROFILE;
  const verdict = evaluateOutbound({ ...known, profile: plain }, request('GET', '/a'));
  assert.deepEqual(verdict.kind === 'routed' && verdict.decider, { ref: object('HTTPRoute', 'web') });
});

test('a target of a profile that can have no endpoints gets nothing, and others its share; when all are so, all fails', () => {
  const target = (name: string, weight: number) => {
    const authority = `${name}.shop.svc.cluster.local:80`;
    return name.startsWith('override') ? { authority, weight } : { authority, weight, ref: service(name).ref };
  };
  const sharesOf = (...targets: readonly ReturnType<typeof target>[]) => {
    const profile = { ...PROFILE, targets };
    const absenceOf = ({ authority }: { readonly authority: string }) =>
      authority.includes('gone') ? 'does not exist' : undefined;
    const verdicts = [
      evaluateOutbound({ profile, absenceOf }, request('GET', '/')),
      evaluateConnection({ profile, absenceOf }),
    ];
    const [ofRequest, ofConnection] = verdicts.map((verdict) => verdict.kind === 'routed' && verdict.shares);
    assert.deepEqual(ofRequest, ofConnection);
    return ofRequest;
  };
  assert.deepEqual(sharesOf(target('v1', 3), target('gone', 4), target('override', 1)), [
    { ref: service('v1').ref, ratio: 0.75 },
    { ref: service('gone').ref, ratio: 0, absence: 'does not exist' },
    { authority: 'override.shop.svc.cluster.local:80', ratio: 0.25 },
  ]);
  assert.deepEqual(sharesOf(target('v1', 0), target('gone', 4)), [
    { ref: service('v1').ref, ratio: 0 },
    { ref: service('gone').ref, ratio: 1, failure: 'does not exist' },
  ]);
});

test('an opaque port has no requests: the connection is routed', () => {
  const verdict = evaluateOutbound(
    { profile: { ...PROFILE, isOpaque: true }, policy: policy(rule('/')) },
    request('GET', '/'),
  );
  assert.deepEqual(verdict.kind === 'routed' && verdict.decider, { ref: PROFILE.ref });
});

test('connections of TLS routes go by the most specific server name', () => {
  const route = (name: string, serverNames: readonly string[]) => ({
    ref: object('TLSRoute', name),
    serverNames: serverNames.map((host) => ({ kind: 'exact' as const, host })),
    filters: [],
    distribution: { kind: 'first-available' as const, backends: [{ backend: WEB, filters: [] }] },
  });
  const known = {
    policy: { ref: WEB.ref, protocol: { kind: 'tls' as const, routes: [route('any', []), route('a', ['a.test'])] } },
  };
  const decider = (name: string | undefined) => evaluateConnection(known, name).decider;
  assert.deepEqual(decider('a.test'), { ref: object('TLSRoute', 'a') });
  assert.deepEqual(decider('b.test'), { ref: object('TLSRoute', 'any') });
  assert.equal(evaluateConnection(known).kind, 'no-route');
});

const WEB_SERVER: InboundServer = {
  ref: object('server', 'web'),
  protocol: {
    kind: 'http1',
    routes: [],
    rateLimit: { ref: object('HTTPLocalRateLimitPolicy', 'calm'), total: 10, overrides: [] },
  },
  authorizations: [
    {
      ref: object('authorizationpolicy', 'clients'),
      networks: networkMatches(['0.0.0.0/0']),
      authentication: { kind: 'identities', names: ['client.shop.test'], suffixes: [] },
    },
  ],
};

test('inbound: the authorization that lets in, or the Server that denies; the limit only of who got in', () => {
  const client: Client = { address: '10.0.0.1', tls: { kind: 'mesh', identity: 'client.shop.test' } };
  const allowed = evaluateInbound(WEB_SERVER, client, request('GET', '/'));
  assert.deepEqual([allowed.isAllowed, allowed.decider.ref], [true, object('authorizationpolicy', 'clients')]);
  assert.deepEqual(allowed.rateLimit?.limits, { total: 10 });
  const denied = evaluateInbound(WEB_SERVER, { ...client, tls: { kind: 'none' } }, request('GET', '/'));
  assert.deepEqual(
    [denied.isAllowed, denied.decider.ref, denied.rateLimit],
    [false, object('server', 'web'), undefined],
  );
  assert.match(denied.reason, /no authorization lets 10\.0\.0\.1 \(no mesh TLS\) in/);
  assert.match(evaluateInbound(WEB_SERVER, client).reason, /declared http1/);
});

test('where a verdict is said to be uniform, no request changes it', () => {
  const next = seededRandom(7);
  const random = (below: number): number => Math.floor(next() * below);
  const pick = <T>(...values: readonly T[]): T => values[random(values.length)] as T;
  const someMatch = (): HttpMatch => ({
    headers: pick<HttpMatch['headers']>([], [], [{ name: 'x', value: { kind: 'exact', value: '1' } }]),
    queryParams: [],
    ...pick({}, {}, { method: 'GET' }),
    ...pick(
      {},
      { path: { kind: 'prefix' as const, value: pick('/', '/a') } },
      { path: { kind: 'exact' as const, value: '/a' } },
    ),
  });
  const someRoute = (): InboundRoute => ({
    ref: { type: 'default', name: pick('one', 'two') },
    hosts: pick<InboundRoute['hosts']>([], [], [{ kind: 'exact', host: 'a.test' }]),
    authorizations: pick<readonly Authorization[]>([], WEB_SERVER.authorizations),
    rules: Array.from({ length: random(3) }, () => ({ matches: Array.from({ length: random(3) }, someMatch) })),
  });
  let uniform = 0;
  for (let round = 0; round < 3_000; round += 1) {
    const routes = Array.from({ length: random(3) }, someRoute);
    const server: InboundServer = { ...WEB_SERVER, protocol: { kind: 'detect', timeoutMs: 1, routes } };
    if (!isUniform(server)) continue;
    uniform += 1;
    const client: Client = {
      address: '10.0.0.1',
      tls: pick<Client['tls']>({ kind: 'none' }, { kind: 'mesh', identity: 'client.shop.test' }),
    };
    const verdicts = Array.from({ length: 8 }, () => {
      const head = request(pick('GET', 'POST'), pick('/', '/a', '/a/b', '/b'), {
        host: pick('a.test', 'b.test'),
        header: () => pick(undefined, '1'),
      });
      const { verdict, route } = authorizeRequest(server, client, head);
      return JSON.stringify([verdict, route]);
    });
    assert.equal(new Set(verdicts).size, 1, JSON.stringify(routes));
  }
  assert.ok(uniform > 300, `${uniform} uniform policies were tried`);
});

test('a route that is built in is named with what it is of', () => {
  const egress: ResourceRef = { ...(object('EgressNetwork', 'all') as object), port: 443 } as ResourceRef;
  const forward: Backend = {
    ref: egress,
    target: { kind: 'forward', endpoint: { address: '203.0.113.1', port: 443, weight: 1, labels: {} } },
  };
  const distribution = { kind: 'first-available', backends: [{ backend: forward, filters: [] }] } as const;
  const allowed = object('TLSRoute', 'allowed');
  const protocol: OutboundPolicy['protocol'] = {
    kind: 'tls',
    routes: [
      { ref: allowed, serverNames: [{ kind: 'exact', host: 'a.test' }], filters: [], distribution },
      {
        ref: { type: 'default', name: 'tls-egress-deny' },
        serverNames: [],
        filters: [{ kind: 'forbidden' }],
        distribution,
      },
    ],
  };
  const known = { policy: { ref: egress, protocol } };
  const ofName = (name?: string) => {
    const verdict = evaluateConnection(known, name);
    return verdict.kind === 'routed' ? [verdict.decider, verdict.filters] : verdict.kind;
  };
  assert.deepEqual(ofName('a.test'), [{ ref: allowed }, []]);
  const deny = { ref: { type: 'default', name: 'tls-egress-deny' }, target: egress };
  assert.deepEqual(ofName('b.test'), [deny, [{ kind: 'forbidden' }]]);
  assert.equal(ofName(), 'no-route');
});
