import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClientHello } from '../accept/client-hello.ts';
import { detectProtocol } from '../accept/detect.ts';
import { ProxyError } from '../errors.ts';
import { decodeTransportHeader, encodeTransportHeader, TransportHeaderError } from '../transport/transport-header.ts';
import { BodyScanner } from './body.ts';
import { parseRequestHead, parseResponseHead } from './head.ts';
import { seededRandom } from '../../test/harness/random.ts';

const SEEDS = [
  'GET /path?q=1 HTTP/1.1\r\nHost: web:80\r\nContent-Length: 12\r\nConnection: keep-alive\r\n',
  'POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nKeep-Alive: timeout=5\r\n',
  '5;x=y\r\nhello\r\n0\r\nx-t: 1\r\n\r\n',
];
const SPICE = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  ':',
  '\0',
  ',',
  ';',
  '0',
  'ÿ',
  'chunked',
  'Content-Length: 1\r\n',
  'Host: b\r\n',
];

function mutate(text: string, random: () => number): string {
  let out = text;
  for (let n = Math.floor(random() * 4); n >= 0; n -= 1) {
    const at = Math.floor(random() * (out.length + 1));
    const cut = Math.floor(random() * 4);
    out = out.slice(0, at) + (SPICE[Math.floor(random() * SPICE.length)] ?? '') + out.slice(at + cut);
  }
  return out;
}

/** Runs a parser, which may refuse but not break. */
function attempt(run: () => void, context: string): void {
  try {
    run();
  } catch (error) {
    const isRefusal = error instanceof ProxyError || error instanceof TransportHeaderError;
    assert.ok(isRefusal, `${String(error)} (${context})`);
  }
}

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

test(`parsers refuse or accept mutated input, and what they accept is unambiguous (FUZZ_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 20_000; round += 1) {
    const text = mutate(SEEDS[round % SEEDS.length] ?? '', random);
    const context = `FUZZ_SEED=${seed}, round ${round}: ${JSON.stringify(text)}`;
    attempt(() => {
      const head = parseRequestHead(text);
      assert.ok(!/[\0\n\r]/.test(head.lines.replaceAll('\r\n', '')), context);
      assert.equal((head.lines.match(/^host:/gim) ?? []).length <= 1, true, context);
      const hasLength = /^content-length:/im.test(head.lines);
      const hasCoding = /^transfer-encoding:/im.test(head.lines);
      assert.ok(!(hasLength && hasCoding), context);
      assert.equal(head.body === 'chunked', hasCoding, context);
      // Reading what would be sent on gives the same message.
      const again = parseRequestHead(head.lines);
      assert.deepEqual(
        [again.body, again.bodyBytes, again.authority],
        [head.body, head.bodyBytes, head.authority],
        context,
      );
    }, context);
    attempt(() => void parseResponseHead(text, 'GET'), context);
    const bytes = Buffer.from(text, 'latin1');
    attempt(() => {
      const whole = new BodyScanner('client-malformed');
      whole.reset('chunked', 0);
      const end = whole.scan(bytes, 0);
      const split = new BodyScanner('client-malformed');
      split.reset('chunked', 0);
      const middle = Math.floor(random() * bytes.length);
      let at = split.scan(bytes.subarray(0, middle), 0);
      if (!split.isDone) at = split.scan(bytes, middle);
      assert.deepEqual([at, split.isDone], [end, whole.isDone], context);
    }, context);
    detectProtocol(bytes);
  }
});

test(`binary parsers refuse or accept mutated input (FUZZ_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  const header = encodeTransportHeader({ port: 8080, name: 'web.default.svc.cluster.local', session: 'http1' });
  const hello = Buffer.from(`160301002f0100002b0303${'00'.repeat(32)}00000213010100000000`, 'hex');
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(round % 2 === 0 ? header : hello);
    for (let n = 0; n < 3; n += 1) {
      const at = Math.floor(random() ** 2 * bytes.length);
      bytes[at] = Math.floor(random() * 256);
    }
    const context = `FUZZ_SEED=${seed}, round ${round}: ${bytes.toString('hex')}`;
    attempt(() => void decodeTransportHeader(bytes), context);
    attempt(() => void parseClientHello(bytes), context);
  }
});
