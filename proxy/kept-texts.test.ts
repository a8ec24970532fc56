// What is kept of a message must not hold the whole message in memory: a part of a text is a reference into it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecisionLog } from './decisions/decision-log.ts';
import { NO_SINK, type ResponseSink } from './http/exchange.ts';
import { parseRequestHead, parseResponseHead } from './http/head.ts';
import { heldBytes } from './testing/heap.ts';
import type { Span } from './tracing/span.ts';
import { Tracer } from './tracing/tracer.ts';

const MESSAGES = 500;
/** Of one head. All of them would be 30 MB. */
const PADDING_BYTES = 60_000;
const HELD_BYTES_MAX = 3_000_000;

/** A new text each time, as it comes out of a read. */
function text(first: string, fields: string, n: number): string {
  return Buffer.from(
    `${first}\r\n${fields}x-n: ${n}\r\nx-padding: ${'p'.repeat(PADDING_BYTES)}\r\n`,
    'latin1',
  ).toString('latin1');
}

const requestHead = (n: number, fields = '') =>
  parseRequestHead(
    text(
      `PROPFINDALLTHINGS /a/path/of/some/length/${n}?with=a-query HTTP/1.1`,
      `host: a-host-of-some-length.shop.svc.cluster.local\r\n${fields}`,
      n,
    ),
  );
const responseHead = (n: number) =>
  parseResponseHead(
    text(
      'HTTP/1.1 502 Bad Gateway',
      'content-length: 0\r\nl5d-proxy-error: a-code-of-some-length: a reason that is told\r\n',
      n,
    ),
    'GET',
  );

/** Heads that are made and dropped while what is made of them is kept. */
function assertHoldsLittle(keep: (n: number) => void): void {
  keep(0); // what is compiled and cached
  const before = heldBytes();
  for (let n = 1; n <= MESSAGES; n += 1) keep(n);
  const held = heldBytes() - before;
  assert.ok(held < HELD_BYTES_MAX, `${MESSAGES} messages hold ${held} bytes`);
}

test('decisions hold no heads', () => {
  const log = new DecisionLog({ now: () => 0, count: () => {} });
  const origin = { direction: 'inbound', client: '127.0.0.1:1', target: '127.0.0.1:2' } as const;
  assertHoldsLittle((n) => {
    const error = responseHead(n).proxyError ?? '';
    const attempts = [{ endpoint: '127.0.0.1:1', outcome: error }];
    const failed = { head: requestHead(n), startedMs: 0, attempts, refs: [] };
    log.response(origin, error, 502, failed);
    log.request(origin, { code: 'connect-failed', status: 502, message: `at the endpoint: ${error}` }, failed);
  });
  const kept = log.read({ sinceMs: 0, limit: 1 });
  assert.equal(kept[0]?.path, `/a/path/of/some/length/${MESSAGES}`);
});

test('spans hold no heads', () => {
  const spans: Span[] = [];
  const tracer = new Tracer({ add: (span) => void spans.push(span), now: () => 0, random: () => 0.5 });
  const client = { respond: () => true } as unknown as ResponseSink;
  assertHoldsLittle((n) => {
    const serve = tracer.trace('outbound', (_head, _body, _isEnd, response) => {
      response.respond(responseHead(n), undefined, true);
      return NO_SINK;
    });
    const context = `traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: vendor=a-value-of-some-length\r\n`;
    serve(requestHead(n, context), undefined, true, client);
    const b3 = 'x-b3-traceid: 4bf92f3577b34da6a3ce929d0e0e4736\r\nx-b3-spanid: 00f067aa0ba902b7\r\nx-b3-sampled: 1\r\n';
    serve(requestHead(n, b3), undefined, true, client);
  });
  assert.equal(spans.length, 2 * (MESSAGES + 1));
  assert.deepEqual(
    [spans.at(-2)?.state, spans.at(-1)?.error],
    ['vendor=a-value-of-some-length', 'a-code-of-some-length: a reason that is told'],
  );
});
