import type { Distribution } from './backend.ts';
import type { GrpcFilter, HttpFilter, OpaqueFilter } from './filter.ts';
import type { GrpcMatch, HostMatch, HttpMatch } from './match.ts';
import type { ResourceRef } from './resource-ref.ts';
import type { GrpcRetry, HttpRetry } from './retry.ts';
import type { SessionPersistence } from './session-persistence.ts';
import type { Timeouts } from './timeouts.ts';

/**
 * Rules for HTTP requests. All rules of all routes of a target compete; the most specific match wins, the first of equals.
 * Source: linkerd2-proxy-api `outbound.HttpRoute`.
 */
export type HttpRoute = {
  readonly ref: ResourceRef; // the object, or something built in
  readonly hosts: readonly HostMatch[]; // empty: any
  readonly rules: readonly HttpRule[];
};

export type HttpRule = Rule<HttpMatch, HttpFilter> & { readonly retry?: HttpRetry };

/** Rules for gRPC requests. Source: linkerd2-proxy-api `outbound.GrpcRoute`. */
export type GrpcRoute = {
  readonly ref: ResourceRef;
  readonly hosts: readonly HostMatch[]; // empty: any
  readonly rules: readonly GrpcRule[];
};

export type GrpcRule = Rule<GrpcMatch, GrpcFilter> & { readonly retry?: GrpcRetry };

/**
 * @template M  matches
 * @template F  filters
 */
type Rule<M, F> = {
  /** Place in the list of the object that the rule is of. Absent where the object is not known: messages do not carry it. */
  readonly index?: number;
  readonly matches: readonly M[]; // one must hold; empty: everything
  readonly filters: readonly F[];
  readonly distribution: Distribution<F>;
  readonly timeouts: Timeouts;
  /** Headers `l5d-timeout`, `l5d-retry-*` of a request override what the rule says. */
  readonly allowsRequestHeaders: boolean;
  readonly session?: SessionPersistence; // absent: every request is balanced by itself
};

/** Where the bytes of a connection go. Source: linkerd2-proxy-api `outbound.OpaqueRoute`; only its first rule counts. */
export type OpaqueRoute = {
  readonly ref: ResourceRef;
  readonly filters: readonly OpaqueFilter[];
  readonly distribution: Distribution<OpaqueFilter>;
};

/**
 * Where the bytes of a TLS connection go that is not terminated. Of the routes whose names hold the most specific counts, the first
 * of equals. Source: linkerd2-proxy-api `outbound.TlsRoute`; only its first rule counts.
 */
export type TlsRoute = OpaqueRoute & { readonly serverNames: readonly HostMatch[] }; // empty: any
