import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestMatch, type HttpMatch } from '#model/match.ts';
import { REQUESTED_RETRY } from '#model/retry.ts';
import { errorHead } from '../../proxy/http/respond.ts';
import { ProxyError } from '../../proxy/errors.ts';
import { describeHttpMatch, describeRetry, describeUnrouted } from './describe.ts';

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

test('retries read as what they act on', () => {
  const conditions = [
    { min: 500, max: 599 },
    { min: 429, max: 429 },
  ];
  const retry = { ...REQUESTED_RETRY, maxRetries: 2 };
  assert.equal(describeRetry({ ...retry, conditions }), '2 more after 500-599, 429 or no answer');
  assert.equal(describeRetry({ ...retry, conditions: ['unavailable'] }), '2 more after unavailable or no answer');
  assert.equal(describeRetry({ ...retry, conditions: [] }), '2 more after no answer');
  const timed = { ...retry, conditions: [], timeoutMs: 400 };
  assert.equal(describeRetry(timed), '2 more after no answer within 400ms');
});

test('what no route is for reads as the proxy answers it', () => {
  const error = new ProxyError('no-route', 'none');
  assert.match(errorHead(error, false).lines, /^HTTP\/1\.1 404 /);
  assert.match(describeUnrouted('request'), / 404$/);
  assert.match(errorHead(error, true).lines, /grpc-status: 12\r/);
  assert.match(describeUnrouted('grpc'), /status 12 of gRPC/);
  assert.match(describeUnrouted('connection'), /reset/);
});
