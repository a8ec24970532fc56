import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';

import { attributePath, decodeAttributes, encodeAttributes, type Attribute } from './attributes.ts';
import { addressBytes, addressText } from './bytes.ts';
import { exemption } from './exemption.ts';
import { mergePortRanges, parsePortRanges } from './port-ranges.ts';
import { parseSubnets } from './subnet.ts';

test('port lists hold ports and ranges', () => {
  assert.deepEqual(parsePortRanges(''), []);
  assert.deepEqual(parsePortRanges(' 4190, 5000-5010,65535 '), [
    { first: 4190, last: 4190 },
    { first: 5000, last: 5010 },
    { first: 65535, last: 65535 },
  ]);
});

test('a bad port list says which item is wrong and why', () => {
  const cases: Record<string, string> = {
    '80,,90': 'port list "80,,90": an item is empty',
    '80,': 'port list "80,": an item is empty',
    http: 'port list "http": "http" is neither a port nor a range such as 5000-5010',
    '80:90': 'port list "80:90": "80:90" is neither a port nor a range such as 5000-5010',
    '-1': 'port list "-1": "-1" is neither a port nor a range such as 5000-5010',
    '0': 'port list "0": 0 is not a port (1 to 65535)',
    '1-70000': 'port list "1-70000": 70000 is not a port (1 to 65535)',
    '90-80': 'port list "90-80": the range 90-80 ends before it begins',
  };
  for (const [text, message] of Object.entries(cases)) {
    assert.throws(() => parsePortRanges(text), { name: 'RedirectInputError', message });
  }
});

test('overlapping and neighbouring ranges become one', () => {
  assert.deepEqual(mergePortRanges(parsePortRanges('90-100,80,81-89,200,95-96,150-65535,65535')), [
    { first: 80, last: 100 },
    { first: 150, last: 65535 },
  ]);
});

test('subnets lose their host bits', () => {
  const [ten, six, one, all] = parseSubnets('10.99.3.4/9, fd12:3456::1/20,1.2.3.4,::/0');
  assert.deepEqual(
    [ten?.address, ten?.mask].map((bytes) => addressText(bytes!)),
    ['10.0.0.0', '255.128.0.0'],
  );
  assert.deepEqual(
    [six?.address, six?.mask].map((bytes) => addressText(bytes!)),
    ['fd12:3000::', 'ffff:f000::'],
  );
  assert.deepEqual(
    [one?.address, one?.mask].map((bytes) => addressText(bytes!)),
    ['1.2.3.4', '255.255.255.255'],
  );
  assert.equal(addressText(all!.mask), '::');
});

test('a bad subnet says what is wrong', () => {
  for (const text of ['10.0.0/8', 'x', '10.0.0.0/8/9', 'fe80::1%eth0/10', ',', '/8']) {
    assert.throws(() => parseSubnets(text), /subnet ".*": not an address or CIDR such as 10.0.0.0\/8/);
  }
  assert.throws(() => parseSubnets('10.0.0.0/33'), /subnet "10.0.0.0\/33": the prefix is not a number from 0 to 32/);
  assert.throws(() => parseSubnets('::/129'), /from 0 to 128/);
  assert.throws(() => parseSubnets('::/'), /from 0 to 128/);
});

test('addresses survive the way to bytes and back in their canonical text', () => {
  for (const text of [
    '0.0.0.0',
    '10.42.0.255',
    '::',
    '::1',
    'fd00::',
    '1:0:0:2::3',
    '10:0:1:2:3:4:0:0',
    '1:2:3:4:5:6:7:8',
  ]) {
    const canonical = isIPv6(text) && text.startsWith('10:') ? '10:0:1:2:3:4::' : text;
    assert.equal(addressText(addressBytes(text)), canonical);
  }
  assert.equal(addressText(addressBytes('::ffff:10.1.2.3')), '::ffff:a01:203');
});

test('the exemption goes by uid where the uid is mapped, and by priority where it is not', () => {
  const uid = { kind: 'uid', uid: 2102 };
  const priority = { kind: 'priority', priority: 5 };
  assert.deepEqual(exemption(2102, '         0          0 4294967295\n'), uid);
  assert.deepEqual(exemption(2102, '         0    1234567      65536\n'), uid, 'a pod with hostUsers: false');
  assert.deepEqual(exemption(2102, '0 1000 1\n1 100000 65536\n'), uid, 'two ranges');
  assert.deepEqual(exemption(2102, '         0       1000          1\n'), priority, 'the sandbox of an ordinary user');
  assert.deepEqual(exemption(2102, '0 1000 2102\n'), priority);
  assert.deepEqual(exemption(2102, ''), priority, 'nothing is mapped yet');
});

test('attributes nest, are padded, and name the place of a byte', () => {
  const attributes: Attribute[] = [
    [1, Buffer.from('abc')],
    [
      4,
      [
        [1, Buffer.of(9)],
        [7, Buffer.alloc(0)],
      ],
    ],
  ];
  const bytes = encodeAttributes(attributes);
  assert.equal(bytes.length, 8 + 4 + 8 + 4);
  assert.deepEqual(
    decodeAttributes(bytes).map(([type, value]) => [type, value.length]),
    [
      [1, 3],
      [4, 12],
    ],
  );
  assert.equal(attributePath(bytes, 0), '1[0]');
  assert.equal(attributePath(bytes, 12), '4[1].1[0]');
  assert.equal(attributePath(bytes, 20), '4[1].7[1]');
  assert.equal(attributePath(bytes, 24), '?');
  assert.throws(
    () => encodeAttributes([[3, [[1, Buffer.alloc(70_000)]]]]),
    /netlink attribute 1 of 70000 bytes is too long/,
  );
});

test('malformed attributes end the reading and nothing else', () => {
  for (const hex of ['', '00', '0300', '03000100', 'ffff0100', '0000000000000000', '080001000102']) {
    assert.deepEqual(decodeAttributes(Buffer.from(hex, 'hex')), []);
  }
});
