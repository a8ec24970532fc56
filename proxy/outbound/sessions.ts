import type { SessionPersistence } from '#model/session-persistence.ts';
import type { Destination, ServerEndpoint } from '../balance/destination.ts';
import type { RetryBudget } from '../balance/retry-budget.ts';
import { ProxyError } from '../errors.ts';
import { cookieValues, setsCookie } from '../http/cookies.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { fieldValues } from '../http/matched-head.ts';
import type { EndpointMeta } from '../tap/hub.ts';
import type { Candidate } from './backends.ts';
import type { OutboundContext } from './context.ts';
import type { OutboundEndpoint } from './endpoint.ts';
import type { Way } from './plan.ts';
import { endpointTag, formatSessionValue, isInTime, isSessionText, parseSessionValue } from './session-value.ts';
import type { SessionValue } from './session-value.ts';

/** Values of one request that are looked at: one for each path that a client may have a cookie for. */
const VALUES_MAX = 8;

/** The sessions of one rule. They live in the values that clients show, and nothing is kept here. */
export class Sessions {
  readonly persistence: SessionPersistence;
  readonly #candidates: readonly Candidate[];
  readonly #cookiePath: (head: RequestHead) => string;
  readonly #context: Pick<OutboundContext, 'now' | 'clock'>;
  readonly #tags = new WeakMap<EndpointMeta, string>();
  /** By tag, of each list of endpoints that a session was looked for in. */
  readonly #tagged = new WeakMap<readonly OutboundEndpoint[], ReadonlyMap<string, OutboundEndpoint>>();

  /**
   * @param candidates  all backends of the rule: a session stays where it is when weights change
   * @param cookiePath  of a request, where the rule does not name one
   */
  constructor(
    persistence: SessionPersistence,
    candidates: readonly Candidate[],
    cookiePath: (head: RequestHead) => string,
    context: Pick<OutboundContext, 'now' | 'clock'>,
  ) {
    this.persistence = persistence;
    this.#candidates = candidates;
    this.#cookiePath = cookiePath;
    this.#context = context;
  }

  /** @param head  as the client has sent it */
  of(head: RequestHead): Session {
    const { carrier } = this.persistence;
    const texts =
      carrier.kind === 'cookie' ? cookieValues(head.lines, carrier.name) : fieldValues(head.lines, carrier.name);
    const own = texts.filter(isSessionText).slice(0, VALUES_MAX);
    const nowMs = this.#context.clock.now();
    const values = own
      .flatMap((text) => parseSessionValue(text) ?? [])
      .filter((value) => isInTime(value, this.persistence, nowMs));
    return new Session(this, head, values, texts.length > 0 && own.length === 0);
  }

  /** The way to the endpoint of the first of these values that has one which can be asked now. */
  wayOf(values: readonly SessionValue[]): Way | undefined {
    if (values.length === 0) return undefined;
    const nowMs = this.#context.now();
    for (const candidate of this.#candidates) {
      const way = candidate.way();
      if (way instanceof ProxyError || !way.destination.isDynamic) continue;
      const tagged = this.#byTag(way.destination.endpoints);
      for (const { tag } of values) {
        const endpoint = tagged.get(tag);
        if (endpoint?.isReady(nowMs) === true)
          return { ...way, destination: new Preferring(way.destination, endpoint, this.#context.now) };
      }
    }
    return undefined;
  }

  /** Hashed once: of a large service with one endpoint more, only that one is new. */
  tagOf(endpoint: EndpointMeta): string {
    let tag = this.#tags.get(endpoint);
    if (tag === undefined) {
      tag = endpointTag(this.persistence.scope, endpoint);
      this.#tags.set(endpoint, tag);
    }
    return tag;
  }

  /** The value for the next request of a session. @param began  the value that the request has shown; absent: it begins now */
  valueFor(tag: string, began: SessionValue | undefined): SessionValue {
    const usedMs = this.#context.clock.now();
    return { beganMs: began?.beganMs ?? usedMs, usedMs, tag };
  }

  /** A field of a response that gives a client a value. @param head  of its request */
  fieldOf(value: SessionValue, head: RequestHead): string {
    const { carrier, absoluteTimeoutMs = 0 } = this.persistence;
    const text = `${carrier.name}=${formatSessionValue(value)}`;
    if (carrier.kind === 'header') return `${carrier.name}: ${formatSessionValue(value)}\r\n`;
    // Not `Secure`: whether browsers come by TLS is not known here, and in a mesh most clients do not.
    const path = carrier.path ?? this.#cookiePath(head);
    const leftMs = value.beganMs + absoluteTimeoutMs - value.usedMs;
    const lifetime = carrier.isPermanent ? `; Max-Age=${Math.ceil(leftMs / 1000)}` : '';
    return `set-cookie: ${text}; Path=${path}${lifetime}; HttpOnly; SameSite=Strict\r\n`;
  }

  #byTag(endpoints: readonly OutboundEndpoint[]): ReadonlyMap<string, OutboundEndpoint> {
    const known = this.#tagged.get(endpoints);
    if (known !== undefined) return known;
    const tagged = new Map(endpoints.map((one) => [this.tagOf(one.meta), one]));
    this.#tagged.set(endpoints, tagged);
    return tagged;
  }
}

/** The session of one request: what it has shown, and what its response says. */
export class Session {
  readonly #sessions: Sessions;
  readonly #head: RequestHead;
  readonly #values: readonly SessionValue[];
  readonly #isForeign: boolean;

  /**
   * @param values     that are in time
   * @param isForeign  the application uses the name itself, and is left alone
   */
  constructor(sessions: Sessions, head: RequestHead, values: readonly SessionValue[], isForeign: boolean) {
    this.#sessions = sessions;
    this.#head = head;
    this.#values = values;
    this.#isForeign = isForeign;
  }

  /** @returns nothing where the request has no session, or its endpoint cannot be asked now */
  way(): Way | undefined {
    return this.#sessions.wayOf(this.#values);
  }

  /**
   * The head of a response, with a value where the client needs another one than it has: the session begins, goes on at another endpoint,
   * or is used again and would end without use.
   *
   * @param mayBegin  a session must not be bound to an endpoint that fails
   */
  answered(head: ResponseHead, endpoint: EndpointMeta, mayBegin: boolean): ResponseHead {
    const { carrier, idleTimeoutMs } = this.#sessions.persistence;
    if (this.#isForeign) return head;
    const tag = this.#sessions.tagOf(endpoint);
    const shown = this.#values.find((value) => value.tag === tag);
    if (shown === undefined ? !mayBegin : idleTimeoutMs === undefined) return head;
    const isTaken =
      carrier.kind === 'cookie'
        ? setsCookie(head.lines, carrier.name)
        : fieldValues(head.lines, carrier.name).length > 0;
    if (isTaken) return head;
    const field = this.#sessions.fieldOf(this.#sessions.valueFor(tag, shown), this.#head);
    return { ...head, lines: head.lines + field };
  }
}

/** A destination of which one endpoint comes first, as long as it is there and can be asked. */
class Preferring implements Destination<OutboundEndpoint> {
  readonly #inner: Destination<OutboundEndpoint>;
  readonly #first: OutboundEndpoint;
  readonly #now: () => number;

  constructor(inner: Destination<OutboundEndpoint>, first: OutboundEndpoint, now: () => number) {
    this.#inner = inner;
    this.#first = first;
    this.#now = now;
  }

  get name(): string {
    return this.#inner.name;
  }

  get isDynamic(): boolean {
    return this.#inner.isDynamic;
  }

  get endpoints(): readonly OutboundEndpoint[] {
    return this.#inner.endpoints;
  }

  get repeats(): RetryBudget {
    return this.#inner.repeats;
  }

  pick(avoid: ReadonlySet<ServerEndpoint> | undefined): OutboundEndpoint | undefined {
    const first = this.#first;
    const isUsable = avoid?.has(first) !== true && first.isReady(this.#now()) && this.endpoints.includes(first);
    return isUsable ? first : this.#inner.pick(avoid);
  }

  onChange(listener: () => void): Disposable {
    return this.#inner.onChange(listener);
  }
}
