import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError } from '#api/decode/decode-error.ts';
import { decodeProfile } from '#api/decode/destination.ts';
import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { encodeProfile } from '#api/encode/destination.ts';
import { encodeDuration } from '#api/encode/duration.ts';
import { encodeOutboundPolicy } from '#api/encode/outbound.ts';
import { encodeHttpRoute } from '#api/encode/outbound-route.ts';
import { DestinationProfile } from '#api/gen/destination.ts';
import { HttpRoute_Filter, HttpRoute_Rule, OutboundPolicy as OutboundPolicyMessage } from '#api/gen/outbound.ts';
import type { Backend } from '#model/backend.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { DEFAULT_RETRY_BUDGET, type Profile } from '#model/profile.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { GrpcRoute, HttpRoute, HttpRule, OpaqueRoute } from '#model/route.ts';

const SERVICE: ResourceRef = {
  type: 'resource',
  group: 'core',
  kind: 'Service',
  name: 'web',
  namespace: 'shop',
  port: 80,
};
const ROUTE: ResourceRef = { ...SERVICE, group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'canary' };
const WEB: Backend = { ref: SERVICE, target: { kind: 'balancer', authority: 'web.shop.svc.cluster.local:80' } };
const MISSING: Backend = { ref: SERVICE, target: { kind: 'none' } };
const OPAQUE: OpaqueRoute = {
  ref: { type: 'default', name: 'opaq' },
  filters: [],
  distribution: { kind: 'first-available', backends: [{ backend: WEB, filters: [] }] },
};
const BACKOFF = { minMs: 25, maxMs: 250, jitterRatio: 0.5 };
const HTTP: HttpRoute = {
  ref: ROUTE,
  hosts: [{ kind: 'exact', host: 'web' }],
  rules: [
    {
      matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [], method: 'GET' }],
      filters: [
        { kind: 'request-headers', add: [{ name: 'x-a', value: '1' }], set: [], remove: ['x-b'] },
        { kind: 'response-headers', add: [], set: [{ name: 'x-c', value: '\xe9' }], remove: [] },
        { kind: 'redirect', scheme: 'https', host: 'b', port: 8443, path: { kind: 'full', path: '/n' }, status: 302 },
        { kind: 'failure', status: 503, message: 'no', ratio: { numerator: 1, denominator: 2 } },
        { kind: 'rewrite', host: 'one.example.org', path: { kind: 'prefix', prefix: '' } },
        { kind: 'rewrite', path: { kind: 'full', path: '/all' } },
        { kind: 'mirror', backend: WEB },
        { kind: 'mirror', backend: WEB, ratio: { numerator: 25, denominator: 50 } },
        { kind: 'delay', delayMs: 1500, ratio: { numerator: 1, denominator: 100 } },
      ],
      distribution: {
        kind: 'random-available',
        backends: [
          { backend: WEB, filters: [{ kind: 'rewrite', host: 'b' }], weight: 90 },
          { backend: MISSING, filters: [{ kind: 'failure', status: 500, message: 'no such Service' }], weight: 10 },
        ],
      },
      timeouts: { requestMs: 1000, responseMs: 500, idleMs: 100 },
      retry: {
        maxRetries: 2,
        maxRequestBytes: 65_536,
        conditions: [{ min: 500, max: 599 }],
        timeoutMs: 50,
        backoff: BACKOFF,
      },
      allowsRequestHeaders: true,
      session: {
        carrier: { kind: 'cookie', name: 'sid', isPermanent: true, path: '/a' },
        scope: '0123456789abcdef',
        absoluteTimeoutMs: 3_600_000,
        idleTimeoutMs: 1500,
      },
    },
    {
      matches: [],
      filters: [],
      distribution: { kind: 'empty' },
      timeouts: {},
      allowsRequestHeaders: false,
      session: { carrier: { kind: 'cookie', name: 'sid', isPermanent: false }, scope: '' },
    },
    { matches: [], filters: [], distribution: { kind: 'empty' }, timeouts: {}, allowsRequestHeaders: false },
  ],
};
const GRPC: GrpcRoute = {
  ref: ROUTE,
  hosts: [],
  rules: [
    {
      matches: [{ service: 'a.B', method: 'C', headers: [] }, { headers: [] }],
      filters: [
        { kind: 'failure', code: 14, message: 'no' },
        { kind: 'mirror', backend: WEB },
        { kind: 'delay', delayMs: 20 },
      ],
      distribution: { kind: 'first-available', backends: [{ backend: WEB, filters: [] }] },
      timeouts: {},
      retry: { maxRetries: 1, maxRequestBytes: 65_536, conditions: ['cancelled', 'unavailable'] },
      allowsRequestHeaders: false,
      session: { carrier: { kind: 'header', name: 'x-sid' }, scope: 'b', idleTimeoutMs: 1 },
    },
  ],
};
const CONSECUTIVE = { kind: 'consecutive', maxFailures: 7, backoff: BACKOFF } as const;

function overWire(policy: OutboundPolicy): OutboundPolicy {
  const bytes = OutboundPolicyMessage.encode(encodeOutboundPolicy(policy)).finish();
  return decodeOutboundPolicy(OutboundPolicyMessage.decode(bytes));
}

const DETECT: OutboundPolicy = {
  ref: SERVICE,
  protocol: { kind: 'detect', timeoutMs: 10_000, opaque: OPAQUE, routes: [HTTP], failureAccrual: CONSECUTIVE },
};

test('outbound policies arrive as they were sent', () => {
  const policies: readonly OutboundPolicy[] = [
    DETECT,
    { ref: SERVICE, protocol: { kind: 'opaque', opaque: { ...OPAQUE, filters: [{ kind: 'forbidden' }] } } },
    {
      ref: SERVICE,
      protocol: {
        kind: 'tls',
        routes: [
          {
            ...OPAQUE,
            serverNames: [
              { kind: 'exact', host: 'api.example.com' },
              { kind: 'suffix', reverseLabels: ['com', 'example'] },
            ],
          },
          { ...OPAQUE, filters: [{ kind: 'forbidden' }], serverNames: [] },
        ],
      },
    },
    { ref: SERVICE, protocol: { kind: 'http1', routes: [HTTP] } },
    {
      ref: SERVICE,
      protocol: {
        kind: 'grpc',
        routes: [GRPC],
        failureAccrual: {
          kind: 'unified',
          successRateThreshold: 0.8,
          windowMs: 10_000,
          minRequests: 5,
          maxConsecutiveFailures: 0,
          backoff: BACKOFF,
        },
      },
    },
  ];
  for (const policy of policies) assert.deepEqual(overWire(policy), policy);
});

test('routes and targets of a profile arrive as they were sent', () => {
  const profile: Profile = {
    isOpaque: false,
    fullyQualifiedName: 'web.shop.svc.cluster.local',
    retryBudget: DEFAULT_RETRY_BUDGET,
    routes: [
      {
        condition: {
          kind: 'all',
          conditions: [
            { kind: 'method', method: 'GET' },
            { kind: 'not', condition: { kind: 'path', pattern: '/a/.*' } },
          ],
        },
        responseClasses: [{ condition: { kind: 'status', min: 500, max: 599 }, isFailure: true }],
        labels: { route: 'GET /a' },
        isRetryable: true,
        timeoutMs: 250,
      },
    ],
    targets: [{ authority: 'web-v2.shop.svc.cluster.local:80', weight: 10, ref: SERVICE }],
    ref: { ...ROUTE, kind: 'ServiceProfile' },
  };
  const bytes = DestinationProfile.encode(encodeProfile(profile)).finish();
  assert.deepEqual(decodeProfile(DestinationProfile.decode(bytes)), profile);
});

test('an outbound policy that cannot be understood is refused as a whole, with the field', () => {
  const bad: readonly (readonly [RegExp, (message: OutboundPolicyMessage) => void])[] = [
    [/^metadata: missing/, (m) => void (m.metadata = undefined)],
    [/^protocol\.kind/, (m) => void (m.protocol = { kind: undefined })],
    [/detect\.timeout: missing/, (m) => void (detectOf(m).timeout = undefined)],
    [/detect\.opaque: missing/, (m) => void (detectOf(m).opaque = undefined)],
    [/detect\.http2: missing/, (m) => void (detectOf(m).http2 = undefined)],
    [/routes\[0\]\.metadata: missing/, (m) => void (routeOf(m).metadata = undefined)],
    [/rules\[0\]\.backends\.kind/, (m) => void (ruleOf(m).backends = undefined)],
    [/filters\[0\]\.path: .* is not a path/, (m) => void (ruleOf(m).filters[0] = rewriteOf('/a?b'))],
    [/filters\[0\]\.path: "a" is not a path/, (m) => void (ruleOf(m).filters[0] = rewriteOf('a'))],
    [/filters\[0\]\.path: .* is not a path/, (m) => void (ruleOf(m).filters[0] = rewriteOf('/a/%2e./b'))],
    [/filters\[0\]\.path: .*\\r\\n.* is not a path/, (m) => void (ruleOf(m).filters[0] = rewriteOf('/a\r\nx: y'))],
    [/filters\[0\]\.host: .* is not a host name/, (m) => void (ruleOf(m).filters[0] = rewriteOf('/', 'a b'))],
    [/filters\[0\]\.backend: missing/, (m) => void (ruleOf(m).filters[0] = mirrorOf(undefined))],
    [/filters\[0\]\.delay: 60001 ms is more/, (m) => void (ruleOf(m).filters[0] = delayOf(60_001))],
    [/filters\[0\]: unknown/, (m) => void (ruleOf(m).filters[0] = { kind: undefined })],
    [/conditions: missing/, (m) => void (ruleOf(m).retry!.conditions = undefined)],
    [/599-500/, (m) => void (ruleOf(m).retry!.conditions!.statusRanges = [{ start: 599, end: 500 }])],
    [/max_backoff/, (m) => void (ruleOf(m).retry!.backoff!.maxBackoff = { seconds: 0n, nanos: 1 })],
    [/max_retries/, (m) => void (ruleOf(m).retry!.maxRetries = 65_536)],
    [/session_persistence\.carrier: missing/, (m) => void (sessionOf(m).carrier = undefined)],
    [/cookie\.name: not a name/, (m) => void (sessionOf(m).carrier = cookieOf('a=b'))],
    [/cookie\.path: not a path/, (m) => void (sessionOf(m).carrier = cookieOf('a', '/\r\nx: y'))],
    [/absolute_timeout: missing, and/, (m) => void (sessionOf(m).absoluteTimeout = undefined)],
    [/idle_timeout: not more than 0/, (m) => void (sessionOf(m).idleTimeout = { seconds: 0n, nanos: 0 })],
    [/failure_accrual\.kind/, (m) => void (detectOf(m).http1!.failureAccrual!.kind = undefined)],
  ];
  for (const [field, spoil] of bad) {
    const message = encodeOutboundPolicy(structuredClone(DETECT));
    spoil(message);
    assert.throws(
      () => decodeOutboundPolicy(message),
      (error: unknown) => error instanceof DecodeError && field.test(error.message),
      String(field),
    );
  }
});

function rewriteOf(path: string, host = ''): HttpRoute_Filter {
  return { kind: { $case: 'urlRewrite', value: { host, path: { replace: { $case: 'full', value: path } } } } };
}

function mirrorOf(backend: undefined): HttpRoute_Filter {
  return { kind: { $case: 'requestMirror', value: { backend, ratio: undefined } } };
}

function delayOf(delayMs: number): HttpRoute_Filter {
  return { kind: { $case: 'delay', value: { delay: encodeDuration(delayMs), ratio: undefined } } };
}

function sessionOf(message: OutboundPolicyMessage) {
  return ruleOf(message).sessionPersistence!;
}

function cookieOf(name: string, path = '') {
  return { $case: 'cookie' as const, value: { name, path, isPermanent: true } };
}

test('filters of our own have numbers far from those of linkerd2-proxy-api', () => {
  const message = HttpRoute_Filter.encode(rewriteOf('/a')).finish();
  assert.equal(Buffer.from(message).toString('hex'), 'c23e0612040a022f61');
});

test('sessions are a field of our own, which linkerd2-proxy passes over', () => {
  const encode = (session: HttpRule['session']): Buffer => {
    const [, rule] = HTTP.rules;
    assert.ok(rule);
    const { session: _, ...rest } = rule;
    const [message] = encodeHttpRoute({ ...HTTP, rules: [{ ...rest, ...(session && { session }) }] }).rules;
    assert.ok(message);
    return Buffer.from(HttpRoute_Rule.encode(message).finish());
  };
  const plain = encode(undefined);
  const sticky = encode({ carrier: { kind: 'header', name: 'a' }, scope: 'b' });
  // Number 1000, a message: what else there is of the rule is the same.
  assert.equal(sticky.toString('hex'), `${plain.toString('hex')}c23e0812030a01611a0162`);
});

function detectOf(message: OutboundPolicyMessage) {
  const kind = message.protocol?.kind;
  assert.ok(kind?.$case === 'detect');
  return kind.value;
}

function routeOf(message: OutboundPolicyMessage) {
  return detectOf(message).http1!.routes[0]!;
}

function ruleOf(message: OutboundPolicyMessage) {
  return routeOf(message).rules[0]!;
}
