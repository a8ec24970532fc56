import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { parseCertificate } from './certificate.ts';
import { createTestAuthority, tlsOptions, type TestAuthority } from './testing.ts';

const SERVER = 'server.ns.serviceaccount.identity.tulle.cluster.local';
const CLIENT = 'client.ns.serviceaccount.identity.tulle.cluster.local';

/** Does a mutual TLS 1.3 handshake. @returns what the server saw of the client, or the error of either side */
async function handshake(server: TestAuthority, client: TestAuthority, name = SERVER): Promise<string> {
  const listener = createServer({
    ...tlsOptions(server.leaf(SERVER)),
    ca: server.anchorsPem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const seen = Promise.race([
    once(listener, 'secureConnection').then(([socket]: TLSSocket[]) => {
      const { raw } = socket!.getPeerCertificate();
      socket!.end();
      return parseCertificate(raw).names.dns.join();
    }),
    once(listener, 'tlsClientError').then(([error]: Error[]) => `server: ${error!.message}`),
  ]);
  const { port } = listener.address() as AddressInfo;
  const socket = connect({
    ...tlsOptions(client.leaf(CLIENT)),
    port,
    host: '127.0.0.1',
    servername: name,
    ca: client.anchorsPem,
  });
  const failed = new Promise<string>((resolve) => socket.once('error', (error) => resolve(`client: ${error.message}`)));
  try {
    return await Promise.race([seen, failed]);
  } finally {
    socket.destroy();
    listener.close();
  }
}

test('two workloads under one anchor shake hands', async () => {
  const authority = createTestAuthority();
  assert.equal(await handshake(authority, authority), CLIENT);
});

test('a server of another anchor is not trusted', async () => {
  assert.match(await handshake(createTestAuthority(), createTestAuthority()), /unable to|certificate/i);
});

test('a server with another name is not trusted', async () => {
  const authority = createTestAuthority();
  assert.match(await handshake(authority, authority, 'other.ns'), /altnames|does not match/i);
});

test('an expired certificate is not trusted', async () => {
  const old = createTestAuthority(Date.now() - 3 * 86_400_000);
  assert.match(await handshake(old, { ...createTestAuthority(), anchorsPem: old.anchorsPem }), /expired/i);
});
