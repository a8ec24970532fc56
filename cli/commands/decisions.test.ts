import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tulle } from '../testing.ts';
import { decisionTable } from './decisions.ts';

const DENIED = {
  pod: 'web-1',
  time: '2026-11-29T01:00:00.000Z',
  direction: 'inbound',
  client: '10.42.0.9:4711',
  identity: 'stranger.bank.serviceaccount.identity.tulle.cluster.local',
  target: '10.42.0.5:8080',
  method: 'GET',
  authority: 'vault',
  path: '/money',
  decidedBy: ['server.policy.linkerd.io bank/vault'],
  code: 'unauthorized',
  status: 403,
  reason: 'server.policy.linkerd.io bank/vault denies the request: no authorization',
  attempts: [],
} as const;
const REFUSED = {
  pod: 'client-1',
  time: '2026-11-29T01:00:01.000Z',
  direction: 'outbound',
  client: '10.42.0.9:4712',
  target: '10.96.0.7:6379',
  decidedBy: ['httproute.gateway.networking.k8s.io bank/r'],
  code: 'connect-refused',
  reason: 'nothing listens',
  attempts: [{ endpoint: '10.42.0.6:6379', outcome: 'connect-refused: nothing listens' }],
} as const;

test('a decision is one line: who asked for what, the reason, what decided and what was tried', () => {
  assert.equal(
    decisionTable([DENIED, REFUSED]),
    [
      'TIME                       POD        SIDE   CLIENT           REQUEST           CODE              STATUS   REASON',
      '2026-11-29T01:00:00.000Z   web-1      in     stranger.bank    GET vault/money   unauthorized      403      ' +
        'server.policy.linkerd.io bank/vault denies the request: no authorization',
      '2026-11-29T01:00:01.000Z   client-1   out    10.42.0.9:4712   10.96.0.7:6379    connect-refused   -        ' +
        'nothing listens [httproute.gateway.networking.k8s.io bank/r] (tried 10.42.0.6:6379 connect-refused: nothing listens)',
      '',
    ].join('\n'),
  );
});

test('flags that make no sense are named', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /name one workload as TYPE\/NAME/],
    [['deploy/a', 'deploy/b'], /name one workload/],
    [['deploy/a', '--limit', '0'], /--limit is "0": use a whole number from 1 to 1000/],
    [['deploy/a', '--limit', 'all'], /--limit is "all"/],
    [['deploy/a', '--since', 'soon'], /--since: "soon" is not a duration/],
    [['deploy/a', '--code', 'No Route'], /--code is "No Route", which is no code: did you mean no-route\?/],
    [['deploy/a', '--code', 'nosuchcode'], /--code is "nosuchcode": use one of .*no-route, .*unauthorized/],
    [['deploy/a', '--code', 'unauthorised'], /--code is "unauthorised", which is no code: did you mean unauthorized\?/],
    [['deploy/a', '-o', 'yaml'], /--output is "yaml": use one of table, json/],
  ];
  for (const [args, message] of cases) {
    const { code, err, out } = await tulle(['diagnostics', 'decisions', ...args]);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
    assert.match(err, message, args.join(' '));
  }
});
