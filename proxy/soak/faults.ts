// Which failures of clients which fault excuses.

/** What is done to a pair. `control-plane` and `endpoints` must not be noticed by anybody. */
export const FAULTS = [
  'refuse', // one application answers 503
  'reset', // one application resets connections instead of answering
  'truncate', // one application ends its answers half way
  'stall', // one application does not answer
  'kill', // one application is gone with its connections, and comes back
  'cut-mesh', // the connections between the proxies are cut
  'cut-clients', // the connections of clients are cut
  'cut-applications', // the connections to applications are cut
  'control-plane', // the control plane is gone, and comes back
  'endpoints', // an endpoint is taken out in an orderly way
] as const;

export type FaultKind = (typeof FAULTS)[number];

/** Nobody's doing: the soak itself, and with it clients and applications, got no time from the machine. */
export const STARVED = 'starved';

type Cause = FaultKind | typeof STARVED;

/** A fault that was there for some time; both ends are those of `performance.now()`. */
export type Fault = { readonly kind: Cause; readonly fromMs: number; readonly untilMs: number };

/**
 * How a request or connection of a client failed. `app-503`: an application told to do so answered it. `proxy:<code>`: a proxy
 * failed it and says why. `cut`: it ended without an answer, or before the end of one. Anything else is never excused:
 * `wrong`, a wrong answer; `late`, none for long; `status`, one that nobody was told to give.
 */
export type Failure = 'app-503' | `proxy:${string}` | 'cut' | 'wrong' | 'late' | 'status';

/** What comes of a fault may arrive a little after it is over: connections end, pools find out. */
const AFTERMATH_MS = 1_500;

const EXCUSES: Readonly<Record<Cause, readonly Failure[]>> = {
  refuse: ['app-503'],
  reset: ['cut', 'proxy:server-closed'],
  truncate: ['cut', 'proxy:server-closed'],
  stall: ['proxy:request-timeout', 'proxy:attempt-timeout'],
  kill: ['cut', 'proxy:server-closed', 'proxy:connect-refused', 'proxy:connect-failed'],
  'cut-mesh': ['cut', 'proxy:server-closed', 'proxy:connect-failed', 'proxy:http2-refused'],
  'cut-clients': ['cut'],
  // A connection may be cut before the application has shown that it speaks HTTP/2.
  'cut-applications': ['cut', 'proxy:server-closed', 'proxy:http2-refused'],
  'control-plane': [],
  endpoints: [],
  starved: ['cut', 'late', 'proxy:request-timeout', 'proxy:attempt-timeout'],
};

/** @returns the fault that excuses the failure, if any: one that was there while the request was under way */
export function excuseOf(
  failure: Failure,
  { startMs, endMs }: { readonly startMs: number; readonly endMs: number },
  faults: readonly Fault[],
): Cause | undefined {
  return faults.find(
    ({ kind, fromMs, untilMs }) =>
      fromMs <= endMs && startMs <= untilMs + AFTERMATH_MS && EXCUSES[kind].includes(failure),
  )?.kind;
}
