import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { test } from 'node:test';
import { connect, type PeerCertificate } from 'node:tls';
import { CertificateAuthority } from './certificates.ts';
import { TestServer } from './test-server.ts';

function statusOf(server: TestServer, port: number, servername?: string): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const target = { host: '127.0.0.1', port, path: '/version', ...(servername === undefined ? {} : { servername }) };
  httpsRequest({ ...server.tls(), ...target }, (response) => {
    response.resume();
    resolve(response.statusCode);
  })
    .on('error', reject)
    .end();
  return promise;
}

test('one server listens on several sockets and answers to the names pods use', async () => {
  await using server = await TestServer.start({ names: ['10.42.0.1'] });
  const second = await server.server.listen({ host: '127.0.0.1', port: 0 });
  assert.notEqual(second.port, server.port);
  assert.equal(await statusOf(server, server.port), 200);
  assert.equal(await statusOf(server, second.port, 'kubernetes.default.svc'), 200);
  await assert.rejects(statusOf(server, second.port, 'other.example'), /does not match certificate's altnames/);
});

test('a port in use is an error of listen', async () => {
  await using server = await TestServer.start();
  await assert.rejects(server.server.listen({ host: '127.0.0.1', port: server.port }), /EADDRINUSE/);
});

test('the certificate names the addresses of the Service and those given', async () => {
  await using server = await TestServer.start({ names: ['10.42.0.1', 'fd00::1'] });
  const { promise, resolve, reject } = Promise.withResolvers<PeerCertificate>();
  const options = { host: '127.0.0.1', port: server.port, ca: server.server.caCertificate };
  const socket = connect(options, () => resolve(socket.getPeerCertificate()));
  socket.on('error', reject);
  const { raw } = await promise;
  socket.destroy();
  const certificate = new X509Certificate(raw);
  for (const address of ['127.0.0.1', '10.96.0.1', '10.42.0.1', 'fd00::1']) {
    assert.equal(certificate.checkIP(address), address);
  }
  assert.equal(certificate.checkHost('kubernetes.default.svc.cluster.local'), 'kubernetes.default.svc.cluster.local');
});

test('a kubeconfig is readable by its owner only', async () => {
  await using server = await TestServer.start();
  assert.equal(statSync(server.kubeconfigPath).mode & 0o777, 0o600);
});

test('leaves are signed by their authority, for one purpose and a bounded time', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const authority = CertificateAuthority.create('ca', now);
  const root = new X509Certificate(authority.certificate);
  const client = new X509Certificate(
    authority.issue({ commonName: 'ann', organizations: ['devs', 'ops'], lifetimeMs: 3600_000 }, now).certificate,
  );
  assert.ok(root.ca && !client.ca);
  assert.ok(client.checkIssued(root) && client.verify(root.publicKey));
  assert.equal(client.subject, 'O=devs\nO=ops\nCN=ann');
  assert.equal(Date.parse(client.validTo), now + 3600_000);
  assert.deepEqual(client.keyUsage, ['1.3.6.1.5.5.7.3.2']);
});

test('times after 2049 are written so that they are not read as the past century', () => {
  const now = Date.parse('2049-06-01T00:00:00Z');
  const authority = CertificateAuthority.create('ca', now);
  const leaf = authority.issue({ commonName: 'late', lifetimeMs: 400 * 24 * 3600_000 }, now);
  assert.equal(new Date(new X509Certificate(leaf.certificate).validTo).getUTCFullYear(), 2050);
});
