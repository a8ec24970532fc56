import { encodeSocketAddress } from '#api/encode/net.ts';
import type { Duration } from '#api/gen/google/protobuf/duration.ts';
import {
  HttpMethod_Registered,
  Scheme_Registered,
  type Headers,
  type HttpMethod,
  type Scheme,
} from '#api/gen/http_types.ts';
import type { TcpAddress } from '#api/gen/net.ts';
import { parseAddress } from '#model/address.ts';

/** The parts of tap events in the form of linkerd2-proxy-api. */

export function methodName({ type }: HttpMethod): string {
  if (type?.$case === 'unregistered') return type.value;
  const registered = type?.value ?? 0;
  return Object.entries(HttpMethod_Registered).find(([, value]) => value === registered)?.[0] ?? '';
}

export function schemeName({ type }: Scheme): string {
  if (type?.$case === 'unregistered') return type.value.toLowerCase();
  return type?.value === Scheme_Registered.HTTPS ? 'https' : 'http';
}

export function encodeMethod(method: string): HttpMethod {
  const registered = (HttpMethod_Registered as Readonly<Record<string, HttpMethod_Registered>>)[method];
  return registered === undefined
    ? { type: { $case: 'unregistered', value: method } }
    : { type: { $case: 'registered', value: registered } };
}

export function encodeScheme(scheme: string): Scheme {
  if (scheme !== 'http' && scheme !== 'https') return { type: { $case: 'unregistered', value: scheme } };
  return {
    type: { $case: 'registered', value: scheme === 'https' ? Scheme_Registered.HTTPS : Scheme_Registered.HTTP },
  };
}

/** The fields of a head: its lines, the first of which is no field. */
export function encodeHeaders(lines: string): Headers {
  return encodeFields(lines.slice(lines.indexOf('\r\n') + 2));
}

/** @param lines  fields, each with its CRLF */
export function encodeFields(lines: string): Headers {
  return {
    headers: lines
      .split('\r\n')
      .filter((line) => line !== '')
      .map((line) => {
        const colon = line.indexOf(':');
        return { name: line.slice(0, colon).toLowerCase(), value: Buffer.from(line.slice(colon + 1).trim(), 'latin1') };
      }),
  };
}

export function encodeDuration(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** Absent when the connection is gone and its address with it. */
export function encodeSocket({
  address,
  port,
}: {
  readonly address: string;
  readonly port: number;
}): TcpAddress | undefined {
  return parseAddress(address) === undefined ? undefined : encodeSocketAddress(address, port);
}
