import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { CertificateError, parseCertificate } from './certificate.ts';
import { authority, craftCertificate, craftExtension, type Crafted } from './crafted-certificate.ts';
import { contextPrimitive, octetString, sequence } from './der-writer.ts';
import { OID } from './oids.ts';
import { decodeCertificates } from './pem.ts';
import { createTestAuthority } from './testing.ts';

const READABLE: Crafted = { name: 'a', extensions: [authority(3)] };

function refused(change: Partial<Crafted>, reason: RegExp): void {
  const der = craftCertificate({ ...READABLE, ...change });
  assert.throws(
    () => parseCertificate(der),
    (error: unknown) => error instanceof CertificateError && reason.test(error.message),
    String(reason),
  );
}

test('what a certificate says is read', () => {
  const read = parseCertificate(craftCertificate(READABLE));
  assert.equal(read.commonName, 'a');
  assert.equal(read.isCa, true);
  assert.equal(read.pathLengthMax, 3);
  assert.deepEqual(read.unsupported, []);
});

test('the public roots that Node knows are read, as Node reads them', () => {
  const read = decodeCertificates(rootCertificates.join('\n'), 'roots').map(parseCertificate);
  assert.equal(read.length, rootCertificates.length);
  for (const [index, pem] of rootCertificates.entries()) {
    const expected = new X509Certificate(pem);
    const certificate = read[index]!;
    assert.equal(certificate.isCa, expected.ca);
    assert.equal(certificate.notBeforeMs, Date.parse(expected.validFrom));
    assert.equal(certificate.notAfterMs, Date.parse(expected.validTo));
    assert.deepEqual(certificate.publicDer, expected.publicKey.export({ type: 'spki', format: 'der' }));
    assert.deepEqual(certificate.unsupported, []);
  }
});

test('names stand in the order in which they were asked for: the DNS name, then the URI', () => {
  const { der } = createTestAuthority().leaf('web.shop', 'spiffe://a/b').chain[0]!;
  assert.equal(new X509Certificate(der).subjectAltName, 'DNS:web.shop, URI:spiffe://a/b');
});

test('serial numbers have up to 20 bytes and are not negative; ours are positive and differ', () => {
  const most = Buffer.alloc(20, 0x7f);
  assert.equal(parseCertificate(craftCertificate({ ...READABLE, serial: most })).serialHex, most.toString('hex'));
  const high = Buffer.concat([Buffer.from([0]), Buffer.alloc(20, 0xff)]);
  parseCertificate(craftCertificate({ ...READABLE, serial: high }));
  parseCertificate(craftCertificate({ ...READABLE, serial: Buffer.from([0]) })); // roots that people made themselves
  refused({ serial: Buffer.alloc(21, 0x7f) }, /serial number: negative or longer than 20 bytes/);
  refused({ serial: Buffer.from([0x80]) }, /serial number: negative/);
  refused({ serial: Buffer.alloc(0) }, /serial number: an integer without a value/);

  const { leaf } = createTestAuthority();
  const serials = Array.from({ length: 50 }, () => leaf('web.shop').chain[0]!.serialHex);
  assert.equal(new Set(serials).size, serials.length);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9a-f]{31}$/);
});

test('a certificate that contradicts itself is refused', () => {
  refused({ version: 0 }, /extensions: need version 3/);
  refused({ version: 3 }, /version: 3 is not known/);
  refused({ algorithm: '1.2.840.10045.4.3.3' }, /signature algorithm: not the same inside and outside/);
  refused({ extensions: [authority(), authority()] }, /extension 2\.5\.29\.19: there more than once/);
  refused(
    { extensions: [craftExtension(OID.keyUsage, true, octetString(Buffer.alloc(2)))] },
    /key usage: expected tag/,
  );
});

test('names that are not names are refused: what a peer is called must not be read in two ways', () => {
  const named = (...bytes: readonly string[]): Partial<Crafted> => ({
    extensions: [
      craftExtension(
        OID.subjectAltName,
        true,
        sequence(...bytes.map((name) => contextPrimitive(2, Buffer.from(name, 'latin1')))),
      ),
    ],
  });
  assert.deepEqual(parseCertificate(craftCertificate({ ...READABLE, ...named('b', 'a') })).names.dns, ['b', 'a']);
  for (const name of ['', 'web\0.evil', 'web shop', 'w\xe9b', 'a\n']) refused(named('web', name), /is not a name/);
});
