import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDnsName, parseServiceAccountUser, parseWorkloadIdentity, spiffeId, workloadIdentity } from './names.ts';

const DOMAIN = { controlPlaneNamespace: 'tulle', trustDomain: 'cluster.local' };

test('an identity is made of the service account and can be read back', () => {
  const account = { namespace: 'shop', name: 'web.v1' };
  const name = workloadIdentity(account, DOMAIN);
  assert.equal(name, 'web.v1.shop.serviceaccount.identity.tulle.cluster.local');
  assert.deepEqual(parseWorkloadIdentity(name, DOMAIN), account);
  assert.equal(spiffeId(account, DOMAIN), 'spiffe://cluster.local/ns/shop/sa/web.v1');
  for (const other of [
    'web.shop',
    'shop.serviceaccount.identity.tulle.cluster.local',
    'web.shop.serviceaccount.identity.linkerd.cluster.local',
  ]) {
    assert.equal(parseWorkloadIdentity(other, DOMAIN), undefined, other);
  }
});

test('only users that are service accounts have one', () => {
  assert.deepEqual(parseServiceAccountUser('system:serviceaccount:shop:web'), { namespace: 'shop', name: 'web' });
  for (const user of [
    '',
    'kubernetes-admin',
    'system:node:a',
    'system:serviceaccount:shop',
    'system:serviceaccount::web',
    'system:serviceaccount:a:b:c',
  ]) {
    assert.equal(parseServiceAccountUser(user), undefined, user);
  }
});

test('names that do not fit in DNS are told apart', () => {
  for (const name of ['a', 'web-1.shop', 'a'.repeat(63)]) assert.equal(isDnsName(name), true, name);
  for (const name of ['', '.', 'a.', '-a', 'A', 'a b', 'a'.repeat(64), 'a.'.repeat(130) + 'a', 'a*'])
    assert.equal(isDnsName(name), false, name);
});
