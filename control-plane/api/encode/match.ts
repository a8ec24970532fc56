import type { GrpcRouteMatch } from '#api/gen/grpc_route.ts';
import type { GrpcMatch } from '#model/match.ts';
import type {
  HeaderMatch as HeaderMatchMessage,
  HostMatch as HostMatchMessage,
  HttpRouteMatch,
  PathMatch as PathMatchMessage,
  QueryParamMatch as QueryParamMatchMessage,
} from '#api/gen/http_route.ts';
import { HttpMethod_Registered, type HttpMethod } from '#api/gen/http_types.ts';
import type { HeaderMatch, HostMatch, HttpMatch, PathMatch, QueryParamMatch } from '#model/match.ts';

export function encodeHttpMatch(match: HttpMatch): HttpRouteMatch {
  return {
    path: match.path && encodePath(match.path),
    headers: match.headers.map(encodeHeader),
    queryParams: match.queryParams.map(encodeQueryParam),
    method: match.method === undefined ? undefined : encodeMethod(match.method),
  };
}

function encodePath(path: PathMatch): PathMatchMessage {
  return { kind: { $case: path.kind, value: path.kind === 'regex' ? path.pattern : path.value } };
}

export function encodeHeader({ name, value }: HeaderMatch): HeaderMatchMessage {
  if (value.kind === 'regex') return { name, value: { $case: 'regex', value: value.pattern } };
  return { name, value: { $case: 'exact', value: Buffer.from(value.value, 'latin1') } };
}

function encodeQueryParam({ name, value }: QueryParamMatch): QueryParamMatchMessage {
  return { name, value: { $case: value.kind, value: value.kind === 'regex' ? value.pattern : value.value } };
}

export function encodeMethod(method: string): HttpMethod {
  const registered = (HttpMethod_Registered as Readonly<Record<string, HttpMethod_Registered>>)[method];
  if (registered === undefined) return { type: { $case: 'unregistered', value: method } };
  return { type: { $case: 'registered', value: registered } };
}

export function encodeHost(host: HostMatch): HostMatchMessage {
  if (host.kind === 'exact') return { match: { $case: 'exact', value: host.host } };
  return { match: { $case: 'suffix', value: { reverseLabels: [...host.reverseLabels] } } };
}

/** linkerd2-proxy refuses a match without `rpc`. */
export function encodeGrpcMatch({ service = '', method = '', headers }: GrpcMatch): GrpcRouteMatch {
  return { rpc: { service, method }, headers: headers.map(encodeHeader) };
}
