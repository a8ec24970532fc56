import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { CertificateError, parseCertificate } from './certificate.ts';
import { createCsr, CsrError, parseCsr } from './csr.ts';
import { Asn1Error, childrenOf, decodeDer, encodeDer } from './der.ts';
import { Reader } from './der-reader.ts';
import { bitString, boolean, contextPrimitive, integer, longInteger, oid, sequence, time } from './der-writer.ts';
import { PrivateKey } from './key.ts';
import { OID } from './oids.ts';
import { decodeCertificates, PemError } from './pem.ts';
import { createTestAuthority } from './testing.ts';
import { mutateBytes } from '../../test/harness/fuzz.ts';
import { seededRandom } from '../../test/harness/random.ts';

function decodeHex(hex: string): Buffer {
  return encodeDer(decodeDer('input', Buffer.from(hex.replaceAll(' ', ''), 'hex')));
}

test('only the one form that DER has for a value is taken', () => {
  for (const good of ['30 00', '30 03 02 01 80', '04 81 80'.padEnd(8 + 3 * 128, ' 00'), '02 02 00 80', '1e 02 00 41']) {
    assert.equal(decodeHex(good).toString('hex'), good.replaceAll(' ', ''));
  }
  const bad: readonly (readonly [string, RegExp])[] = [
    ['', /^input: cut off$/],
    ['30', /cut off/],
    ['30 02 02', /cut off/],
    ['30 03 02 02 01', /cut off/], // the inner one reaches further than the outer one
    ['30 00 00', /unexpected bytes at the end/],
    ['04 81 01 00', /only one form/], // a long length for a short value
    ['04 82 00 80'.padEnd(11 + 3 * 128, ' 00'), /only one form/],
    ['30 80 00 00', /only one form/], // indefinite length
    ['04 80 00 00', /not DER/],
    ['04 85 01 00 00 00 00', /not DER/], // five octets of length
    ['04 ff', /cut off/],
    ['02 02 00 01', /only one form/],
    ['02 02 ff ff', /only one form/],
    ['1e 01 41', /cut off|not DER|only one form/], // half a character
    ['bf 1f 00', /long tags|cut off|not DER/],
    ['30 03 1f 01 00', /long tags/],
  ];
  for (const [hex, reason] of bad) {
    assert.throws(
      () => decodeHex(hex),
      (error: unknown) => error instanceof Asn1Error && reason.test(error.message),
      hex,
    );
  }
});

test('nesting without end costs neither stack nor time', () => {
  const deep = (levels: number): Buffer => {
    let der = Buffer.alloc(0);
    for (let level = 0; level < levels; level += 1) {
      der = Buffer.concat([
        Buffer.from(der.length < 0x80 ? [0x30, der.length] : [0x30, 0x82, der.length >> 8, der.length & 0xff]),
        der,
      ]);
    }
    return der;
  };
  decodeDer('input', deep(16));
  assert.throws(() => decodeDer('input', deep(17)), /input: more than 16 levels/);
  assert.throws(() => parseCertificate(deep(3000)), CertificateError);
  assert.throws(() => parseCsr(deep(3000)), CsrError);
  assert.throws(() => parseCertificate(Buffer.alloc(100_000)), /longer than/);
});

test('identifiers, numbers and flags are read exactly', () => {
  const reader = (...bytes: readonly string[]): Reader =>
    new Reader(bytes.map((hex) => decodeDer('input', Buffer.from(hex, 'hex'))));
  assert.equal(reader('0603551d11').readOid('it'), '2.5.29.17');
  assert.equal(reader('0604551d8011').readOid('it'), '0x551d8011'); // the same number in a longer form is another identifier
  assert.equal(reader(`060a69${'ff'.repeat(8)}7f`).readOid('it'), `0x69${'ff'.repeat(8)}7f`); // above 53 bits
  assert.throws(() => reader('0600').readOid('it'), /it: not an object identifier/);
  assert.equal(reader('02020080').readCount('it'), 128);
  assert.throws(() => reader('0200').readInteger('it'), /it: an integer without a value/);
  assert.throws(() => reader('020180').readCount('it'), /it: not a number/);
  assert.throws(() => reader('0205' + '01'.repeat(5)).readCount('it'), /it: not a number/);
  assert.equal(reader('0101ff').readFlag('it'), true);
  assert.equal(reader('010100').readFlag('it'), false);
  assert.equal(reader('0500').readFlag('it'), false); // left out
  assert.throws(() => reader('010101').readFlag('it'), /it: not a boolean/);
  assert.throws(() => reader('030201ff').readWholeBytes('it'), /it: not a bit string of whole bytes/);
  assert.throws(() => reader('0300').readWholeBytes('it').length, /it: not a bit string/);
  assert.throws(() => reader().read('it'), /it: missing/);
  assert.throws(() => reader('0500').end('it'), /it: unexpected element 0x5 at the end/);
  const all = [
    oid('1.2.840.10045.4.3.2'),
    integer(-129),
    longInteger(Buffer.alloc(16, 0x41)),
    boolean(true),
    contextPrimitive(2, Buffer.from('ü')),
  ];
  assert.deepEqual(decodeDer('all', encodeDer(sequence(...all))), sequence(...all));
});

test('times are UTCTime up to the end of 2049 and GeneralizedTime after it', () => {
  const last = Date.UTC(2049, 11, 31, 23, 59, 59);
  assert.equal(encodeDer(time(last)).toString('latin1'), '\x17\x0d491231235959Z');
  assert.equal(encodeDer(time(last + 1000)).toString('latin1'), '\x18\x0f20500101000000Z');
  for (const ms of [Date.UTC(1950, 0), 0, last, last + 1000, Date.UTC(9999, 11, 31, 23, 59, 59)]) {
    assert.equal(new Reader([time(ms)]).readTime('time'), ms);
  }
  for (const ms of [Date.UTC(1949, 11, 31), Date.UTC(10_000, 0), Number.NaN]) assert.throws(() => time(ms), Asn1Error);
  const read = (tag: string, text: string): number =>
    new Reader([decodeDer('time', Buffer.from(`${tag}${String.fromCharCode(text.length)}${text}`, 'latin1'))]).readTime(
      'time',
    );
  assert.equal(read('\x18', '20260101000000Z'), Date.UTC(2026, 0)); // not ours to say that it should be a UTCTime
  assert.equal(read('\x17', '500101000000Z'), Date.UTC(1950, 0));
  for (const [tag, text] of [
    ['\x17', '260230000000Z'],
    ['\x17', '261301000000Z'],
    ['\x17', '260101240000Z'],
    ['\x17', '2601010000Z'],
    ['\x17', '260101000000+0100'],
    ['\x17', '20260101000000Z'],
    ['\x18', '260101000000Z'],
    ['\x18', '20260101000000.5Z'],
    ['\x18', '20260101000000'],
    ['\x04', '260101000000Z'],
    ['\x17', ''],
  ] as const) {
    assert.throws(() => read(tag, text), /^Asn1Error: time: /, text);
  }
});

/** `TULLE_FUZZ=1000000 npm test -- pki/der` for the full number. */
const ROUNDS = Number(process.env['TULLE_FUZZ'] ?? '1500');

/** A PKCS#10 request around bytes that may be anything. */
function signedRequest(info: Buffer, key: PrivateKey): Buffer {
  const rest = [sequence(oid(OID.ecdsaWithSha256)), bitString(key.sign(info))].map((node) => encodeDer(node));
  const contents = Buffer.concat([info, ...rest]);
  return Buffer.concat([Buffer.from([0x30, 0x82, contents.length >> 8, contents.length & 0xff]), contents]);
}

test('changed certificates, requests and PEM texts are refused with our own errors, or read as the bytes they are', (context) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
  context.diagnostic(`FUZZ_SEED=${seed}`);
  const random = seededRandom(seed);
  const authority = createTestAuthority();
  const certificate = authority.leaf('web.shop', 'spiffe://a/b').chain[0]!.der;
  const key = PrivateKey.generate();
  const request = createCsr(key, 'web.shop');
  const attempt = (act: () => void, ...kinds: readonly (new () => Error)[]): void => {
    try {
      act();
    } catch (error) {
      assert.ok(
        kinds.some((kind) => error instanceof kind),
        `FUZZ_SEED=${seed}: ${String(error)}`,
      );
    }
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    const changed = mutateBytes(certificate, random);
    attempt(() => {
      const read = parseCertificate(changed);
      assert.ok(changed.includes(read.tbsDer) && read.tbsDer.includes(read.publicDer) && read.der.equals(changed));
    }, CertificateError);
    attempt(() => void parseCsr(mutateBytes(request, random)), CsrError);
    // Signed after the change, so that what lies behind the signature is read too.
    const resigned = signedRequest(mutateBytes(encodeDer(childrenOf(decodeDer('request', request))[0]!), random), key);
    attempt(() => {
      const { names, publicDer } = parseCsr(resigned);
      assert.ok(resigned.includes(publicDer) && names.dns.every((name) => resigned.includes(name)));
    }, CsrError);
    attempt(() => {
      const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 64) }, () => Math.floor(random() * 256)));
      assert.deepEqual(encodeDer(decodeDer('input', bytes)), bytes);
    }, Asn1Error);
    const text = mutateBytes(Buffer.from(authority.anchorsPem), random).toString('latin1');
    attempt(() => void decodeCertificates(text, 'text').map(parseCertificate), PemError, CertificateError);
  }
});
