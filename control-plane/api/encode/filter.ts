import type { Headers } from '#api/gen/http_types.ts';
import { Scheme_Registered } from '#api/gen/http_types.ts';
import type { RequestDelay, RequestHeaderModifier, RequestRedirect } from '#api/gen/http_route.ts';
import type {
  GrpcRoute_Filter as InboundGrpcFilterMessage,
  HttpRoute_Filter as InboundHttpFilter,
} from '#api/gen/inbound.ts';
import type { InboundFilter, InboundGrpcFilter } from '#model/inbound.ts';
import type { GrpcRoute_Filter, HttpRoute_Filter, OpaqueRoute_Filter, RequestMirror } from '#api/gen/outbound.ts';
import type {
  Delay,
  GrpcFilter,
  HeaderModifier,
  HeaderValue,
  HttpFilter,
  Mirror,
  OpaqueFilter,
  PathModifier,
  Redirect,
} from '#model/filter.ts';
import { encodeBackend } from './backend.ts';
import { encodeDuration } from './duration.ts';

export function encodeHttpFilter(filter: HttpFilter): HttpRoute_Filter {
  switch (filter.kind) {
    case 'request-headers':
      return { kind: { $case: 'requestHeaderModifier', value: encodeModifier(filter) } };
    case 'response-headers':
      return { kind: { $case: 'responseHeaderModifier', value: encodeModifier(filter) } };
    case 'redirect':
      return { kind: { $case: 'redirect', value: encodeRedirect(filter) } };
    case 'rewrite': {
      const { host = '', path } = filter;
      return { kind: { $case: 'urlRewrite', value: { host, path: path && encodePath(path) } } };
    }
    case 'mirror':
      return { kind: { $case: 'requestMirror', value: encodeMirror(filter) } };
    case 'delay':
      return { kind: { $case: 'delay', value: encodeDelay(filter) } };
    case 'failure': {
      const { status, message, ratio } = filter;
      return { kind: { $case: 'failureInjector', value: { status, message, ratio } } };
    }
  }
}

export function encodeGrpcFilter(filter: GrpcFilter): GrpcRoute_Filter {
  switch (filter.kind) {
    case 'request-headers':
      return { kind: { $case: 'requestHeaderModifier', value: encodeModifier(filter) } };
    case 'mirror':
      return { kind: { $case: 'requestMirror', value: encodeMirror(filter) } };
    case 'delay':
      return { kind: { $case: 'delay', value: encodeDelay(filter) } };
    case 'failure': {
      const { code, message, ratio } = filter;
      return { kind: { $case: 'failureInjector', value: { code, message, ratio } } };
    }
  }
}

export function encodeInboundFilter(filter: InboundFilter): InboundHttpFilter {
  switch (filter.kind) {
    case 'request-headers':
      return { kind: { $case: 'requestHeaderModifier', value: encodeModifier(filter) } };
    case 'redirect':
      return { kind: { $case: 'redirect', value: encodeRedirect(filter) } };
    case 'failure': {
      const { status, message, ratio } = filter;
      return { kind: { $case: 'failureInjector', value: { status, message, ratio } } };
    }
  }
}

export function encodeInboundGrpcFilter(filter: InboundGrpcFilter): InboundGrpcFilterMessage {
  if (filter.kind === 'request-headers') {
    return { kind: { $case: 'requestHeaderModifier', value: encodeModifier(filter) } };
  }
  const { code, message, ratio } = filter;
  return { kind: { $case: 'failureInjector', value: { code, message, ratio } } };
}

export function encodeOpaqueFilter(filter: OpaqueFilter): OpaqueRoute_Filter {
  if (filter.kind === 'forbidden') return { kind: { $case: 'forbidden', value: {} } };
  return { kind: { $case: 'invalid', value: { message: filter.message } } };
}

function encodeMirror({ backend, ratio }: Mirror): RequestMirror {
  return { backend: encodeBackend(backend), ratio };
}

function encodeDelay({ delayMs, ratio }: Delay): RequestDelay {
  return { delay: encodeDuration(delayMs), ratio };
}

function encodeModifier({ add, set, remove }: HeaderModifier): RequestHeaderModifier {
  return { add: encodeHeaders(add), set: encodeHeaders(set), remove: [...remove] };
}

function encodeHeaders(values: readonly HeaderValue[]): Headers | undefined {
  if (values.length === 0) return undefined;
  return { headers: values.map(({ name, value }) => ({ name, value: Buffer.from(value, 'latin1') })) };
}

function encodeRedirect({ scheme, host = '', port = 0, path, status }: Redirect): RequestRedirect {
  const registered = scheme === 'https' ? Scheme_Registered.HTTPS : Scheme_Registered.HTTP;
  return {
    scheme: scheme && { type: { $case: 'registered', value: registered } },
    host,
    path: path && encodePath(path),
    port,
    status,
  };
}

function encodePath(path: PathModifier): RequestRedirect['path'] {
  if (path.kind === 'full') return { replace: { $case: 'full', value: path.path } };
  return { replace: { $case: 'prefix', value: path.prefix } };
}
