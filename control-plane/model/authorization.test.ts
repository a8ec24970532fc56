import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorize, networkMatches, type Authorization, type Client } from './authorization.ts';
import type { ResourceRef } from './resource-ref.ts';

const SERVER: ResourceRef = { type: 'default', name: 'deny' };
const MESHED: Client = {
  address: '10.42.0.9',
  tls: { kind: 'mesh', identity: 'web.shop.serviceaccount.identity.tulle.cluster.local' },
};
const PLAIN: Client = { address: '10.42.0.9', tls: { kind: 'none' } };

function grant(authentication: Authorization['authentication'], networks = ['0.0.0.0/0', '::/0']): Authorization {
  return { ref: { type: 'default', name: authentication.kind }, networks: networkMatches(networks), authentication };
}

test('without an authorization nobody but loopback gets in', () => {
  assert.deepEqual(authorize(SERVER, [[]], PLAIN), {
    isAllowed: false,
    server: SERVER,
    reason: 'no authorization lets 10.42.0.9 (no mesh TLS) in',
  });
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
    assert.equal(authorize(SERVER, [], { address, tls: { kind: 'none' } }).isAllowed, true, address);
  }
  assert.equal(authorize(SERVER, [], { address: '127.0.0.2', tls: { kind: 'none' } }).isAllowed, false);
});

test('a client outside of the networks or inside an exception is not let in', () => {
  const [match] = networkMatches(['10.0.0.0/8']);
  const except = networkMatches(['10.42.0.0/24']).map((hole) => hole.network);
  const holed: Authorization = {
    ...grant({ kind: 'unauthenticated' }),
    networks: [{ network: match!.network, except }],
  };
  assert.equal(authorize(SERVER, [[holed]], PLAIN).isAllowed, false);
  assert.equal(authorize(SERVER, [[holed]], { ...PLAIN, address: '10.42.1.9' }).isAllowed, true);
  assert.equal(authorize(SERVER, [[holed]], { ...PLAIN, address: '11.0.0.1' }).isAllowed, false);
  assert.equal(authorize(SERVER, [[holed]], { ...PLAIN, address: 'fd00::1' }).isAllowed, false);
});

test('identities are compared exactly or by whole labels at their end', () => {
  const exact = grant({
    kind: 'identities',
    names: ['web.shop.serviceaccount.identity.tulle.cluster.local'],
    suffixes: [],
  });
  const namespace = grant({
    kind: 'identities',
    names: [],
    suffixes: [['shop', 'serviceaccount', 'identity', 'tulle', 'cluster', 'local']],
  });
  const anyone = grant({ kind: 'identities', names: [], suffixes: [[]] });
  const spiffe: Client = { ...MESHED, tls: { kind: 'mesh', identity: 'spiffe://cluster.local/ns/shop/sa/web' } };
  const anonymous: Client = { ...MESHED, tls: { kind: 'mesh' } };
  const workshop: Client = {
    ...MESHED,
    tls: { kind: 'mesh', identity: 'web.workshop.serviceaccount.identity.tulle.cluster.local' },
  };
  const allowed = (authorization: Authorization, client: Client): boolean =>
    authorize(SERVER, [[authorization]], client).isAllowed;
  assert.deepEqual(
    [exact, namespace, anyone].map((a) => allowed(a, MESHED)),
    [true, true, true],
  );
  assert.deepEqual(
    [exact, namespace, anyone].map((a) => allowed(a, workshop)),
    [false, false, true],
  );
  assert.deepEqual(
    [exact, namespace, anyone].map((a) => allowed(a, spiffe)),
    [false, false, false],
  );
  assert.deepEqual(
    [exact, namespace, anyone].map((a) => allowed(a, anonymous)),
    [false, false, false],
  );
  assert.deepEqual(
    [exact, namespace, anyone].map((a) => allowed(a, PLAIN)),
    [false, false, false],
  );
  assert.equal(allowed(grant({ kind: 'mesh-tls' }), anonymous), true);
  assert.equal(allowed(grant({ kind: 'mesh-tls' }), PLAIN), false);
});

test('the verdict names the authorization that decided, and audit is marked', () => {
  const audit: Authorization = { ...grant({ kind: 'unauthenticated' }), ref: { type: 'default', name: 'audit' } };
  const never = grant({ kind: 'identities', names: ['other'], suffixes: [] });
  assert.deepEqual(authorize(SERVER, [[never], [audit]], PLAIN), {
    isAllowed: true,
    authorization: audit.ref,
    isAudited: true,
  });
});
