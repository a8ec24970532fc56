import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeEndpointUpdate, decodeProfile } from '#api/decode/destination.ts';
import { DecodeError } from '#api/decode/decode-error.ts';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { encodeEndpointUpdate, encodeProfile } from '#api/encode/destination.ts';
import { encodeInboundServer } from '#api/encode/inbound.ts';
import { DestinationProfile, Update } from '#api/gen/destination.ts';
import { Authz, HttpLocalRateLimit, ProxyProtocol_Detect, Server } from '#api/gen/inbound.ts';
import { networkMatches, type Authorization } from '#model/authorization.ts';
import { parseNetwork } from '#model/address.ts';
import type { Endpoint, EndpointUpdate } from '#model/endpoint.ts';
import type { InboundServer } from '#model/inbound.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { DEFAULT_RETRY_BUDGET, type Profile } from '#model/profile.ts';

const NAME = 'web.shop.serviceaccount.identity.tulle.cluster.local';

const PLAIN: Endpoint = { address: '10.42.0.7', port: 8080, weight: 10_000, labels: {} };
const MESHED: Endpoint = {
  address: 'fd00::7',
  port: 65_535,
  weight: 0,
  labels: { pod: 'web-1', zone: '' },
  identity: { kind: 'dns', name: NAME, serverName: NAME },
  protocolHint: 'h2',
  opaqueTransportPort: 4143,
  http2: { keepAlive: { intervalMs: 10_000, timeoutMs: 3000, isWhileIdle: true } },
};
const EXTERNAL: Endpoint = {
  ...PLAIN,
  identity: { kind: 'uri', name: 'spiffe://cluster.local/vm', serverName: 'vm.local' },
  protocolHint: 'opaque',
  authorityOverride: 'web.shop.svc.cluster.local:80',
};

const overWire = {
  update: (update: EndpointUpdate) =>
    decodeEndpointUpdate(Update.decode(Update.encode(encodeEndpointUpdate(update)).finish())),
  profile: (profile: Profile) =>
    decodeProfile(DestinationProfile.decode(DestinationProfile.encode(encodeProfile(profile)).finish())),
  server: (server: InboundServer) =>
    decodeInboundServer(Server.decode(Server.encode(encodeInboundServer(server)).finish())),
};

test('endpoint updates arrive as they were sent', () => {
  const updates: readonly EndpointUpdate[] = [
    { kind: 'add', endpoints: [PLAIN, MESHED, EXTERNAL], labels: { namespace: 'shop', service: 'web' } },
    { kind: 'add', endpoints: [], labels: {} },
    {
      kind: 'remove',
      addresses: [
        { address: '10.0.0.1', port: 80 },
        { address: '::1', port: 1 },
      ],
    },
    { kind: 'none', exists: true },
    { kind: 'none', exists: false },
  ];
  for (const update of updates) assert.deepEqual(overWire.update(update), update);
});

test('profiles arrive as they were sent', () => {
  const profiles: readonly Profile[] = [
    { isOpaque: false },
    { isOpaque: true, endpoint: MESHED, retryBudget: DEFAULT_RETRY_BUDGET },
    {
      isOpaque: false,
      fullyQualifiedName: 'web.shop.svc.cluster.local',
      parent: { type: 'resource', group: 'core', kind: 'Service', name: 'web', namespace: 'shop', port: 80 },
    },
  ];
  for (const profile of profiles) assert.deepEqual(overWire.profile(profile), profile);
});

test('inbound servers arrive as they were sent', () => {
  const anyone: Authorization = {
    ref: { type: 'default', name: 'all-unauthenticated' },
    networks: networkMatches(['0.0.0.0/0', '::/0']),
    authentication: { kind: 'unauthenticated' },
  };
  const policy: Authorization = {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'a', namespace: 'shop' },
    networks: [{ network: parseNetwork('10.0.0.0/8')!, except: [parseNetwork('10.1.0.0/16')!] }],
    authentication: { kind: 'identities', names: [NAME], suffixes: [[], ['shop', 'local']] },
  };
  const tls: Authorization = { ...anyone, authentication: { kind: 'mesh-tls' } };
  const route = {
    ref: { type: 'default', name: 'probe' },
    hosts: [
      { kind: 'exact', host: 'web' },
      { kind: 'suffix', reverseLabels: ['com', 'example'] },
    ],
    authorizations: [anyone],
    rules: [
      {
        matches: [
          { method: 'GET', path: { kind: 'exact', value: '/ready' }, headers: [], queryParams: [] },
          { method: 'PURGE', path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] },
          {
            path: { kind: 'regex', pattern: '/[a-z]+' },
            headers: [
              { name: 'x-a', value: { kind: 'exact', value: '\xe9' } },
              { name: 'x-b', value: { kind: 'regex', pattern: '.' } },
            ],
            queryParams: [
              { name: 'q', value: { kind: 'exact', value: '1' } },
              { name: 'r', value: { kind: 'regex', pattern: '2' } },
            ],
          },
        ],
      },
    ],
  } as const;
  const limit: RateLimit = {
    ref: {
      type: 'resource',
      group: 'policy.linkerd.io',
      kind: 'HTTPLocalRateLimitPolicy',
      name: 'l',
      namespace: 'shop',
    },
    total: 100,
    identity: 10,
    overrides: [
      { requestsPerSecond: 20, identities: [NAME, 'other'] },
      { requestsPerSecond: 0, identities: ['free'] },
    ],
  };
  const servers: readonly InboundServer[] = [
    {
      ref: anyone.ref,
      protocol: { kind: 'detect', timeoutMs: 10_000, routes: [route] },
      authorizations: [anyone, policy, tls],
    },
    { ref: { type: 'default', name: 'deny' }, protocol: { kind: 'opaque' }, authorizations: [] },
    {
      ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
      protocol: { kind: 'http2', routes: [] },
      authorizations: [],
    },
    { ref: anyone.ref, protocol: { kind: 'http1', routes: [route] }, authorizations: [] },
    {
      ref: anyone.ref,
      protocol: {
        kind: 'http2',
        routes: [
          {
            ...route,
            rules: [
              {
                matches: [],
                filters: [
                  { kind: 'request-headers', add: [{ name: 'x-a', value: '1' }], set: [], remove: ['x-b'] },
                  { kind: 'redirect', host: 'other', path: { kind: 'prefix', prefix: '/new' }, status: 301 },
                  { kind: 'failure', status: 503, message: 'no', ratio: { numerator: 1, denominator: 2 } },
                ],
              },
            ],
          },
        ],
      },
      authorizations: [],
    },
    {
      ref: anyone.ref,
      protocol: {
        kind: 'grpc',
        routes: [
          {
            ...route,
            rules: [
              {
                matches: [{ service: 'a.B', method: 'C', headers: [] }, { headers: [] }],
                filters: [
                  { kind: 'request-headers', add: [], set: [{ name: 'x-a', value: '1' }], remove: [] },
                  { kind: 'failure', code: 14, message: 'no' },
                ],
              },
              { matches: [] },
            ],
          },
        ],
      },
      authorizations: [anyone],
    },
    {
      ref: anyone.ref,
      protocol: { kind: 'detect', timeoutMs: 10_000, routes: [], rateLimit: limit },
      authorizations: [],
    },
    { ref: anyone.ref, protocol: { kind: 'http1', routes: [], rateLimit: limit }, authorizations: [] },
    {
      ref: anyone.ref,
      protocol: { kind: 'http2', routes: [], rateLimit: { ref: anyone.ref, total: 4_294_967_295, overrides: [] } },
      authorizations: [],
    },
    { ref: anyone.ref, protocol: { kind: 'tls' }, authorizations: [] },
  ];
  for (const server of servers) assert.deepEqual(overWire.server(server), server);
});

test('an endpoint that cannot be read does not take the others with it', () => {
  const good = encodeEndpointUpdate({ kind: 'add', endpoints: [PLAIN], labels: {} });
  assert.ok(good.update?.$case === 'add');
  const [addr] = good.update.value.addrs;
  const bad = { ...addr!, addr: { ip: undefined, port: 80 } };
  const mixed: Update = { update: { $case: 'add', value: { addrs: [bad, addr!], metricLabels: {} } } };
  assert.deepEqual(decodeEndpointUpdate(mixed), { kind: 'add', endpoints: [PLAIN], labels: {} });
  const none: Update = { update: { $case: 'add', value: { addrs: [bad], metricLabels: {} } } };
  assert.equal(decodeEndpointUpdate(none), undefined, 'nothing usable is not the same as no endpoints');
  assert.equal(decodeEndpointUpdate({ update: undefined }), undefined);
});

test('a policy that cannot be understood is refused as a whole, with the field', () => {
  const none = new Uint8Array(); // a message of no bytes has its defaults
  const refused = (server: Partial<Server>, field: RegExp): void => {
    assert.throws(
      () => decodeInboundServer({ ...Server.decode(none), ...server }),
      (error: unknown) => error instanceof DecodeError && field.test(error.message),
    );
  };
  const labels = { group: '', kind: 'default', name: 'x' };
  const opaque = { kind: { $case: 'opaque', value: {} } } as const;
  refused({ protocol: opaque }, /^labels\.name/);
  refused({ labels }, /^protocol\.kind/);
  const detected = ProxyProtocol_Detect.decode(none);
  refused({ labels, protocol: { kind: { $case: 'detect', value: detected } } }, /^protocol\.detect\.timeout/);
  const authorization = { ...Authz.decode(none), labels };
  refused({ labels, protocol: opaque, authorizations: [authorization] }, /^authorizations\[0\]\.networks/);
  const ip = { ip: { $case: 'ipv4', value: 0 } } as const;
  const overrides = [{ limit: { requestsPerSecond: 1 }, clients: undefined }];
  const metadata = { kind: { $case: 'default', value: 'l' } as const };
  const httpLocalRateLimit = { ...HttpLocalRateLimit.decode(none), metadata, overrides };
  const timeout = { seconds: 10n, nanos: 0 };
  const detect = { kind: { $case: 'detect', value: { ...detected, timeout, httpLocalRateLimit } } } as const;
  refused({ labels, protocol: detect }, /^protocol\.detect\.http_local_rate_limit\.overrides\[0\]\.clients/);
  const networks = [{ net: { ip, prefixLen: 33 }, except: [] }];
  refused({ labels, protocol: opaque, authorizations: [{ ...authorization, networks }] }, /prefix_len/);
});
