import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PODS } from '#k8s/resources/pod.ts';
import { networkMatches, type Authorization } from '#model/authorization.ts';
import type { InboundServer } from '#model/inbound.ts';
import type { RequestHead } from '#model/match.ts';
import { accessRows, accessTable, limitTable, verdictOf, verdictTable, type PortPolicy } from './access-tables.ts';
import { whyNotEnforced } from './enforcement.ts';

const SUFFIX = 'serviceaccount.identity.tulle.cluster.local';
const EVERYWHERE = networkMatches(['0.0.0.0/0', '::/0']);
const UNMESHED = { address: '10.42.0.9', tls: { kind: 'none' } } as const;
const GET: RequestHead = {
  method: 'GET',
  path: '/',
  query: '',
  host: 'web',
  header: () => undefined,
  matchesPattern: () => false,
};

const resource = (kind: string, name: string) =>
  ({ type: 'resource', group: 'policy.linkerd.io', kind, name, namespace: 'shop' }) as const;

function grant(name: string, authentication: Authorization['authentication']): Authorization {
  return { ref: resource('authorizationpolicy', name), networks: EVERYWHERE, authentication };
}

const CLIENT = grant('clients', { kind: 'identities', names: [`client.shop.${SUFFIX}`], suffixes: [] });
const SERVER: InboundServer = {
  ref: resource('server', 'web'),
  protocol: {
    kind: 'http1',
    routes: [],
    rateLimit: { ref: resource('httplocalratelimitpolicy', 'l'), total: 5, overrides: [] },
  },
  authorizations: [CLIENT],
};
const OPEN: InboundServer = {
  ref: { type: 'default', name: 'all-unauthenticated' },
  protocol: { kind: 'opaque' },
  authorizations: [
    {
      ref: { type: 'default', name: 'all-unauthenticated' },
      networks: EVERYWHERE,
      authentication: { kind: 'unauthenticated' },
    },
  ],
};

function linesOf(policies: readonly PortPolicy[], suffix = SUFFIX): readonly string[] {
  const text = accessTable(policies.flatMap(accessRows), suffix);
  return text
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.replaceAll(/ +/g, ' '));
}

function pod(containers: readonly string[], annotations: Readonly<Record<string, string>> = {}) {
  const found = PODS.parse({
    metadata: { namespace: 'shop', name: 'web', annotations },
    spec: { containers: containers.map((name) => ({ name })) },
  });
  assert.ok(found);
  return found;
}

test('each line says which port it is about and who is let in there', () => {
  const everybody = grant('open', { kind: 'unauthenticated' });
  assert.deepEqual(
    linesOf([
      { port: 8080, server: { ...SERVER, authorizations: [CLIENT, everybody] } },
      { port: 9000, server: OPEN },
      { port: 9001, server: { ...SERVER, authorizations: [] } },
    ]),
    [
      '* web clients 8080 client.shop',
      '* web open 8080 everybody',
      '* default:all-unauthenticated default:all-unauthenticated 9000 everybody',
      '* web 9001 nobody',
    ],
  );
  assert.deepEqual(linesOf([{ port: 8080, server: SERVER }], ''), [`* web clients 8080 client.shop.${SUFFIX}`]);
});

test('where a Server has routes its authorizations count for them, and nobody asks for anything else', () => {
  const route = (name: string, authorizations: readonly Authorization[]) => ({
    ref: resource('httproute', name),
    hosts: [],
    authorizations,
    rules: [],
  });
  const own = grant('own', { kind: 'unauthenticated' });
  const protocol = { kind: 'http1', routes: [route('a', [own]), route('b', [])] } as const;
  assert.deepEqual(linesOf([{ port: 8080, server: { ...SERVER, protocol } }]), [
    'httproute.policy.linkerd.io shop/a web own 8080 everybody',
    'httproute.policy.linkerd.io shop/a web clients 8080 client.shop',
    'httproute.policy.linkerd.io shop/b web clients 8080 client.shop',
    'none web 8080 nobody',
  ]);
});

test('where no policy is enforced everybody gets in, whatever the policy says', () => {
  const skipped = { 'config.linkerd.io/skip-inbound-ports': '22,8080-8090' };
  const why = 'connections lead past the proxy (config.linkerd.io/skip-inbound-ports)';
  assert.equal(whyNotEnforced(pod(['linkerd-proxy', 'app']), 8080), undefined);
  assert.equal(whyNotEnforced(pod(['linkerd-proxy', 'app'], skipped), 8091), undefined);
  assert.equal(whyNotEnforced(pod(['linkerd-proxy', 'app'], skipped), 8080), why);
  const wrong = { 'config.linkerd.io/skip-inbound-ports': '8080,http' };
  assert.equal(whyNotEnforced(pod(['linkerd-proxy', 'app'], wrong), 8080), undefined, 'the injector ignores it');
  assert.equal(whyNotEnforced(pod(['app'], skipped), 8080), 'the pod has no proxy');
  const policy: PortPolicy = { port: 8080, server: SERVER, notEnforced: why };
  assert.deepEqual(linesOf([policy]), [`* web 8080 everybody: ${why}`]);
  assert.equal(limitTable([policy]), '');
  assert.deepEqual(
    accessRows(policy).map(({ isEnforced }) => isEnforced),
    [false],
  );
  const verdict = verdictOf(policy, UNMESHED, GET);
  assert.deepEqual([verdict.isEnforced, verdict.verdict.isAllowed], [false, true]);
  assert.match(verdictTable([verdict]), /^8080 +allowed +- +nothing is enforced: connections lead past the proxy/m);
  const enforced = verdictOf({ port: 8080, server: SERVER }, UNMESHED, GET);
  assert.deepEqual([enforced.isEnforced, enforced.verdict.isAllowed], [true, false]);
});
