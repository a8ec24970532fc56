// Identity.Certify, as a foreign proxy sees it.
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { after, before, test } from 'node:test';
import { signingRequest } from './signing-request.ts';
import { startWorld, type World } from './testing.ts';

const WEB = 'web.shop.serviceaccount.identity.tulle.cluster.local';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world[Symbol.asyncDispose]());

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

test('a workload that proves its service account gets a leaf of its name and key, in DER, with the way to the anchors', async () => {
  const request = {
    identity: WEB,
    token: Buffer.from(await world.cluster.token('shop', 'web')),
    certificate_signing_request: signingRequest(keys, [WEB], WEB),
  };
  const answer = await world.identity.ask('certify', request);
  assert.ok(typeof answer !== 'string');
  const leaf = new X509Certificate(answer['leaf_certificate'] as Buffer);
  const chain = (answer['intermediate_certificates'] as Buffer[]).map((bytes) => new X509Certificate(bytes));
  const anchor = new X509Certificate(world.anchorsPem);
  assert.match(leaf.subjectAltName ?? '', new RegExp(`DNS:${WEB}(,|$)`));
  assert.deepEqual(leaf.publicKey.export({ format: 'jwk' }), keys.publicKey.export({ format: 'jwk' }));
  assert.deepEqual(leaf.keyUsage.toSorted(), [SERVER_AUTH, CLIENT_AUTH]);
  assert.equal(leaf.ca, false);
  const [issuer] = chain;
  assert.ok(issuer?.ca);
  assert.equal(leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey), true);
  assert.equal(issuer.checkIssued(anchor) && issuer.verify(anchor.publicKey), true);
  const { seconds } = answer['valid_until'] as { seconds: bigint };
  assert.equal(Number(seconds) * 1000, leaf.validToDate.getTime());
  assert.ok(leaf.validFromDate.getTime() < Date.now() && Number(seconds) * 1000 > Date.now());

  // The same key and request are used again for as long as the pod lives.
  const again = await world.identity.ask('certify', request);
  assert.ok(typeof again !== 'string');
  assert.notDeepEqual(again['leaf_certificate'], answer['leaf_certificate']);
});

test('each thing that is wrong has the code that the published server gives it', async () => {
  const token = Buffer.from(await world.cluster.token('shop', 'web'));
  const good = { identity: WEB, token, certificate_signing_request: signingRequest(keys, [WEB], WEB) };
  const other = 'db.shop.serviceaccount.identity.tulle.cluster.local';
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const forged = Buffer.from(good.certificate_signing_request);
  forged[forged.length - 1]! ^= 1;
  for (const [what, change, code] of [
    ['no identity', { identity: '' }, 'INVALID_ARGUMENT'],
    ['no token', { token: Buffer.alloc(0) }, 'INVALID_ARGUMENT'],
    ['no request', { certificate_signing_request: Buffer.alloc(0) }, 'INVALID_ARGUMENT'],
    ['a token that is none', { token: Buffer.from('secret') }, 'INVALID_ARGUMENT'],
    ['a request that is none', { certificate_signing_request: Buffer.from('secret') }, 'INVALID_ARGUMENT'],
    ['a request whose signature is wrong', { certificate_signing_request: forged }, 'INVALID_ARGUMENT'],
    ['two names', { certificate_signing_request: signingRequest(keys, [WEB, other], WEB) }, 'FAILED_PRECONDITION'],
    ['another name', { certificate_signing_request: signingRequest(keys, [other], other) }, 'FAILED_PRECONDITION'],
    ['another common name', { certificate_signing_request: signingRequest(keys, [WEB], other) }, 'FAILED_PRECONDITION'],
    [
      'the token of somebody else',
      { identity: other, certificate_signing_request: signingRequest(keys, [other], other) },
      'FAILED_PRECONDITION',
    ],
    [
      'a token for another audience',
      { token: Buffer.from(await world.cluster.token('shop', 'web', 'somebody.else')) },
      'FAILED_PRECONDITION',
    ],
    [
      'a key that is not ECDSA',
      { certificate_signing_request: signingRequest(stranger, [WEB], WEB) },
      'INVALID_ARGUMENT',
    ],
  ] as const)
    assert.equal(await world.identity.ask('certify', { ...good, ...change }), code, what);
  assert.ok(typeof (await world.identity.ask('certify', good)) !== 'string', 'and the good one is still signed');
});
