import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestMatch, type HttpMatch } from '#model/match.ts';
import { describeHttpMatch } from './describe.ts';

const match = (value: string): HttpMatch => ({ path: { kind: 'prefix', value }, headers: [], queryParams: [] });

test('a prefix reads as what it matches: whole elements of the path', () => {
  assert.equal(describeHttpMatch(match('/good')), '/good[/*]');
  assert.equal(describeHttpMatch(match('/')), '/*');
  const request = (path: string): Parameters<typeof bestMatch>[1] => ({
    method: 'GET',
    path,
    query: '',
    host: 'web',
    header: () => undefined,
    matchesPattern: () => false,
  });
  const matched = ['/good', '/good/', '/good/bye', '/goodbye'].filter(
    (path) => bestMatch([match('/good')], request(path)) !== undefined,
  );
  assert.deepEqual(matched, ['/good', '/good/', '/good/bye']);
});

test('other matches are told apart from prefixes', () => {
  const [headers, queryParams] = [[], []];
  assert.equal(describeHttpMatch({ path: { kind: 'exact', value: '/good' }, headers, queryParams }), '=/good');
  assert.equal(describeHttpMatch({ path: { kind: 'regex', pattern: '/go+d' }, headers, queryParams }), '~/go+d');
  assert.equal(describeHttpMatch({ headers, queryParams, method: 'GET' }), 'GET');
  assert.equal(describeHttpMatch({ headers, queryParams }), 'any');
});
