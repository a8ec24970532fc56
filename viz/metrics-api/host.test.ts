import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertTrustedHost } from './host.ts';

const NAMES = ['metrics-api.tulle-viz.svc', 'metrics-api'];

test('own names and addresses are answered, with any port', () => {
  for (const host of [
    'localhost',
    'LOCALHOST:50750',
    '127.0.0.1:8085',
    '[::1]:50750',
    '10.42.0.9',
    'metrics-api.tulle-viz.svc:8085',
    'metrics-api',
  ])
    assertTrustedHost(host, NAMES);
});

test('any other name is refused and the message says what to use', () => {
  for (const host of [
    undefined,
    '',
    'evil.example',
    'localhost.evil.example:80',
    '127.0.0.1.evil.example',
    '[::1',
    'x:1:2',
  ])
    assert.throws(
      () => assertTrustedHost(host, NAMES),
      /requests for host ".*" are refused, against DNS rebinding: use localhost or metrics-api\.tulle-viz\.svc/,
      host,
    );
});
