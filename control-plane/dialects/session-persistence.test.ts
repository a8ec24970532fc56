import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customKind } from '#k8s/resources/custom-object.ts';
import type { SessionPersistence } from '#model/session-persistence.ts';
import { Problems } from './problem.ts';
import { readSessionPersistence } from './session-persistence.ts';

const GROUP = 'gateway.networking.k8s.io';
const ROUTE = customKind({ group: GROUP, kind: 'HTTPRoute', plural: 'httproutes' }, 'v1').parse({
  apiVersion: `${GROUP}/v1`,
  kind: 'HTTPRoute',
  metadata: { name: 'r', namespace: 'shop' },
  spec: {},
});

function read(
  sessionPersistence: object,
  index = 0,
  name?: string,
): { readonly session: SessionPersistence | undefined; readonly problems: readonly string[] } {
  assert.ok(ROUTE);
  const problems = new Problems();
  const rule = { sessionPersistence, ...(name !== undefined && { name }) } as never;
  const session = readSessionPersistence(rule, 'rule', index, ROUTE, problems);
  return { session, problems: problems.found.map(({ field, message }) => `${field} ${message}`) };
}

test('what cannot work is named with its field and the reason', () => {
  const cases: readonly (readonly [fields: object, says: RegExp])[] = [
    [{ type: 'Url' }, /^type "Url" is not Cookie or Header$/],
    [{ sessionName: 'a b' }, /^sessionName "a b" is not a cookie name/],
    [{ sessionName: 'x'.repeat(129) }, /^sessionName .* of at most 128 characters$/],
    [{ sessionName: '__Host-sid' }, /^sessionName browsers take such a cookie only with the attribute Secure/],
    [{ cookie: { name: '__Secure-sid' } }, /^cookie\.name browsers take/],
    [{ cookie: { path: 'a' } }, /^cookie\.path "a" is not a path/],
    [{ cookie: { path: '/a;b' } }, /^cookie\.path .* no semicolon$/],
    [{ type: 'Header', sessionName: 'a:b' }, /^sessionName "a:b" is not a header name/],
    [{ type: 'Header', header: { name: 'Cookie' } }, /^header\.name the header cookie has a meaning of its own$/],
    [{ type: 'Header', sessionName: 'L5d-Sid' }, /^sessionName the header l5d-sid has a meaning of its own$/],
    [{ type: 'Header', cookieConfig: { lifetimeType: 'Session' } }, /^cookieConfig is only for the type Cookie$/],
    [{ absoluteTimeout: '1d' }, /^absoluteTimeout "1d" is not a duration/],
    [{ absoluteTimeout: '0s' }, /^absoluteTimeout ends every session at once/],
    [{ idleTimeout: 5 }, /^idleTimeout "5" is not a duration/],
    [
      { cookieConfig: { lifetimeType: 'Forever' } },
      /^cookieConfig\.lifetimeType "Forever" is not Session or Permanent$/,
    ],
    [
      { cookieConfig: { lifetimeType: 'Permanent' } },
      /^absoluteTimeout is missing: a cookie of lifetimeType Permanent/,
    ],
  ];
  for (const [fields, says] of cases) {
    const { problems } = read(fields);
    assert.equal(problems.length, 1, JSON.stringify(problems));
    assert.match(problems[0]?.replace('rule.sessionPersistence.', '') ?? '', says);
  }
});

test('each rule has sessions of its own, and keeps them when it moves under its name', () => {
  const { session, problems } = read({});
  assert.deepEqual(problems, []);
  assert.match(session?.carrier.name ?? '', /^tulle-session-[0-9a-f]{8}$/);
  const second = read({}, 1).session;
  assert.notEqual(second?.scope, session?.scope);
  assert.notEqual(second?.carrier.name, session?.carrier.name);
  assert.deepEqual(read({}, 5, 'cart').session, read({}, 0, 'cart').session);
  assert.notDeepEqual(read({}, 0, 'cart').session, session);
});
