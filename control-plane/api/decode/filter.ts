import { Scheme_Registered, type Headers } from '#api/gen/http_types.ts';
import type { RequestDelay, RequestHeaderModifier, RequestRedirect, UrlRewrite } from '#api/gen/http_route.ts';
import type {
  GrpcRoute_Filter as InboundGrpcFilterMessage,
  HttpRoute_Filter as InboundHttpFilter,
} from '#api/gen/inbound.ts';
import type { InboundFilter, InboundGrpcFilter } from '#model/inbound.ts';
import type { GrpcRoute_Filter, HttpRoute_Filter, OpaqueRoute_Filter, RequestMirror } from '#api/gen/outbound.ts';
import {
  DELAY_MS_MAX,
  isPlainPath,
  type Delay,
  type GrpcFilter,
  type HeaderModifier,
  type HeaderValue,
  type HttpFilter,
  type Mirror,
  type OpaqueFilter,
  type PathModifier,
  type Ratio,
  type Redirect,
  type Rewrite,
} from '#model/filter.ts';
import { decodeBackend } from './backend.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HOST = /^[A-Za-z0-9\-._]{0,253}$/;
/** Fields that frame the message: a route must not touch them. */
const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** A value that Host may be set to. */
const AUTHORITY = /^(?:[A-Za-z0-9\-._]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

export function decodeHttpFilter({ kind }: HttpRoute_Filter, field: string): HttpFilter {
  if (kind === undefined) throw new DecodeError(field, 'unknown kind of filter');
  switch (kind.$case) {
    case 'requestHeaderModifier':
      return { kind: 'request-headers', ...decodeRequestModifier(kind.value, field) };
    case 'responseHeaderModifier':
      return { kind: 'response-headers', ...decodeModifier(kind.value, field) };
    case 'redirect':
      return { kind: 'redirect', ...decodeRedirect(kind.value, field) };
    case 'urlRewrite':
      return { kind: 'rewrite', ...decodeRewrite(kind.value, field) };
    case 'requestMirror':
      return decodeMirror(kind.value, field);
    case 'delay':
      return decodeDelay(kind.value, field);
    case 'failureInjector': {
      const { status, message, ratio } = kind.value;
      if (status < 100 || status > 599) throw new DecodeError(`${field}.status`, `${status} is not an HTTP status`);
      return { kind: 'failure', status, message, ...decodeRatio(ratio, field) };
    }
  }
}

export function decodeGrpcFilter({ kind }: GrpcRoute_Filter, field: string): GrpcFilter {
  if (kind === undefined) throw new DecodeError(field, 'unknown kind of filter');
  switch (kind.$case) {
    case 'requestHeaderModifier':
      return { kind: 'request-headers', ...decodeRequestModifier(kind.value, field) };
    case 'requestMirror':
      return decodeMirror(kind.value, field);
    case 'delay':
      return decodeDelay(kind.value, field);
    case 'failureInjector': {
      const { code, message, ratio } = kind.value;
      return { kind: 'failure', code, message, ...decodeRatio(ratio, field) };
    }
  }
}

/** Filters of the inbound side are some of those of the outbound side, with the same messages. */
export function decodeInboundFilter(message: InboundHttpFilter, field: string): InboundFilter {
  const filter = decodeHttpFilter(message, field);
  const { kind } = filter;
  if (kind === 'request-headers' || kind === 'redirect' || kind === 'failure') return filter;
  throw new DecodeError(field, `${kind} does not belong to the inbound side`);
}

export function decodeInboundGrpcFilter(message: InboundGrpcFilterMessage, field: string): InboundGrpcFilter {
  const filter = decodeGrpcFilter(message, field);
  const { kind } = filter;
  if (kind === 'request-headers' || kind === 'failure') return filter;
  throw new DecodeError(field, `${kind} does not belong to the inbound side`);
}

export function decodeOpaqueFilter({ kind }: OpaqueRoute_Filter, field: string): OpaqueFilter {
  if (kind === undefined) throw new DecodeError(field, 'unknown kind of filter');
  return kind.$case === 'forbidden' ? { kind: 'forbidden' } : { kind: 'invalid', message: kind.value.message };
}

function decodeRatio(ratio: Ratio | undefined, field: string): { readonly ratio?: Ratio } {
  if (ratio === undefined) return {};
  const { numerator, denominator } = ratio;
  if (denominator === 0) throw new DecodeError(`${field}.ratio.denominator`, '0');
  return { ratio: { numerator, denominator } };
}

function decodeMirror({ backend, ratio }: RequestMirror, field: string): Mirror {
  return { kind: 'mirror', backend: decodeBackend(backend, `${field}.backend`), ...decodeRatio(ratio, field) };
}

function decodeDelay({ delay, ratio }: RequestDelay, field: string): Delay {
  const delayMs = decodeDurationMs(delay, `${field}.delay`);
  if (delayMs > DELAY_MS_MAX) throw new DecodeError(`${field}.delay`, `${delayMs} ms is more than ${DELAY_MS_MAX}`);
  return { kind: 'delay', delayMs, ...decodeRatio(ratio, field) };
}

function decodeRewrite({ host, path }: UrlRewrite, field: string): Rewrite {
  return {
    ...(host !== '' && { host: decodeHostName(host, `${field}.host`) }),
    ...(path !== undefined && { path: decodePath(path, `${field}.path`) }),
  };
}

function decodeHostName(host: string, field: string): string {
  if (!HOST.test(host)) throw new DecodeError(field, `${JSON.stringify(host)} is not a host name`);
  return host;
}

function decodeModifier({ add, set, remove }: RequestHeaderModifier, field: string): HeaderModifier {
  return {
    add: decodeHeaders(add, `${field}.add`),
    set: decodeHeaders(set, `${field}.set`),
    remove: remove.map((name) => headerName(name, `${field}.remove`)),
  };
}

/** Of requests, where Host says to which server they are: it can be another, but neither absent nor two. */
function decodeRequestModifier(message: RequestHeaderModifier, field: string): HeaderModifier {
  const modifier = decodeModifier(message, field);
  const { add, set, remove } = modifier;
  if (add.some(isHost)) throw new DecodeError(`${field}.add`, 'a request has one host: it can be set, not added');
  if (remove.includes('host')) throw new DecodeError(`${field}.remove`, 'a request has one host: it cannot be removed');
  const wrong = set.find((header) => isHost(header) && !AUTHORITY.test(header.value));
  if (wrong !== undefined) throw new DecodeError(`${field}.set`, `${JSON.stringify(wrong.value)} is no host`);
  return modifier;
}

function isHost({ name }: HeaderValue): boolean {
  return name === 'host';
}

function decodeHeaders(message: Headers | undefined, field: string): readonly HeaderValue[] {
  return (message?.headers ?? []).map(({ name, value }, index) => {
    const text = Buffer.from(value).toString('latin1');
    // eslint-disable-next-line no-control-regex -- these would end the field
    if (/[\0-\x08\x0a-\x1f\x7f]/.test(text)) throw new DecodeError(`${field}[${index}].value`, 'a control character');
    return { name: headerName(name, `${field}[${index}].name`), value: text };
  });
}

function headerName(name: string, field: string): string {
  if (!HEADER_NAME.test(name)) throw new DecodeError(field, `${JSON.stringify(name)} is not a header name`);
  const lower = name.toLowerCase();
  if (FRAMING.has(lower)) throw new DecodeError(field, `${lower} frames the message and cannot be changed`);
  return lower;
}

function decodeRedirect({ scheme, host, path, port, status }: RequestRedirect, field: string): Redirect {
  if (port > 65_535) throw new DecodeError(`${field}.port`, `${port} is not a port`);
  if (status !== 0 && (status < 300 || status > 399)) {
    throw new DecodeError(`${field}.status`, `${status} is not a redirection`);
  }
  return {
    ...(scheme !== undefined && { scheme: decodeScheme(scheme, `${field}.scheme`) }),
    ...(host !== '' && { host: decodeHostName(host, `${field}.host`) }),
    ...(port !== 0 && { port }),
    ...(path !== undefined && { path: decodePath(path, `${field}.path`) }),
    status: status === 0 ? 301 : status,
  };
}

function decodeScheme({ type }: NonNullable<RequestRedirect['scheme']>, field: string): 'http' | 'https' {
  if (type?.$case === 'registered' && type.value === Scheme_Registered.HTTPS) return 'https';
  if (type?.$case === 'registered' && type.value === Scheme_Registered.HTTP) return 'http';
  throw new DecodeError(field, 'neither http nor https');
}

function decodePath({ replace }: NonNullable<RequestRedirect['path']>, field: string): PathModifier {
  if (replace === undefined) throw new DecodeError(field, 'unknown kind of path modifier');
  const isNothing = replace.$case === 'prefix' && replace.value === '';
  const isPath = isNothing || (replace.value.startsWith('/') && isPlainPath(replace.value));
  if (!isPath) throw new DecodeError(field, `${JSON.stringify(replace.value)} is not a path`);
  return replace.$case === 'full' ? { kind: 'full', path: replace.value } : { kind: 'prefix', prefix: replace.value };
}
