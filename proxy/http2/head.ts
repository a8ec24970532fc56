import type { ProxyError } from '../errors.ts';
import { mayBeTrailer, trimmed } from '../http/field-text.ts';
import {
  isAuthority,
  isMisspeltMethod,
  OVERRIDE_FIELDS,
  receivedFields,
  type RequestHead,
  type ResponseHead,
} from '../http/head.ts';
import { FIELD_COUNT_MAX, HEAD_BYTES_MAX } from '../http/limits.ts';
import { headTooLarge, malformedRequest, malformedResponse, type Malformed } from '../http/malformed.ts';
import { normalTarget } from '../http/path.ts';
import { reasonOf } from '../http/reasons.ts';
import type { Field } from '../http/field.ts';
import type { HpackEncoder } from './hpack-encoder.ts';

/** Names the version of a message that is carried for HTTP/1. Source: linkerd2-proxy `proxy/http/src/orig_proto.rs`. */
const ORIG_PROTO = 'l5d-orig-proto';
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/;
/** Source: RFC 9110 section 7.8. */
const PROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}(?:\/[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64})?$/;
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;

/** The fields of one head, checked. */
class Fields {
  pseudoCount = 0; // they come first
  method: string | undefined;
  scheme: string | undefined;
  authority: string | undefined;
  path: string | undefined;
  protocol: string | undefined;
  status: string | undefined;
  lines = '';
  host: string | undefined;
  contentLength: number | undefined;
  origProto: string | undefined;
  requiredIdentity: string | undefined;
  overrides: string | undefined;
  proxyError: string | undefined;
}

function readFields(fields: readonly Field[], allowed: ReadonlySet<string>, malformed: Malformed): Fields {
  const out = new Fields();
  if (fields.length > FIELD_COUNT_MAX) throw tooLarge(malformed);
  let bytes = 0;
  let cookies = '';
  for (const field of fields) {
    const { name, value } = field;
    bytes += name.length + value.length + 4;
    if (bytes > HEAD_BYTES_MAX) throw tooLarge(malformed);
    if (!field.isLegalValue) throw malformed(`the field ${JSON.stringify(name)} has a control character`);
    switch (field.kind) {
      case 'plain':
        out.lines += field.line;
        break;
      case 'pseudo': {
        const pseudo = PSEUDO[name];
        if (!allowed.has(name) || pseudo === undefined || out[pseudo] !== undefined || out.lines !== '')
          throw malformed(`${JSON.stringify(name)} is out of place`);
        out[pseudo] = value;
        out.pseudoCount += 1;
        break;
      }
      case 'illegal':
        throw malformed('a field name that is no token in lower case');
      case 'connection':
        throw malformed(`the field ${name} does not belong in HTTP/2`);
      case 'mesh':
        if (name === ORIG_PROTO) out.origProto = value;
        else if (name === 'l5d-require-id') out.requiredIdentity = trimmed(value);
        else if (name === 'l5d-proxy-error') out.proxyError = trimmed(value);
        else if (OVERRIDE_FIELDS.has(name)) out.overrides = `${out.overrides ?? ''}${field.line}`;
        break;
      case 'cookie':
        cookies = cookies === '' ? value : `${cookies}; ${value}`;
        break;
      case 'te':
        if (value.toLowerCase() !== 'trailers') throw malformed('TE other than trailers');
        out.lines += field.line;
        break;
      case 'host':
        if (out.host !== undefined) throw malformed('more than one Host');
        out.host = value;
        out.lines += field.line;
        break;
      case 'content-length':
        if (out.contentLength !== undefined) throw malformed('more than one Content-Length');
        if (!/^\d{1,15}$/.test(value)) throw malformed('a Content-Length that is no number');
        out.contentLength = Number(value);
        out.lines += field.line;
        break;
    }
  }
  if (cookies !== '') out.lines += `cookie: ${cookies}\r\n`;
  return out;
}

const PSEUDO: Readonly<Record<string, 'method' | 'scheme' | 'authority' | 'path' | 'protocol' | 'status'>> = {
  ':method': 'method',
  ':scheme': 'scheme',
  ':authority': 'authority',
  ':path': 'path',
  ':protocol': 'protocol',
  ':status': 'status',
};
const REQUEST_PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path', ':protocol']);
const RESPONSE_PSEUDO: ReadonlySet<string> = new Set([':status']);
const NO_PSEUDO: ReadonlySet<string> = new Set();

export type Carried<H> = {
  readonly head: H;
  /** Bytes that the body must have, when the head says so. */
  readonly contentLength: number | undefined;
};

/**
 * @param isPeer  the client is a verified proxy: `l5d-orig-proto` is believed
 * @throws ProxyError  `client-malformed` or `head-too-large`
 */
export function readRequestHead(fields: readonly Field[], isEnd: boolean, isPeer: boolean): Carried<RequestHead> {
  const read = readFields(fields, REQUEST_PSEUDO, malformedRequest);
  const method = read.method ?? '';
  const asked = read.path ?? '';
  const pseudoAuthority = read.authority;
  if (!METHOD.test(method) || isMisspeltMethod(method)) throw malformedRequest('no valid :method');
  if (read.protocol !== undefined) checkProtocol(read);
  const isConnect = method === 'CONNECT' && read.protocol === undefined;
  if (isConnect) checkConnect(read);
  else if (read.scheme === undefined) throw malformedRequest('no :scheme');
  else if (!TARGET.test(asked) || !(asked.startsWith('/') || (asked === '*' && method === 'OPTIONS')))
    throw malformedRequest('no valid :path');
  const path = normalTarget(asked);
  if (
    pseudoAuthority !== undefined &&
    read.host !== undefined &&
    pseudoAuthority.toLowerCase() !== read.host.toLowerCase()
  ) {
    throw malformedRequest('host and :authority name different authorities');
  }
  const authority = pseudoAuthority ?? read.host;
  if (authority !== undefined && !isAuthority(authority)) throw malformedRequest('the :authority is no authority');
  const origProto =
    isPeer && method !== 'CONNECT' ? /^HTTP\/1\.([01])(?:; *(absolute-form))?$/.exec(read.origProto ?? '') : null;
  const isHttp11 = origProto?.[1] !== '0';
  if (!isHttp11 && !isEnd && read.contentLength === undefined)
    throw malformedRequest('an HTTP/1.0 body without length');
  if ((authority === undefined || authority === '') && isHttp11) throw malformedRequest('no :authority');
  const target = isConnect
    ? (authority ?? '')
    : origProto?.[2] === undefined || authority === undefined
      ? path
      : `http://${authority}${path === '*' ? '' : path}`;
  const host = read.host === undefined && authority !== undefined ? `host: ${authority}\r\n` : '';
  const lines = `${method} ${target} HTTP/1.${isHttp11 ? 1 : 0}\r\n${host}${read.lines}`;
  return {
    head: {
      method,
      target,
      isHttp11,
      isHttp2: origProto === null,
      authority: authority === '' ? undefined : authority,
      lines,
      body: isEnd ? 'none' : read.contentLength === undefined ? 'frames' : 'length',
      bodyBytes: read.contentLength ?? 0,
      isPersistent: true,
      upgrade: undefined,
      protocol: read.protocol,
      requiredIdentity: read.requiredIdentity,
      overrides: read.overrides,
      // HTTP/1 that is carried has its Host among the lines.
      received: origProto === null ? { lines, fields: fields.slice(read.pseudoCount) } : undefined,
    },
    contentLength: read.contentLength,
  };
}

/** A tunnel over one stream (RFC 9113 section 8.5). HTTP/1 opens one over a connection of its own. */
function checkConnect({ scheme, path, authority, contentLength }: Fields): void {
  if (scheme !== undefined || path !== undefined) throw malformedRequest('CONNECT with :scheme or :path');
  if (authority === undefined || authority === '') throw malformedRequest('CONNECT without :authority');
  if (contentLength !== undefined) throw malformedRequest('CONNECT with Content-Length');
}

/** A tunnel for another protocol, such as a WebSocket, to what a path names (RFC 8441 section 4). */
function checkProtocol({ protocol = '', method, contentLength }: Fields): void {
  if (method !== 'CONNECT') throw malformedRequest(':protocol belongs to CONNECT');
  if (!PROTOCOL.test(protocol)) throw malformedRequest('no valid :protocol');
  if (contentLength !== undefined) throw malformedRequest('CONNECT with Content-Length');
}

/** @throws ProxyError  `server-malformed` */
export function readResponseHead(fields: readonly Field[], isEnd: boolean, method: string): Carried<ResponseHead> {
  const read = readFields(fields, RESPONSE_PSEUDO, malformedResponse);
  const text = read.status ?? '';
  if (!/^[1-9]\d\d$/.test(text) || text === '101') throw malformedResponse('no valid :status');
  const status = Number(text);
  const isTunnel = method === 'CONNECT' && status >= 200 && status < 300;
  const isBodiless = !isTunnel && (method === 'HEAD' || status < 200 || status === 204 || status === 304);
  // What is said about the length of a tunnel does not count (RFC 9110 section 9.3.6).
  const contentLength = isTunnel ? undefined : read.contentLength;
  const version = read.origProto === 'HTTP/1.0' ? '1.0' : '1.1';
  const line = `HTTP/${version} ${text} ${reasonOf(status)}\r\n`;
  const lines = line + (isTunnel ? read.lines.replace(/^content-length:.*\r\n/gim, '') : read.lines);
  return {
    head: {
      status,
      lines,
      body: isEnd || isBodiless ? 'none' : contentLength === undefined ? 'frames' : 'length',
      bodyBytes: contentLength ?? 0,
      isPersistent: true,
      upgrade: undefined,
      keepAliveMs: undefined,
      proxyError: read.proxyError,
      received: isTunnel ? undefined : { lines, fields: fields.slice(read.pseudoCount) },
    },
    contentLength: isBodiless ? 0 : contentLength,
  };
}

/** @returns the fields as lines, each with its CRLF. @throws ProxyError */
export function readTrailers(fields: readonly Field[], side: 'client' | 'server'): string {
  const malformed = side === 'client' ? malformedRequest : malformedResponse;
  for (const { kind, name } of fields)
    if (kind !== 'mesh' && !mayBeTrailer(name)) throw malformed(`the field ${name} among the trailers`);
  return readFields(fields, NO_PSEUDO, malformed).lines;
}

/** @param more  further fields, each with its CRLF */
export function writeRequestHead(encoder: HpackEncoder, head: RequestHead, more: string): void {
  const { method, target, authority, protocol } = head;
  const isConnect = method === 'CONNECT' && protocol === undefined;
  const absolute = /^[A-Za-z][A-Za-z0-9+\-.]*:\/\/[^/?#]*(.*)$/.exec(target)?.[1];
  const path = absolute === undefined ? target : absolute.startsWith('/') ? absolute : `/${absolute}`;
  encoder.field(':method', method);
  if (protocol !== undefined) encoder.field(':protocol', protocol);
  if (!isConnect) encoder.field(':scheme', 'http');
  if (authority !== undefined) encoder.field(':authority', authority);
  if (!isConnect) encoder.field(':path', path);
  if (!head.isHttp2) {
    const form = absolute === undefined ? '' : '; absolute-form';
    encoder.field(ORIG_PROTO, `HTTP/1.${head.isHttp11 ? 1 : 0}${form}`);
  }
  // HTTP/1 servers want Host back; HTTP/2 has :authority instead.
  writeFields(encoder, head, head.isHttp2);
  encoder.lines(more);
}

/** @param isCarried  the request came with `l5d-orig-proto` */
export function writeResponseHead(encoder: HpackEncoder, head: ResponseHead, isCarried: boolean): void {
  encoder.field(':status', String(head.status));
  if (isCarried) encoder.field(ORIG_PROTO, head.lines.startsWith('HTTP/1.0') ? 'HTTP/1.0' : 'HTTP/1.1');
  writeFields(encoder, head, false);
  if (head.proxyError !== undefined) encoder.field('l5d-proxy-error', head.proxyError);
}

function writeFields(encoder: HpackEncoder, head: RequestHead | ResponseHead, dropsHost: boolean): void {
  const fields = receivedFields(head);
  if (fields === undefined) {
    writeLines(encoder, head.lines, dropsHost);
    return;
  }
  for (const field of fields) {
    const { kind } = field;
    if (kind !== 'mesh' && !(dropsHost && kind === 'host')) encoder.received(field);
  }
}

function writeLines(encoder: HpackEncoder, lines: string, dropsHost: boolean): void {
  let at = lines.indexOf('\r\n') + 2;
  while (at < lines.length) {
    const end = lines.indexOf('\r\n', at);
    const line = lines.slice(at, end);
    at = end + 2;
    const first = line.charCodeAt(0) | 0x20;
    if (first === 0x74 /* t */ || first === 0x68 /* h */) {
      const name = line.slice(0, line.indexOf(':')).toLowerCase();
      if (name === 'transfer-encoding' || (name === 'host' && dropsHost)) continue;
      if (name === 'te') {
        if (/(?:^|[\s,:])trailers\b/i.test(line.slice(2))) encoder.field('te', 'trailers');
        continue;
      }
    }
    encoder.line(line);
  }
}

function tooLarge(malformed: Malformed): ProxyError {
  return headTooLarge(`more than ${HEAD_BYTES_MAX} bytes or ${FIELD_COUNT_MAX} header fields`, malformed);
}
