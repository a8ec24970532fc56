import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeCertificates, decodePem, encodeCertificates, encodePem, PemError } from './pem.ts';

const ONE = encodePem('CERTIFICATE', Buffer.from('one'));
const TWO = encodePem('CERTIFICATE', Buffer.alloc(100, 2));

function refused(text: string, reason: RegExp): void {
  assert.throws(
    () => decodeCertificates(text, 'ConfigMap tulle/x'),
    (error: unknown) =>
      error instanceof PemError && error.message.startsWith('ConfigMap tulle/x') && reason.test(error.message),
  );
}

test('a block has lines of 64 characters that end with a line feed', () => {
  assert.equal(ONE, '-----BEGIN CERTIFICATE-----\nb25l\n-----END CERTIFICATE-----\n');
  assert.deepEqual([...new Set(TWO.split('\n').map((line) => line.length))], [27, 64, 8, 25, 0]);
  assert.equal(encodeCertificates([Buffer.from('one'), Buffer.alloc(100, 2)]), ONE + TWO);
});

test('blocks are found among comments, other blocks and the line ends of any system', () => {
  const other = encodePem('EC PARAMETERS', Buffer.from('curve'));
  const text = `# subject: a\n${ONE}\n${other}  \n${TWO.replaceAll('\n', '\r\n')}# end`;
  assert.deepEqual(decodePem('CERTIFICATE', text), [Buffer.from('one'), Buffer.alloc(100, 2)]);
  assert.deepEqual(decodePem('PRIVATE KEY', text), []);
  assert.deepEqual(decodePem('CERTIFICATE', ''), []);
});

test('a certificate that cannot be read is an error and is not left out', () => {
  refused('nothing', /holds no PEM certificate/);
  refused(ONE + TWO.slice(0, 100), /1 of 2 PEM blocks cannot be read/);
  refused(`${ONE}${TWO.slice(0, 100)}\n${ONE}`, /1 of 3 PEM blocks cannot be read/);
  refused(ONE.replace('b25l', ''), /cannot be read|not PEM/);
  refused(ONE.replace('b25l', '=25l'), /cannot be read/);
  refused(ONE.replace('b25l', 'b2$l'), /cannot be read|not PEM/);
  refused(ONE.replace('END CERT', 'END PRIVATE CERT'), /cannot be read|not PEM/);
  refused(ONE.replace('b25l', 'Odd: header\n\nb25l'), /not PEM/);
});

test('long texts are refused, and the longest are read in bounded time', () => {
  refused('x'.repeat(1024 * 1024 + 1), /longer than 1048576 characters/);
  const begin = '-----BEGIN CERTIFICATE-----\n';
  const start = process.cpuUsage();
  refused(begin.repeat((1024 * 1024) / begin.length), /cannot be read|not PEM/);
  refused(begin + 'A\n\n'.repeat(300_000), /cannot be read|not PEM/);
  refused(begin + 'A: b\n'.repeat(200_000) + '\n' + ONE, /cannot be read|not PEM/);
  assert.ok(process.cpuUsage(start).user < 5_000_000);
});
