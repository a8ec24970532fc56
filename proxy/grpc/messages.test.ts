import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frameMessage, MessageError, MessageReader } from './messages.ts';

const MESSAGES = ['', 'one', 'x'.repeat(300), 'last'].map((text) => Buffer.from(text));
const BYTES = Buffer.concat(MESSAGES.map(frameMessage));

test('messages come out as they went in, wherever the bytes are cut', () => {
  for (let size = 1; size <= BYTES.length; size += 1) {
    const reader = new MessageReader(300);
    const read: Buffer[] = [];
    for (let at = 0; at < BYTES.length; at += size) {
      const part = Buffer.from(BYTES.subarray(at, at + size));
      read.push(...reader.read(part));
      part.fill(255); // what was read is not looked at again
    }
    assert.deepEqual(read, MESSAGES, `parts of ${size} bytes`);
  }
});

test('a message that is too large or compressed is refused before it has arrived', () => {
  assert.throws(() => new MessageReader(300).read(Buffer.from([0, 0, 0, 1, 45])), MessageError);
  assert.throws(() => new MessageReader(300).read(Buffer.from([1, 0, 0, 0, 9])), /compressed/);
});
