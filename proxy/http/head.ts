import { ProxyError } from '../errors.ts';
import type { Field } from './field.ts';
import { isMeshField, trimmed } from './field-text.ts';
import { FIELD_COUNT_MAX } from './limits.ts';
import { headTooLarge, malformedRequest, malformedResponse, type Malformed } from './malformed.ts';
import { normalTarget } from './path.ts';

/**
 * How the end of a body is found (RFC 9112 section 6). `close`: it lasts until the connection ends. `frames`: it came
 * over HTTP/2 without a length; its bytes have no framing of their own, and its end is told.
 */
export type BodyKind = 'none' | 'length' | 'chunked' | 'close' | 'frames';

/**
 * The fields behind `lines` as HTTP/2 has brought them, so that they go on without being taken apart again. A copy of a head may have
 * other lines: they count only for the very text.
 */
export type ReceivedFields = { readonly lines: string; readonly fields: readonly Field[] };

/** @returns the fields that a head consists of, if they are known */
export function receivedFields(head: RequestHead | ResponseHead): readonly Field[] | undefined {
  const { received } = head;
  return received?.lines === head.lines ? received.fields : undefined;
}

/** The head of a request, checked, with everything that concerns only this connection taken out of `lines`. */
export type RequestHead = {
  readonly method: string;
  /** In its normal form, as in `lines`. */
  readonly target: string;
  readonly isHttp11: boolean;
  /** It came over HTTP/2 and goes on over HTTP/2; `lines` are in the form of HTTP/1.1 nevertheless. */
  readonly isHttp2: boolean;
  /** From the absolute target or the Host field; absent only in HTTP/1.0. */
  readonly authority: string | undefined;
  /** Request line and fields that are passed on, each with its CRLF; the empty line is not included. */
  readonly lines: string;
  readonly body: BodyKind;
  readonly bodyBytes: number; // of kind `length`
  /** The client wants to use the connection for more requests. */
  readonly isPersistent: boolean;
  /** Value of Upgrade, when Connection names it; `h2c` is never taken up. */
  readonly upgrade: string | undefined;
  /** `:protocol` of an extended CONNECT (RFC 8441): a tunnel, but with a path as other methods have it. Only of HTTP/2. */
  readonly protocol: string | undefined;
  /** Identity that the endpoint must have (`l5d-require-id`). */
  readonly requiredIdentity: string | undefined;
  /** The fields that ask for timeouts and retries (`OVERRIDE_FIELDS`), each with its CRLF. */
  readonly overrides: string | undefined;
  readonly received?: ReceivedFields | undefined;
};

/** Fields by which an application asks for timeouts and retries of a request. They are never passed on. */
export const OVERRIDE_FIELDS: ReadonlySet<string> = new Set([
  'l5d-request-timeout',
  'l5d-response-timeout',
  'l5d-retry-grpc',
  'l5d-retry-http',
  'l5d-retry-limit',
  'l5d-retry-timeout',
  'l5d-timeout',
]);

export type ResponseHead = {
  readonly status: number;
  readonly lines: string;
  readonly body: BodyKind;
  readonly bodyBytes: number;
  readonly isPersistent: boolean;
  readonly upgrade: string | undefined;
  /** From `Keep-Alive: timeout=`: how long the server promises to wait for another request. */
  readonly keepAliveMs: number | undefined;
  /** `l5d-proxy-error` of a peer proxy. */
  readonly proxyError: string | undefined;
  readonly received?: ReceivedFields | undefined;
};

/** Control characters, CR or LF on their own, and lines that continue the one before (obs-fold). */
// eslint-disable-next-line no-control-regex -- these are what is looked for
const ILLEGAL = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\n[ \t]/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP\/(\d)\.(\d)$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const AUTHORITY = /^(?:[A-Za-z0-9\-._~!$&'()*+;=]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;
const ABSOLUTE = /^[A-Za-z][A-Za-z0-9+\-.]*:\/\/([^/?#]*)/;

/** What the fields of a head say about the connection and the body. One per parse, then read and dropped. */
class Fields {
  lines = '';
  host: string | undefined;
  contentLength: number | undefined;
  isChunked = false;
  hasClose = false;
  hasKeepAlive = false;
  hasUpgrade = false;
  upgrade: string | undefined;
  keepAliveMs: number | undefined;
  requiredIdentity: string | undefined;
  overrides: string | undefined;
  proxyError: string | undefined;
  /** Further fields that Connection names, lower case. */
  named: string[] | undefined;
}

/**
 * @param text  the head in latin1, from the request line to the CRLF of the last field
 * @throws ProxyError  `client-malformed`, `head-too-large`, `version-unsupported` or `encoding-unsupported`
 */
export function parseRequestHead(text: string): RequestHead {
  if (ILLEGAL.test(text)) throw malformedRequest('the head has a control character, a lone CR or LF, or a folded line');
  const lineEnd = text.indexOf('\r\n');
  const line = REQUEST_LINE.exec(text.slice(0, lineEnd));
  if (line === null) throw malformedRequest('the request line is not "METHOD TARGET HTTP/1.1"');
  const [, method = '', asked = '', major, minor] = line;
  if (major !== '1' || (minor !== '0' && minor !== '1')) {
    throw new ProxyError('version-unsupported', `HTTP/${major}.${minor} is not supported`);
  }
  const isHttp11 = minor === '1';
  if (isMisspeltMethod(method)) throw malformedRequest('the method is not in upper case');
  const target = normalTarget(asked);
  const fields = parseFields(text, lineEnd + 2, malformedRequest);
  if (target !== asked) fields.lines = `${method} ${target} HTTP/1.${minor}${fields.lines.slice(lineEnd)}`;
  const authority = authorityOf(method, target, isHttp11, fields.host);
  if (fields.isChunked && !isHttp11) throw malformedRequest('Transfer-Encoding in an HTTP/1.0 request');
  if (fields.isChunked && fields.contentLength !== undefined) {
    throw malformedRequest('both Transfer-Encoding and Content-Length');
  }
  // What follows the head of a CONNECT is the tunnel's (RFC 9110 section 9.3.6): a body there is a request in disguise.
  if (method === 'CONNECT' && (fields.isChunked || (fields.contentLength ?? 0) > 0)) {
    throw malformedRequest('CONNECT with a body');
  }
  const upgrade = method === 'CONNECT' ? undefined : upgradeOf(fields, isHttp11);
  return {
    method,
    target,
    isHttp11,
    isHttp2: false,
    authority,
    lines: finishLines(fields, upgrade),
    body: fields.isChunked ? 'chunked' : (fields.contentLength ?? 0) > 0 ? 'length' : 'none',
    bodyBytes: fields.contentLength ?? 0,
    // Who is refused a tunnel may have sent bytes for it already, which must not be taken for requests.
    isPersistent: isHttp11 && !fields.hasClose && method !== 'CONNECT',
    upgrade,
    protocol: undefined,
    requiredIdentity: fields.requiredIdentity,
    overrides: fields.overrides,
    received: undefined,
  };
}

/**
 * @param text    the head in latin1, from the status line to the CRLF of the last field
 * @param method  of the request: a response to HEAD has no body, one to CONNECT may open a tunnel
 * @throws ProxyError  `server-malformed`
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  if (ILLEGAL.test(text))
    throw malformedResponse('the head has a control character, a lone CR or LF, or a folded line');
  const lineEnd = text.indexOf('\r\n');
  const line = STATUS_LINE.exec(text.slice(0, lineEnd));
  if (line === null) throw malformedResponse('the status line is not "HTTP/1.1 STATUS REASON"');
  const isHttp11 = line[1] === '1';
  const status = Number(line[2]);
  const fields = parseFields(text, lineEnd + 2, malformedResponse);
  if (fields.isChunked && !isHttp11) throw malformedResponse('Transfer-Encoding in an HTTP/1.0 response');
  if (fields.isChunked && fields.contentLength !== undefined) {
    throw malformedResponse('both Transfer-Encoding and Content-Length');
  }
  const body = responseBodyKind(status, method, fields);
  const upgrade = status === 101 ? upgradeOf(fields, isHttp11) : undefined;
  return {
    status,
    lines: finishLines(fields, upgrade),
    body,
    bodyBytes: fields.contentLength ?? 0,
    isPersistent: body !== 'close' && !fields.hasClose && (isHttp11 || fields.hasKeepAlive),
    upgrade,
    keepAliveMs: fields.keepAliveMs,
    proxyError: fields.proxyError,
    received: undefined,
  };
}

function responseBodyKind(status: number, method: string, fields: Fields): BodyKind {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 'none';
  if (method === 'CONNECT' && status < 300) return 'none';
  if (fields.isChunked) return 'chunked';
  if (fields.contentLength === undefined) return 'close';
  return fields.contentLength > 0 ? 'length' : 'none';
}

/** The methods of RFC 9110 and RFC 5789, in any case. */
const STANDARD_METHOD = /^(?:get|head|post|put|delete|connect|options|trace|patch)$/i;

/** Some applications take `delete` for DELETE; rules about methods do not. */
export function isMisspeltMethod(method: string): boolean {
  return /[a-z]/.test(method) && STANDARD_METHOD.test(method);
}

export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text);
}

function parseFields(text: string, start: number, malformed: Malformed): Fields {
  const fields = new Fields();
  let kept = 0; // text[kept, at) is passed on and not yet copied
  let count = 0;
  for (let at = start; at < text.length;) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (colon < 0 || colon > end) throw malformed('a field without a colon');
    const name = text.slice(at, colon);
    if (!TOKEN.test(name)) throw malformed('a field name that is no token');
    count += 1;
    if (count > FIELD_COUNT_MAX) throw headTooLarge(`more than ${FIELD_COUNT_MAX} header fields`, malformed);
    if (!applyField(fields, name, text, colon + 1, end, malformed)) {
      fields.lines += text.slice(kept, at);
      kept = end + 2;
    }
    at = end + 2;
  }
  fields.lines += kept === 0 ? text : text.slice(kept);
  return fields;
}

/** @returns whether the field is passed on */
function applyField(
  fields: Fields,
  name: string,
  text: string,
  from: number,
  to: number,
  malformed: Malformed,
): boolean {
  // Most fields are none of these: the first letter and the length decide without making a lower-case copy.
  const first = name.charCodeAt(0) | 0x20;
  const { length } = name;
  if (first === 0x63 /* c */ && (length === 14 || length === 10)) {
    const lower = name.toLowerCase();
    if (lower === 'content-length') {
      if (fields.contentLength !== undefined) throw malformed('more than one Content-Length');
      fields.contentLength = parseLength(trimmed(text.slice(from, to)), malformed);
    } else if (lower === 'connection') {
      applyConnection(fields, text.slice(from, to), malformed);
      return false;
    }
  } else if (first === 0x74 /* t */ && length === 17 && name.toLowerCase() === 'transfer-encoding') {
    if (fields.isChunked) throw malformed('more than one Transfer-Encoding');
    const coding = trimmed(text.slice(from, to)).toLowerCase();
    if (coding !== 'chunked') throw unsupportedCoding(coding, malformed);
    fields.isChunked = true;
  } else if (first === 0x68 /* h */) {
    if (length === 4 && name.toLowerCase() === 'host') {
      if (fields.host !== undefined) throw malformed('more than one Host');
      fields.host = trimmed(text.slice(from, to));
    }
  } else if (first === 0x6b /* k */ && length === 10 && name.toLowerCase() === 'keep-alive') {
    const timeout = /(?:^|[\s,;])timeout=(\d{1,6})/i.exec(text.slice(from, to));
    if (timeout !== null) fields.keepAliveMs = Number(timeout[1]) * 1000;
    return false;
  } else if (first === 0x70 /* p */ && length === 16 && name.toLowerCase() === 'proxy-connection') {
    return false;
  } else if (first === 0x75 /* u */ && length === 7 && name.toLowerCase() === 'upgrade') {
    fields.upgrade = trimmed(text.slice(from, to));
    return false;
  } else if (first === 0x6c /* l */ && length > 4 && isMeshField(name)) {
    const lower = name.toLowerCase();
    if (lower === 'l5d-require-id') fields.requiredIdentity = trimmed(text.slice(from, to));
    else if (lower === 'l5d-proxy-error') fields.proxyError = trimmed(text.slice(from, to));
    else if (OVERRIDE_FIELDS.has(lower))
      fields.overrides = `${fields.overrides ?? ''}${lower}:${text.slice(from, to)}\r\n`;
    return false;
  }
  return true;
}

function unsupportedCoding(coding: string, malformed: Malformed): ProxyError {
  if (
    malformed === malformedRequest &&
    /^[a-z0-9-]+(?:\s*,\s*[a-z0-9-]+)*$/.test(coding) &&
    coding.endsWith('chunked')
  ) {
    return new ProxyError('encoding-unsupported', `Transfer-Encoding ${coding} is not supported`);
  }
  return malformed('a Transfer-Encoding other than chunked');
}

function parseLength(value: string, malformed: Malformed): number {
  if (!/^\d{1,15}$/.test(value)) throw malformed('a Content-Length that is no number');
  return Number(value);
}

/** Fields that delimit the message or say who speaks; Connection may not take them away. */
const NEVER_NAMED = new Set(['content-length', 'transfer-encoding', 'host', 'trailer']);

function applyConnection(fields: Fields, value: string, malformed: Malformed): void {
  for (const part of value.split(',')) {
    const option = trimmed(part).toLowerCase();
    if (option === 'close') fields.hasClose = true;
    else if (option === 'keep-alive') fields.hasKeepAlive = true;
    else if (option === 'upgrade') fields.hasUpgrade = true;
    else if (NEVER_NAMED.has(option)) throw malformed(`Connection names ${option}`);
    else if (option !== '') (fields.named ??= []).push(option);
  }
}

function upgradeOf(fields: Fields, isHttp11: boolean): string | undefined {
  if (!isHttp11 || !fields.hasUpgrade || fields.upgrade === undefined || fields.upgrade === '') return undefined;
  // HTTP/2 by upgrade would carry requests past this proxy unseen, and RFC 9113 has dropped it.
  return /(?:^|,)\s*h2c\b/i.test(fields.upgrade) ? undefined : fields.upgrade;
}

function finishLines(fields: Fields, upgrade: string | undefined): string {
  let { lines } = fields;
  if (fields.named !== undefined) {
    const drop = new Set(fields.named);
    const [first = '', ...rest] = lines.split('\r\n').slice(0, -1);
    const kept = rest.filter((line) => !drop.has(line.slice(0, line.indexOf(':')).toLowerCase()));
    lines = [first, ...kept].map((line) => `${line}\r\n`).join('');
  }
  if (upgrade !== undefined) lines += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
  return lines;
}

function authorityOf(method: string, target: string, isHttp11: boolean, host: string | undefined): string | undefined {
  if (host !== undefined && !AUTHORITY.test(host)) throw malformedRequest('the Host field is no authority');
  if (host === undefined && isHttp11) throw malformedRequest('no Host field');
  const form = targetAuthority(method, target);
  if (form === undefined) return host === '' ? undefined : host;
  if (!AUTHORITY.test(form) || form === '') throw malformedRequest('the target has no valid authority');
  if (host !== undefined && host.toLowerCase() !== form.toLowerCase()) {
    throw malformedRequest('the Host field and the target name different authorities');
  }
  return form;
}

/** The authority inside the target; undefined in origin and asterisk form. */
function targetAuthority(method: string, target: string): string | undefined {
  if (method === 'CONNECT') return target;
  if (target.startsWith('/')) return undefined;
  if (target === '*') {
    if (method !== 'OPTIONS') throw malformedRequest('the target * belongs to OPTIONS');
    return undefined;
  }
  const absolute = ABSOLUTE.exec(target);
  if (absolute === null) throw malformedRequest('the target is no path, URI or *');
  return absolute[1];
}
