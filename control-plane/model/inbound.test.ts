import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Patterns } from '#runtime/pattern.ts';
import { networkMatches, type Client } from './authorization.ts';
import { authorizeConnection, authorizeRequest, findRoute, type InboundRoute, type InboundServer } from './inbound.ts';
import type { HttpMatch, RequestHead } from './match.ts';

const PATTERNS = new Patterns(10);
const CLIENT: Client = { address: '10.0.0.1', tls: { kind: 'none' } };

function request(method: string, path: string, more: Partial<RequestHead> = {}): RequestHead {
  return {
    method,
    path,
    query: '',
    host: 'web.shop',
    header: () => undefined,
    matchesPattern: PATTERNS.matches,
    ...more,
  };
}

function match(more: Partial<HttpMatch>): HttpMatch {
  return { headers: [], queryParams: [], ...more };
}

function route(name: string, matches: readonly HttpMatch[], more: Partial<InboundRoute> = {}): InboundRoute {
  return { ref: { type: 'default', name }, hosts: [], authorizations: [], rules: [{ matches }], ...more };
}

function found(routes: readonly InboundRoute[], head: RequestHead): string | undefined {
  return findRoute(routes, head)?.ref.name;
}

test('probes get in where everything else is denied', () => {
  const server: InboundServer = {
    ref: { type: 'default', name: 'deny' },
    authorizations: [],
    protocol: {
      kind: 'detect',
      timeoutMs: 10_000,
      routes: [
        route('probe', [match({ method: 'GET', path: { kind: 'exact', value: '/ready' } })], {
          authorizations: [
            {
              ref: { type: 'default', name: 'probe' },
              networks: networkMatches(['0.0.0.0/0']),
              authentication: { kind: 'unauthenticated' },
            },
          ],
        }),
        route('default', [match({ path: { kind: 'prefix', value: '/' } })]),
      ],
    },
  };
  assert.equal(authorizeRequest(server, CLIENT, request('GET', '/ready')).verdict.isAllowed, true);
  const denied = authorizeRequest(server, CLIENT, request('GET', '/data'));
  assert.equal(denied.verdict.isAllowed, false);
  assert.deepEqual(denied.route, { type: 'default', name: 'default' });
  assert.equal(authorizeConnection(server, CLIENT).isAllowed, false);
});

test('a request that no route matches has no route in its verdict', () => {
  const protocol = {
    kind: 'http1',
    routes: [route('only', [match({ path: { kind: 'exact', value: '/a' } })])],
  } as const;
  const server: InboundServer = { ref: { type: 'default', name: 's' }, authorizations: [], protocol };
  assert.equal('route' in authorizeRequest(server, CLIENT, request('GET', '/b')), false);
});

test('the most specific route wins, and the first of equals', () => {
  const prefix = route('prefix', [match({ path: { kind: 'prefix', value: '/a' } })]);
  const exact = route('exact', [match({ path: { kind: 'exact', value: '/a/b' } })]);
  const header = route('header', [
    match({ path: { kind: 'prefix', value: '/a' }, headers: [{ name: 'x-v', value: { kind: 'exact', value: '2' } }] }),
  ]);
  const host = route('host', [], { hosts: [{ kind: 'suffix', reverseLabels: ['com', 'example'] }] });
  assert.equal(found([prefix, exact], request('GET', '/a/b')), 'exact');
  assert.equal(found([prefix, exact], request('GET', '/a/c')), 'prefix');
  assert.equal(found([prefix, exact], request('GET', '/ab')), undefined);
  assert.equal(
    found([prefix, header], request('GET', '/a', { header: (name) => (name === 'x-v' ? '2' : undefined) })),
    'header',
  );
  assert.equal(found([prefix, header], request('GET', '/a')), 'prefix');
  assert.equal(found([exact, host], request('GET', '/a/b', { host: 'www.example.com' })), 'host');
  assert.equal(found([exact, host], request('GET', '/a/b', { host: 'example.com' })), 'exact');
  assert.equal(
    found([prefix, route('second', [match({ path: { kind: 'prefix', value: '/a' } })])], request('GET', '/a')),
    'prefix',
  );
});

test('query parameters and regular expressions match whole values', () => {
  const query = route('query', [match({ queryParams: [{ name: 'v', value: { kind: 'regex', pattern: '[0-9]+' } }] })]);
  assert.equal(found([query], request('GET', '/', { query: 'v=12' })), 'query');
  assert.equal(found([query], request('GET', '/', { query: 'v=12a' })), undefined);
  assert.equal(found([query], request('GET', '/')), undefined);
  const broken = route('broken', [match({ path: { kind: 'regex', pattern: '(' } })]);
  assert.equal(found([broken], request('GET', '/(')), undefined);
});
