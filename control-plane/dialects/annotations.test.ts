import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureAccrual, retryOf, trafficAnnotations } from './annotations.ts';
import { Problems } from './problem.ts';

const ACCRUAL = 'balancer.linkerd.io/failure-accrual';

function read(annotations: Record<string, string>) {
  const problems = new Problems();
  const value = { ...trafficAnnotations(annotations, problems), accrual: failureAccrual(annotations, problems) };
  return { value, fields: problems.found.map(({ field }) => field) };
}

test('retries, timeouts and failure accrual have the defaults of Linkerd', () => {
  const { value, fields } = read({
    'timeout.linkerd.io/request': '1s',
    'timeout.linkerd.io/idle': '0',
    'retry.linkerd.io/http': '5xx, gateway-error,404,410-412',
    'retry.linkerd.io/limit': '3',
    'retry.linkerd.io/timeout': '400ms',
    [ACCRUAL]: 'consecutive',
  });
  assert.deepEqual(fields, []);
  assert.deepEqual(value.timeouts, { requestMs: 1000 });
  assert.deepEqual(read({ 'timeout.linkerd.io/request': '0' }).value.timeouts, {});
  assert.deepEqual(value.httpRetry, {
    maxRetries: 3,
    maxRequestBytes: 65_536,
    backoff: { minMs: 25, maxMs: 250, jitterRatio: 1 },
    timeoutMs: 400,
    conditions: [
      { min: 500, max: 599 },
      { min: 502, max: 504 },
      { min: 404, max: 404 },
      { min: 410, max: 412 },
    ],
  });
  assert.equal(value.grpcRetry, undefined);
  assert.deepEqual(value.accrual, {
    kind: 'consecutive',
    maxFailures: 7,
    backoff: { minMs: 1000, maxMs: 60_000, jitterRatio: 0.5 },
  });
  assert.deepEqual(read({ [ACCRUAL]: 'unified' }).value.accrual, {
    kind: 'unified',
    successRateThreshold: 0.8,
    windowMs: 10_000,
    minRequests: 5,
    maxConsecutiveFailures: 7,
    backoff: { minMs: 1000, maxMs: 60_000, jitterRatio: 0.5 },
  });
});

test('a limit alone retries what failed to be answered', () => {
  const { httpRetry, grpcRetry } = read({ 'retry.linkerd.io/limit': '2' }).value;
  assert.deepEqual(httpRetry !== 'none' && httpRetry?.conditions, []);
  assert.equal(grpcRetry !== 'none' && grpcRetry?.maxRetries, 2);
});

test('a limit of 0 is no retries, with a condition and without, and whatever the parent says', () => {
  for (const others of [{}, { 'retry.linkerd.io/http': '5xx' }, { 'retry.linkerd.io/timeout': '1s' }]) {
    const { httpRetry, grpcRetry } = read({ ...others, 'retry.linkerd.io/limit': '0' }).value;
    assert.deepEqual([httpRetry, grpcRetry], ['none', 'none'], JSON.stringify(others));
  }
  const two = read({ 'retry.linkerd.io/http': '5xx', 'retry.linkerd.io/limit': '2' }).value.httpRetry;
  assert.equal(retryOf('none', two), undefined);
  assert.equal(retryOf(undefined, two), two);
});

test('figures of a failure accrual that is not switched on have no effect', () => {
  const { value, fields } = read({ [`${ACCRUAL}-consecutive-max-failures`]: '3' });
  assert.deepEqual([value.accrual, fields], [undefined, [`${ACCRUAL}-consecutive-max-failures`]]);
});

test('a wrong value takes its group away and is named; other groups stay', () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['timeout.linkerd.io/request', 'soon'],
    ['timeout.linkerd.io/response', '1.5s'],
    ['timeout.linkerd.io/idle', '-1s'],
    ['retry.linkerd.io/http', 'errors'],
    ['retry.linkerd.io/http', '599-500'],
    ['retry.linkerd.io/http', '600'],
    ['retry.linkerd.io/grpc', 'not-found'],
    ['retry.linkerd.io/limit', '70000'],
    ['retry.linkerd.io/limit', '1.5'],
    ['retry.linkerd.io/timeout', '1'],
    [ACCRUAL, 'always'],
    [`${ACCRUAL}-consecutive-max-failures`, '0'],
    [`${ACCRUAL}-consecutive-min-penalty`, '0'],
    [`${ACCRUAL}-consecutive-max-penalty`, '10ms'],
    [`${ACCRUAL}-consecutive-jitter-ratio`, '101'],
  ];
  const good = {
    'timeout.linkerd.io/request': '1s',
    'retry.linkerd.io/limit': '1',
    [ACCRUAL]: 'consecutive',
  };
  for (const [name, text] of wrong) {
    const { value, fields } = read({ ...good, [name]: text });
    assert.deepEqual(fields, [name], `${name}: ${text}`);
    const left = [value.timeouts, value.httpRetry, value.accrual].filter((group) => group !== undefined);
    assert.equal(left.length, 2, `${name}: ${text}`);
  }
});
