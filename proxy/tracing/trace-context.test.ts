import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampledContext, withSender } from './trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const OWN = '1122334455667788';
const head = (...fields: readonly string[]): string =>
  `GET / HTTP/1.1\r\nhost: web\r\n${fields.map((field) => `${field}\r\n`).join('')}`;

/** The fields with our span as the sender; nothing when there is no sampled trace. */
function passedOn(...fields: readonly string[]): readonly string[] | undefined {
  const lines = head(...fields);
  const context = sampledContext(lines);
  return context && withSender(lines, context, OWN).split('\r\n').slice(2, -1);
}

test('a context goes on in the form it came in, with the next span as the sender', () => {
  assert.deepEqual(passedOn(`Traceparent: 00-${TRACE}-${PARENT}-01`, 'tracestate: a=1', 'x: y'), [
    'tracestate: a=1',
    'x: y',
    `traceparent: 00-${TRACE}-${OWN}-01`,
  ]);
  // A later version is answered with ours, and with the flags that ours knows.
  assert.deepEqual(passedOn(`traceparent: cc-${TRACE}-${PARENT}-ff-later`), [`traceparent: 00-${TRACE}-${OWN}-03`]);
  assert.deepEqual(passedOn(`b3: ${TRACE}-${PARENT}-1`), [`b3: ${TRACE}-${OWN}-1-${PARENT}`]);
  assert.deepEqual(passedOn(`B3: ${TRACE.slice(16)}-${PARENT}-d-${OWN}`), [
    `b3: ${TRACE.slice(16)}-${OWN}-d-${PARENT}`,
  ]);
  const many = [`X-B3-TraceId: ${TRACE}`, `X-B3-SpanId: ${PARENT}`, `X-B3-ParentSpanId: ${OWN}`, 'X-B3-Sampled: 1'];
  assert.deepEqual(passedOn(...many), [
    `X-B3-TraceId: ${TRACE}`,
    'X-B3-Sampled: 1',
    `x-b3-spanid: ${OWN}`,
    `x-b3-parentspanid: ${PARENT}`,
  ]);
  assert.ok(passedOn(`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${PARENT}`, 'x-b3-flags: 1'));
});

test('what is exported names the whole trace id, the parent and the state', () => {
  const w3c = sampledContext(head(`traceparent: 00-${TRACE}-${PARENT}-01`, 'tracestate: a=1', 'tracestate: b=2'));
  assert.deepEqual([w3c?.traceId, w3c?.parentId, w3c?.state], [TRACE, PARENT, 'a=1,b=2']);
  const short = sampledContext(head(`b3: ${TRACE.slice(16).toUpperCase()}-${PARENT}-1`));
  assert.equal(short?.traceId, `0000000000000000${TRACE.slice(16)}`);
});

test('contexts that are malformed, or not sampled, are none', () => {
  const parent = (text: string): string => `traceparent: ${text}`;
  const none: readonly (readonly string[])[] = [
    [],
    [parent(`00-${TRACE}-${PARENT}-00`)],
    [parent(`00-${TRACE}-${PARENT}-02`)],
    [parent(`00-${TRACE}-${PARENT}-01-more`)],
    [parent(`ff-${TRACE}-${PARENT}-01`)],
    [parent(`00-${TRACE.toUpperCase()}-${PARENT}-01`)],
    [parent(`00-${'0'.repeat(32)}-${PARENT}-01`)],
    [parent(`00-${TRACE}-${'0'.repeat(16)}-01`)],
    [parent(`00-${TRACE}-${PARENT}-01`), parent(`00-${TRACE}-${OWN}-01`)],
    [parent('')],
    ['b3: 0'],
    ['b3: 1'],
    [`b3: ${TRACE}-${PARENT}`],
    [`b3: ${TRACE}-${PARENT}-0`],
    [`b3: ${TRACE}-${PARENT}-1-short`],
    [`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${PARENT}`],
    [`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${PARENT}`, 'x-b3-sampled: 0'],
    [`x-b3-traceid: ${TRACE}z`, `x-b3-spanid: ${PARENT}`, 'x-b3-sampled: 1'],
    [`x-b3-traceid: ${TRACE}`, 'x-b3-sampled: 1'],
    [`x-traceparent: 00-${TRACE}-${PARENT}-01`],
  ];
  for (const fields of none) assert.equal(passedOn(...fields), undefined, fields.join(', '));
});
