/** One address that serves a target, with what a client side must know to reach it. Source: `destination.WeightedAddr`. */
export type Endpoint = {
  readonly address: string; // canonical IP text
  readonly port: number; // 1..65535, of the application
  readonly weight: number; // integer >= 0; 10000 is one share
  readonly labels: Readonly<Record<string, string>>; // metric labels without the `dst_` prefix
  /** Whom the peer's certificate must name; absent: the endpoint is not meshed and is reached in plain text. */
  readonly identity?: EndpointIdentity;
  /** `h2`: HTTP/1 may be carried over HTTP/2. `opaque`: the server side treats the port as raw bytes. */
  readonly protocolHint?: 'h2' | 'opaque';
  /** Dial this port with a transport header instead of `port`. Only with an identity. */
  readonly opaqueTransportPort?: number;
  /** `host:port` that replaces the authority, for gateways of other clusters. */
  readonly authorityOverride?: string;
  readonly http2?: Http2Params;
};

export type EndpointIdentity = {
  readonly kind: 'dns' | 'uri';
  readonly name: string;
  readonly serverName: string; // SNI
};

/** How connections to an endpoint are kept alive. */
export type Http2Params = {
  readonly keepAlive?: { readonly intervalMs: number; readonly timeoutMs: number; readonly isWhileIdle: boolean };
};

/** One step of a stream of endpoints. The first `add` of a (re)connected stream replaces everything. */
export type EndpointUpdate =
  | { readonly kind: 'add'; readonly endpoints: readonly Endpoint[]; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: 'remove'; readonly addresses: readonly { readonly address: string; readonly port: number }[] }
  | { readonly kind: 'none'; readonly exists: boolean };

/** Weight of an endpoint that gets an ordinary share. */
export const DEFAULT_WEIGHT = 10_000;
