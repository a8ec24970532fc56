import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { seededRandom } from '../../test/harness/random.ts';
import { FrameReader } from './frame-reader.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { decodeHuffman } from './huffman.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1e9);
const ROUNDS = 90; // as many streams as a client opens before it knows the limit

/** Mostly characters of short codes, so that the encoder takes the trouble, and some of every other. */
function text(random: () => number): string {
  return Array.from({ length: 1 + Math.floor(random() * 80) }, () =>
    random() < 0.15
      ? String.fromCharCode(33 + Math.floor(random() * 94))
      : 'aceiost012'.charAt(Math.floor(random() * 10)),
  ).join('');
}

test(`what nghttp2 encodes is read as it was (FUZZ_SEED=${seed})`, async () => {
  const random = seededRandom(seed);
  const sent = Array.from({ length: ROUNDS }, () => text(random));
  const read: string[] = [];
  let huffman = 0;
  const decoder = new HpackDecoder();
  const done = Promise.withResolvers<void>();
  const nothing = (): void => {};
  const reader = new FrameReader(
    {
      onDataBegin: nothing,
      onDataPart: nothing,
      onFrame: nothing,
      onBlock(_id, bytes, start, end) {
        const block = bytes.subarray(start, end);
        for (const { name, value } of decoder.decode(block)) if (name === 'x-text') read.push(value);
        if (!block.includes(sent[read.length - 1] ?? '')) huffman += 1;
        if (read.length === ROUNDS) done.resolve();
      },
    },
    true,
  );
  const [near, far] = duplexPair();
  far.on('data', (bytes: Buffer) => reader.read(bytes, 0));
  const client = connect('http://web', { createConnection: () => near });
  client.on('error', nothing);
  for (const value of sent) client.request({ 'x-text': value }).on('error', nothing);
  await done.promise;
  client.destroy();
  assert.deepEqual(read, sent);
  assert.ok(huffman > ROUNDS / 2, `${huffman} of ${ROUNDS} were encoded`);
});

test('a string ends with at most seven ones, and holds no end of string', () => {
  const decode = (...bytes: number[]): string | undefined => decodeHuffman(Buffer.from(bytes), 0, bytes.length);
  assert.equal(decode(), '');
  assert.equal(decode(0x1f), 'a'); // 00011 and three ones
  assert.equal(decode(0x18), undefined); // padded with zeros
  assert.equal(decode(0x1f, 0xff), undefined); // eleven ones
  assert.equal(decode(0xff, 0xff, 0xff, 0xff), undefined); // the end of string
});
