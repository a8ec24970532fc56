import { detached } from '../http/field-text.ts';

/** The trace that a request belongs to, when its spans are wanted. */
export type TraceContext = {
  readonly form: 'w3c' | 'b3' | 'b3-single';
  readonly traceId: string; // 32 hexadecimal digits in lower case
  readonly sentTraceId: string; // as it came: B3 may have 16 digits
  readonly parentId: string; // 16 hexadecimal digits in lower case: the span that sent the request
  readonly flags: number; // of W3C
  readonly isDebug: boolean; // of B3
  readonly state: string; // tracestate of W3C, passed on as it came
};

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const B3_SINGLE = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})-([01d])(?:-[0-9a-f]{16})?$/i;
const TRACE_ID = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/i;
const SPAN_ID = /^[0-9a-f]{16}$/i;
const ZEROS = /^0+$/;
const SAMPLED = 0x01;
/** Flags that are known: sampled, and that the trace id is random. */
const FLAGS_KNOWN = 0x03;
const TRACE_STATE_MAX = 512;

/**
 * Reads W3C `traceparent`, else B3 in one field or in several. Sources: W3C Trace Context section 3, openzipkin/b3-propagation.
 *
 * @param lines  of a head: first line and fields, each with its CRLF
 * @returns nothing when there is no context, it is malformed, or its spans are not wanted
 */
export function sampledContext(lines: string): TraceContext | undefined {
  const parents = valuesOf(lines, 'traceparent');
  if (parents.length > 0) return parents.length === 1 ? readW3c(parents[0] as string, lines) : undefined;
  const [single] = valuesOf(lines, 'b3');
  return single === undefined ? readB3(lines) : readB3Single(single);
}

function readW3c(value: string, lines: string): TraceContext | undefined {
  const [, version = '', traceId = '', parentId = '', flagsText = '', more] = TRACEPARENT.exec(value) ?? [];
  if (version === '' || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  const flags = Number.parseInt(flagsText, 16);
  if (ZEROS.test(traceId) || ZEROS.test(parentId) || (flags & SAMPLED) === 0) return undefined;
  const state = valuesOf(lines, 'tracestate').join(',').slice(0, TRACE_STATE_MAX);
  return { form: 'w3c', traceId, sentTraceId: traceId, parentId, flags: flags & FLAGS_KNOWN, isDebug: false, state };
}

function readB3Single(value: string): TraceContext | undefined {
  const [, traceId = '', parentId = '', sampling = '0'] = B3_SINGLE.exec(value) ?? [];
  if (sampling === '0') return undefined;
  return b3('b3-single', traceId, parentId, sampling.toLowerCase() === 'd');
}

function readB3(lines: string): TraceContext | undefined {
  const [traceId] = valuesOf(lines, 'x-b3-traceid');
  const [parentId] = valuesOf(lines, 'x-b3-spanid');
  if (traceId === undefined || parentId === undefined || !TRACE_ID.test(traceId) || !SPAN_ID.test(parentId)) {
    return undefined;
  }
  const isDebug = valuesOf(lines, 'x-b3-flags')[0] === '1';
  const sampled = valuesOf(lines, 'x-b3-sampled')[0]?.toLowerCase();
  return isDebug || sampled === '1' || sampled === 'true' ? b3('b3', traceId, parentId, isDebug) : undefined;
}

function b3(
  form: 'b3' | 'b3-single',
  sentTraceId: string,
  parentId: string,
  isDebug: boolean,
): TraceContext | undefined {
  if (ZEROS.test(sentTraceId) || ZEROS.test(parentId)) return undefined;
  const traceId = sentTraceId.toLowerCase().padStart(32, '0');
  return { form, traceId, sentTraceId, parentId: parentId.toLowerCase(), flags: SAMPLED, isDebug, state: '' };
}

/**
 * The head with another span as its sender, in the form that the context came in.
 *
 * @param spanId  16 hexadecimal digits
 */
export function withSender(lines: string, context: TraceContext, spanId: string): string {
  const { form, sentTraceId, parentId, flags, isDebug } = context;
  switch (form) {
    case 'w3c':
      return replaced(lines, { traceparent: `00-${sentTraceId}-${spanId}-0${flags}` });
    case 'b3-single':
      return replaced(lines, { b3: `${sentTraceId}-${spanId}-${isDebug ? 'd' : '1'}-${parentId}` });
    case 'b3':
      return replaced(lines, { 'x-b3-spanid': spanId, 'x-b3-parentspanid': parentId });
  }
}

function replaced(lines: string, fields: Readonly<Record<string, string>>): string {
  const end = lines.indexOf('\r\n') + 2;
  const kept = lines
    .slice(end)
    .split('\r\n')
    .filter((line) => line !== '' && !Object.hasOwn(fields, nameOf(line)));
  const all = [...kept, ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`)];
  return lines.slice(0, end) + all.map((line) => `${line}\r\n`).join('');
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf(':')).toLowerCase();
}

/** @param name  in lower case */
function valuesOf(lines: string, name: string): readonly string[] {
  const values: string[] = [];
  for (let at = lines.indexOf('\r\n') + 2; at < lines.length;) {
    const end = lines.indexOf('\r\n', at);
    const colon = at + name.length;
    if (lines.charCodeAt(colon) === 58 && lines.slice(at, colon).toLowerCase() === name) {
      values.push(detached(lines.slice(colon + 1, end).trim(), TRACE_STATE_MAX));
    }
    at = end + 2;
  }
  return values;
}
