import type { Backend } from './backend.ts';

/** What a rule changes or answers. Filters run in order. Source: linkerd2-proxy-api `outbound.HttpRoute.Filter`. */
export type HttpFilter =
  | ({ readonly kind: 'request-headers' } & HeaderModifier)
  | ({ readonly kind: 'response-headers' } & HeaderModifier)
  | ({ readonly kind: 'redirect' } & Redirect)
  | ({ readonly kind: 'rewrite' } & Rewrite)
  | Mirror
  | Delay
  | HttpFailure;

/** Source: linkerd2-proxy-api `outbound.GrpcRoute.Filter`. */
export type GrpcFilter = ({ readonly kind: 'request-headers' } & HeaderModifier) | Mirror | Delay | GrpcFailure;

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

/** What the server sees of the URL instead of what the client asked for; the query stays. Gateway API: HTTPURLRewriteFilter. */
export type Rewrite = {
  readonly host?: string; // of the Host field, without port
  readonly path?: PathModifier;
};

/** Of paths that `isPlainPath` accepts. `prefix` replaces what the rule matched, and may be empty. */
export type PathModifier =
  | { readonly kind: 'full'; readonly path: string }
  | { readonly kind: 'prefix'; readonly prefix: string };

/**
 * Whether a path may be put into a request: ASCII without query, whose escapes are some, and without dot segments, also hidden
 * ones. Proxies refuse such requests of clients, and must not make them.
 */
export function isPlainPath(text: string): boolean {
  return /^(?:[\x21\x22\x24\x26-\x3e\x40-\x5b\x5d-\x7e]|%[0-9A-Fa-f]{2})*$/.test(text) && !DOTS.test(text);
}

const DOTS = /%00|%2e|(?:^|\/|%2f|%5c)\.{1,2}(?:$|\/|%2f|%5c|;)/i;

/** A copy of the request, as it is at this place in the order, goes there too; its response is dropped. */
export type Mirror = {
  readonly kind: 'mirror';
  readonly backend: Backend;
  readonly ratio?: Ratio; // absent: every request
};

/** Holds the request back before it goes on, for tests of what waits for it. */
export type Delay = {
  readonly kind: 'delay';
  readonly delayMs: number; // at most DELAY_MS_MAX
  readonly ratio?: Ratio; // absent: every request
};

export const DELAY_MS_MAX = 60_000;

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
