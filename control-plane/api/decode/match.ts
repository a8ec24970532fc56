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
import { DecodeError } from './decode-error.ts';

export function decodeHttpMatch(message: HttpRouteMatch, field: string): HttpMatch {
  return {
    ...(message.path && { path: decodePath(message.path, `${field}.path`) }),
    headers: message.headers.map((header, index) => decodeHeader(header, `${field}.headers[${index}]`)),
    queryParams: message.queryParams.map((param, index) => decodeQueryParam(param, `${field}.query_params[${index}]`)),
    ...(message.method && { method: decodeMethod(message.method, `${field}.method`) }),
  };
}

function decodePath({ kind }: PathMatchMessage, field: string): PathMatch {
  if (kind === undefined) throw new DecodeError(field, 'unknown kind of match');
  if (kind.$case === 'regex') return { kind: 'regex', pattern: kind.value };
  return { kind: kind.$case, value: kind.value };
}

export function decodeHeader({ name, value }: HeaderMatchMessage, field: string): HeaderMatch {
  if (value === undefined) throw new DecodeError(field, 'unknown kind of match');
  const lowerName = name.toLowerCase();
  if (value.$case === 'regex') return { name: lowerName, value: { kind: 'regex', pattern: value.value } };
  return { name: lowerName, value: { kind: 'exact', value: Buffer.from(value.value).toString('latin1') } };
}

function decodeQueryParam({ name, value }: QueryParamMatchMessage, field: string): QueryParamMatch {
  if (value === undefined) throw new DecodeError(field, 'unknown kind of match');
  if (value.$case === 'regex') return { name, value: { kind: 'regex', pattern: value.value } };
  return { name, value: { kind: 'exact', value: value.value } };
}

export function decodeMethod({ type }: HttpMethod, field: string): string {
  if (type === undefined) throw new DecodeError(field, 'missing');
  if (type.$case === 'unregistered') return type.value;
  const found = Object.entries(HttpMethod_Registered).find(([, number]) => number === type.value);
  if (found === undefined) throw new DecodeError(field, `${String(type.value)} is not a registered method`);
  return found[0];
}

export function decodeHost({ match }: HostMatchMessage, field: string): HostMatch {
  if (match === undefined) throw new DecodeError(field, 'unknown kind of match');
  if (match.$case === 'exact') return { kind: 'exact', host: match.value.toLowerCase() };
  return { kind: 'suffix', reverseLabels: match.value.reverseLabels.map((label) => label.toLowerCase()) };
}

export function decodeGrpcMatch({ rpc, headers }: GrpcRouteMatch, field: string): GrpcMatch {
  if (rpc === undefined) throw new DecodeError(`${field}.rpc`, 'missing');
  return {
    ...(rpc.service !== '' && { service: rpc.service }),
    ...(rpc.method !== '' && { method: rpc.method }),
    headers: headers.map((header, index) => decodeHeader(header, `${field}.headers[${index}]`)),
  };
}
