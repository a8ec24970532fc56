import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { addressBeside, containsAddress, formatAddress, formatNetwork, parseAddress, parseNetwork } from './address.ts';

test('addresses are printed in canonical form', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['10.77.0.20', '10.77.0.20'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ];
  for (const [text, canonical] of cases) assert.equal(formatAddress(parseAddress(text) ?? [0]), canonical);
});

test('text that is no address or network is refused', () => {
  for (const text of ['', '10.0.0', '10.0.0.256', 'web', ':::', '10.0.0.1:80'])
    assert.equal(parseAddress(text), undefined, text);
  for (const text of ['10.0.0.0/33', '10.0.0.0/', '::/129', '10.0.0.0/8/8', '10.0.0.0/-1', 'a/8']) {
    assert.equal(parseNetwork(text), undefined, text);
  }
});

test('what is an address is what Node takes for one', () => {
  const parts = [
    '',
    '',
    ':',
    ':',
    ':',
    '::',
    '0',
    'f',
    '12',
    'FFFF',
    '10000',
    'g',
    '.',
    '1.2.3.4',
    '1.2.3',
    '%',
    '%e0',
    ' ',
  ];
  let addresses = 0;
  for (let state = 1, count = 0; count < 200_000; count += 1) {
    let text = count % 3 === 0 ? '1:2:3:4:' : '';
    for (let length = count % 16; length >= 0; length -= 1) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      text += parts[(state >>> 16) % parts.length];
    }
    assert.equal(parseAddress(text) !== undefined, isIP(text) !== 0, JSON.stringify(text));
    if (isIP(text) !== 0) addresses += 1;
  }
  assert.ok(addresses > 1000, `only ${addresses} addresses among them`);
});

test('a network contains what shares its prefix', () => {
  const contains = (block: string, text: string): boolean => containsAddress(parseNetwork(block)!, parseAddress(text)!);
  assert.equal(contains('10.0.0.0/8', '10.255.0.1'), true);
  assert.equal(contains('10.0.0.0/8', '11.0.0.0'), false);
  assert.equal(contains('0.0.0.0/0', '255.1.2.3'), true);
  assert.equal(contains('0.0.0.0/0', '::1'), false);
  assert.equal(contains('192.168.1.128/25', '192.168.1.127'), false);
  assert.equal(contains('fd00::/8', 'fdff:1::'), true);
  assert.equal(contains('2001:db8::/33', '2001:db8:8000::'), false);
  assert.equal(contains('2001:db8::/33', '2001:db8:7fff::'), true);
  assert.equal(formatNetwork(parseNetwork('10.1.2.3/16')!), '10.1.0.0/16');
  assert.equal(formatNetwork(parseNetwork('fd00::1')!), 'fd00::1/128');
});

test('an address beside other blocks is in none of them, and there is none when they hold all of it', () => {
  const beside = (block: string, ...others: readonly string[]): string | undefined => {
    const found = addressBeside(
      others.map((text) => parseNetwork(text)!),
      parseNetwork(block)!,
    );
    return found && formatAddress(found);
  };
  assert.equal(beside('10.0.0.0/8'), '10.0.0.0');
  assert.equal(beside('10.0.0.0/8', '11.0.0.0/8', 'fd00::/8'), '10.0.0.0');
  assert.equal(beside('10.0.0.0/8', '10.0.0.0/9'), '10.128.0.0');
  assert.equal(beside('10.0.0.0/8', '10.0.0.0/9', '10.128.0.0/10', '10.192.0.0/11'), '10.224.0.0');
  assert.equal(beside('10.0.0.0/30', '10.0.0.0/32', '10.0.0.1/32', '10.0.0.2/32'), '10.0.0.3');
  assert.equal(beside('0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1'), undefined);
  assert.equal(beside('10.0.0.0/8', '0.0.0.0/0'), undefined);
  assert.equal(beside('10.0.0.0/31', '10.0.0.0/32', '10.0.0.1/32'), undefined);
  assert.equal(beside('10.0.0.1/32', '10.0.0.1/32'), undefined);
  assert.equal(beside('2001:db8::/32', '2001:db8::/33', '2001:db8:8000::/34'), '2001:db8:c000::');
  assert.equal(beside('2001:db8::/127', '2001:db8::/128'), '2001:db8::1');
});
