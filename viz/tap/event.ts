import type { Duration } from '#api/gen/google/protobuf/duration.ts';
import { HttpMethod_Registered, Scheme_Registered, type Headers } from '#api/gen/http_types.ts';
import type { TcpAddress } from '#api/gen/net.ts';
import type { TapEvent } from '#api/gen/tap.ts';
import { decodeAddress } from '#api/decode/net.ts';
import { formatAddress } from '#model/address.ts';

/** A tap event as `linkerd viz tap -o json` prints it. */
export type TapJson = {
  readonly source: EndpointJson;
  readonly destination: EndpointJson;
  readonly routeMeta: Readonly<Record<string, string>> | null;
  readonly proxyDirection: 'INBOUND' | 'OUTBOUND' | 'UNKNOWN';
  readonly requestInitEvent?: {
    readonly id: IdJson;
    readonly method: string;
    readonly scheme: string;
    readonly authority: string;
    readonly path: string;
    readonly headers: readonly HeaderJson[];
  };
  readonly responseInitEvent?: {
    readonly id: IdJson;
    readonly sinceRequestInit: DurationJson;
    readonly httpStatus: number;
    readonly headers: readonly HeaderJson[];
  };
  readonly responseEndEvent?: {
    readonly id: IdJson;
    readonly sinceRequestInit: DurationJson;
    readonly sinceResponseInit: DurationJson;
    readonly responseBytes: number;
    readonly trailers: readonly HeaderJson[];
    readonly grpcStatusCode?: number;
    readonly resetErrorCode?: number;
  };
};

export type EndpointJson = {
  readonly ip: string;
  readonly port: number;
  readonly metadata: Readonly<Record<string, string>>;
};
type IdJson = { readonly base: number; readonly stream: number };
export type DurationJson = { readonly seconds: number; readonly nanos: number };
type HeaderJson = { readonly name: string; readonly valueStr?: string; readonly valueBin?: string };

/**
 * @param base    numbers the Observe call that the event is of
 * @param labels  what is known of an address besides what the proxy says
 */
export function tapJson(
  event: TapEvent,
  base: number,
  labels: (ip: string) => Readonly<Record<string, string>>,
): TapJson {
  const endpoint = (address: TcpAddress | undefined, own: Readonly<Record<string, string>> = {}): EndpointJson => {
    const ip = address?.ip === undefined ? '' : formatAddress(decodeAddress(address.ip, 'address'));
    return { ip, port: address?.port ?? 0, metadata: { ...labels(ip), ...own } };
  };
  const http = event.event?.value.event;
  const id = { base, stream: Number(http?.value.id?.stream ?? 0) };
  return {
    source: endpoint(event.source, event.sourceMeta?.labels),
    destination: endpoint(event.destination, event.destinationMeta?.labels),
    routeMeta: event.routeMeta === undefined ? null : event.routeMeta.labels,
    proxyDirection: event.proxyDirection === 1 ? 'INBOUND' : event.proxyDirection === 2 ? 'OUTBOUND' : 'UNKNOWN',
    ...(http?.$case === 'requestInit'
      ? {
          requestInitEvent: {
            id,
            method: nameOf(http.value.method?.type, HttpMethod_Registered),
            scheme: nameOf(http.value.scheme?.type, Scheme_Registered),
            authority: http.value.authority,
            path: http.value.path,
            headers: headersJson(http.value.headers),
          },
        }
      : {}),
    ...(http?.$case === 'responseInit'
      ? {
          responseInitEvent: {
            id,
            sinceRequestInit: durationJson(http.value.sinceRequestInit),
            httpStatus: http.value.httpStatus,
            headers: headersJson(http.value.headers),
          },
        }
      : {}),
    ...(http?.$case === 'responseEnd'
      ? {
          responseEndEvent: {
            id,
            sinceRequestInit: durationJson(http.value.sinceRequestInit),
            sinceResponseInit: durationJson(http.value.sinceResponseInit),
            responseBytes: Number(http.value.responseBytes),
            trailers: headersJson(http.value.trailers),
            ...(http.value.eos?.end?.$case === 'grpcStatusCode' ? { grpcStatusCode: http.value.eos.end.value } : {}),
            ...(http.value.eos?.end?.$case === 'resetErrorCode' ? { resetErrorCode: http.value.eos.end.value } : {}),
          },
        }
      : {}),
  };
}

type Named =
  | { readonly $case: 'registered'; readonly value: number }
  | { readonly $case: 'unregistered'; readonly value: string };

function nameOf(type: Named | undefined, registered: Readonly<Record<string, number>>): string {
  if (type?.$case === 'unregistered') return type.value;
  return Object.entries(registered).find(([, value]) => value === type?.value)?.[0] ?? '';
}

function durationJson(duration: Duration | undefined): DurationJson {
  return { seconds: Number(duration?.seconds ?? 0), nanos: duration?.nanos ?? 0 };
}

function headersJson(headers: Headers | undefined): readonly HeaderJson[] {
  return (headers?.headers ?? []).map(({ name, value }) => {
    const text = value.toString();
    return Buffer.from(text).equals(value) ? { name, valueStr: text } : { name, valueBin: value.toString('base64') };
  });
}
