/** What a rule changes or answers. Filters run in order. Source: linkerd2-proxy-api `outbound.HttpRoute.Filter`. */
export type HttpFilter =
  | ({ readonly kind: 'request-headers' } & HeaderModifier)
  | ({ readonly kind: 'response-headers' } & HeaderModifier)
  | ({ readonly kind: 'redirect' } & Redirect)
  | HttpFailure;

/** Source: linkerd2-proxy-api `outbound.GrpcRoute.Filter`. */
export type GrpcFilter = ({ readonly kind: 'request-headers' } & HeaderModifier) | GrpcFailure;

/** Source: linkerd2-proxy-api `outbound.OpaqueRoute.Filter`: the connection is closed. */
export type OpaqueFilter = { readonly kind: 'forbidden' } | { readonly kind: 'invalid'; readonly message: string };

/** Applied in the order add, set, remove. */
export type HeaderModifier = {
  readonly add: readonly HeaderValue[];
  readonly set: readonly HeaderValue[];
  readonly remove: readonly string[]; // lower case
};

export type HeaderValue = { readonly name: string; readonly value: string }; // name in lower case

/** Answers with a Location made of the request's URL and what is given here. */
export type Redirect = {
  readonly scheme?: 'http' | 'https';
  readonly host?: string;
  readonly port?: number;
  readonly path?: PathModifier;
  readonly status: number; // 3xx
};

export type PathModifier =
  | { readonly kind: 'full'; readonly path: string }
  | { readonly kind: 'prefix'; readonly prefix: string };

/** Answers with a failure instead of passing the request on. */
export type HttpFailure = {
  readonly kind: 'failure';
  readonly status: number;
  readonly message: string;
  readonly ratio?: Ratio; // absent: every request
};

export type GrpcFailure = {
  readonly kind: 'failure';
  readonly code: number; // of gRPC
  readonly message: string;
  readonly ratio?: Ratio;
};

/** A share of the requests. */
export type Ratio = { readonly numerator: number; readonly denominator: number }; // denominator > 0
