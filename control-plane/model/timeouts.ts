/** Limits of a rule; absent: none. Source: linkerd2-proxy-api `http_route.Timeouts`. */
export type Timeouts = {
  readonly requestMs?: number; // whole request and response, with all attempts
  readonly responseMs?: number; // from the end of the request to the end of the response
  readonly idleMs?: number; // without a byte in either direction
};
