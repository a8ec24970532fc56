/** Every way in which the proxy itself fails a connection or request, with the HTTP status the application sees. */
export const PROXY_ERROR_STATUS = {
  'client-malformed': 400, // the request breaks HTTP/1.1; nothing of it was sent on
  'head-too-large': 431, // more header bytes or fields than the limits
  'no-route': 404, // the policy of the port has routes and none matches
  'head-timeout': 408, // the request head did not arrive in time
  'version-unsupported': 505,
  'encoding-unsupported': 501, // a transfer coding other than chunked
  'protocol-unsupported': 501, // an extended CONNECT, and the endpoint serves none
  unauthorized: 403,
  forbidden: 403, // the outbound policy of the target does not let the connection go there
  'rate-limited': 429, // more requests per second than the server takes
  'identity-required': 502, // `l5d-require-id` names another identity than the endpoint's
  'connect-refused': 502,
  'connect-failed': 502, // unreachable, reset while connecting, out of descriptors
  'connect-timeout': 504,
  'peer-identity': 502, // TLS to the peer failed: no trusted certificate of the expected name
  'http2-refused': 502, // the endpoint ended the connection or said something else before it spoke HTTP/2
  'no-credentials': 502, // mutual TLS is needed and this proxy holds no valid certificate
  'no-endpoint': 504, // the service has had no endpoint for the fail-fast time
  'endpoints-ejected': 504, // every endpoint of the backend has failed too often and waits for its next probe
  'no-backend': 502, // the route names no backend that exists
  'request-timeout': 504, // the route's limit for request and response with all attempts
  'response-timeout': 504, // the route's limit from the end of the request to the end of the response
  'attempt-timeout': 504, // the route's limit for the response head of one attempt
  'idle-timeout': 504, // the route's limit without a byte in either direction
  'policy-invalid': 500, // the outbound policy of the target cannot be understood
  'load-shed': 503, // more requests in flight than the limit
  loop: 508, // the destination is this proxy itself
  'server-closed': 502, // the server closed the connection before it answered
  'server-malformed': 502, // the response breaks HTTP/1.1
  'client-closed': 499, // never sent: the client is gone
} as const;

export type ProxyErrorCode = keyof typeof PROXY_ERROR_STATUS;

/**
 * May another attempt be made? `safe`: the request reached no application. `idempotent`: it may have, so only where
 * doing it twice is harmless. `never`: another attempt would end the same way.
 */
export type Retry = 'safe' | 'idempotent' | 'never';

const RETRY: Partial<Record<ProxyErrorCode, Retry>> = {
  'connect-refused': 'safe',
  'connect-failed': 'safe',
  'connect-timeout': 'safe',
  'peer-identity': 'safe',
  'http2-refused': 'safe',
  'server-closed': 'idempotent',
};

/** Why a request or connection failed, in the terms the proxy acts on. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ProxyErrorCode;
  readonly retry: Retry;

  constructor(code: ProxyErrorCode, message: string, options?: { readonly cause?: unknown; readonly retry?: Retry }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options?.retry ?? RETRY[code] ?? 'never';
  }

  get status(): number {
    return PROXY_ERROR_STATUS[this.code];
  }
}

/** What another attempt may do after a peer proxy answered with `l5d-proxy-error: <code>: ...`. */
export function retryOfPeerError(value: string): Retry {
  const code = value.slice(0, value.indexOf(':'));
  return code in PROXY_ERROR_STATUS ? (RETRY[code as ProxyErrorCode] ?? 'never') : 'never';
}

/** Any thrown thing as a `ProxyError`, with the given code unless it is one already. */
export function toProxyError(error: unknown, code: ProxyErrorCode): ProxyError {
  if (error instanceof ProxyError) return error;
  return new ProxyError(code, error instanceof Error ? error.message : String(error), { cause: error });
}
