import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import type { Certificate } from '#pki/certificate.ts';
import { createIssuer, createTrustAnchor, crossSign, issueLeaf, type Authority } from '#pki/issuer.ts';
import { PrivateKey } from '#pki/key.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { acceptTls } from '../accept/tls-accept.ts';
import { createCredentials, learnAnchors, readTrustAnchors, type Credentials } from './credentials.ts';

const NOW = Date.now();
const VALIDITY = { notBeforeMs: NOW - 3_600_000, notAfterMs: NOW + 3_600_000 };

/** An old anchor, the next one with its issuer, and what the old one says for it. */
const old = createTrustAnchor('old', VALIDITY);
const oldIssuer = createIssuer(old, 'old', VALIDITY);
const next = createTrustAnchor('next', VALIDITY);
const nextIssuer = createIssuer(next, 'next', VALIDITY);
const voucher = crossSign(next, old);

function trust(...anchors: readonly Authority[]): string {
  return encodeCertificates(anchors.map(({ certificate }) => certificate.der));
}

/** What a proxy has that started with these anchors and was answered so by the identity process. */
function proxy(name: string, anchorsPem: string, issuer: Authority, rest: readonly Certificate[]): Credentials {
  const key = PrivateKey.generate();
  const leaf = issueLeaf(issuer, { publicDer: key.publicDer, dnsName: name, validity: VALIDITY });
  const answer = [leaf, issuer.certificate, ...rest].map(({ der }) => der);
  const { chain, anchors } = learnAnchors(readTrustAnchors(anchorsPem), answer);
  return createCredentials(name, key, chain, anchors, NOW);
}

/** Connects two proxies. @returns whom each of them saw, or why they did not come together */
async function meet(client: Credentials, server: Credentials): Promise<string> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection').then(([socket]) =>
    acceptTls(socket as never, server, [], 5_000).then(
      ({ clientIdentity }) => `client ${clientIdentity}`,
      (error: Error) => error.message,
    ),
  );
  const socket = connect({
    host: '127.0.0.1',
    port: (listener.address() as AddressInfo).port,
    servername: server.identity,
    secureContext: client.context,
  });
  const connected = new Promise<string>((resolve) => {
    socket.once('secureConnect', () => resolve('server trusted'));
    socket.once('error', (error) => resolve(error.message));
  });
  try {
    return (await Promise.all([connected, accepted])).join(', ');
  } finally {
    socket.destroy();
    listener.close();
  }
}

const TOGETHER = 'server trusted, client client.a';

test('while the old anchor holds, its successor is trusted by those who know only the old one, and the other way round', async () => {
  const knowsOld = proxy('client.a', trust(old), oldIssuer, []);
  const renewed = proxy('client.a', trust(old), nextIssuer, [voucher]);
  const knowsBoth = proxy('server.a', trust(old, next), nextIssuer, [voucher]);
  const knowsNext = proxy('server.a', trust(next), nextIssuer, [voucher]);
  assert.equal(await meet(knowsOld, knowsBoth), TOGETHER);
  assert.equal(await meet(renewed, knowsBoth), TOGETHER);
  assert.equal(await meet(renewed, knowsNext), TOGETHER, 'a new proxy needs no old anchor for those that renewed');
});

test('a proxy that never restarts learns a new anchor when it renews, though nothing vouches for that one', async () => {
  const ignorant = proxy('client.a', trust(old), oldIssuer, []);
  const told = proxy('client.a', trust(old), oldIssuer, [next.certificate, old.certificate]);
  const server = proxy('server.a', trust(old, next), nextIssuer, []);
  assert.match(await meet(ignorant, server), /unable to|certificate|alert/i);
  assert.equal(await meet(told, server), TOGETHER);
});

test('anchors are not shown to peers, and nothing but a root counts as one', () => {
  const key = PrivateKey.generate();
  const leaf = issueLeaf(nextIssuer, { publicDer: key.publicDer, dnsName: 'a.b', validity: VALIDITY });
  const answer = [leaf, nextIssuer.certificate, voucher, old.certificate, next.certificate];
  const known = readTrustAnchors(trust(old));
  const learned = learnAnchors(
    known,
    answer.map(({ der }) => der),
  );
  assert.deepEqual(
    learned.chain.map(({ der }) => der),
    [leaf, nextIssuer.certificate, voucher].map(({ der }) => der),
  );
  assert.deepEqual(
    learned.anchors.certificates.map(({ commonName }) => commonName),
    [old.certificate.commonName, next.certificate.commonName],
  );
  assert.equal(learnAnchors(known, [leaf.der, oldIssuer.certificate.der, old.certificate.der]).anchors, known);
});
