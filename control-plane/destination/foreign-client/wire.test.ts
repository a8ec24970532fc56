import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGES, METHODS } from './messages.ts';
import { readMessage, writeMessage } from './wire.ts';

const SCALARS = new Set([
  'uint32',
  'int32',
  'int64',
  'bool',
  'fixed32',
  'fixed64',
  'float',
  'double',
  'string',
  'bytes',
  'map',
]);

test('the description is whole: every type is described, no number is used twice', () => {
  for (const [name, fields] of MESSAGES) {
    for (const { type } of fields) assert.ok(SCALARS.has(type) || MESSAGES.has(type), `${name} has a field of ${type}`);
    assert.equal(new Set(fields.map(({ number }) => number)).size, fields.length, name);
  }
  for (const [, request, answer] of Object.values(METHODS)) assert.ok(MESSAGES.has(request) && MESSAGES.has(answer));
});

test('what is written is read', () => {
  const message = {
    source_workload: '{}',
    addr: { ip: { ipv6: { first: 0xfd00_0000_0000_0000n, last: 1n } }, port: 80 },
  };
  assert.deepEqual(readMessage('outbound.TrafficSpec', writeMessage('outbound.TrafficSpec', message)), message);
});

test('bytes that are not as described are refused', () => {
  const refused = (type: string, hex: string, message: RegExp): void => {
    assert.throws(() => readMessage(type, Buffer.from(hex, 'hex')), message);
  };
  refused('destination.NoEndpoints', '1001', /has no field 2/);
  refused('destination.NoEndpoints', '0a00', /exists is not of wire type 2/);
  refused('destination.Update', '0a00 1a00'.replace(' ', ''), /has both add and no_endpoints/);
  refused('net.IPAddress', '0d01', /./);
});
