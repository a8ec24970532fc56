import { bestMatch, mostSpecific, type HttpMatch, type PathMatch, type RequestHead } from './match.ts';

/**
 * Requests of a session go to the endpoint that answered its first one, as long as that is there, also where weights would not choose
 * it. The client shows a value that a response gave it. Source: Gateway API, GEP-1619.
 */
export type SessionPersistence = {
  /** Where the value stands. */
  readonly carrier: SessionCarrier;
  /** Names the rule: a value of one rule says nothing to another. */
  readonly scope: string;
  readonly absoluteTimeoutMs?: number; // > 0, since the session began; absent: none
  readonly idleTimeoutMs?: number; // > 0, since its last request; absent: none
};

export type SessionCarrier =
  | {
      readonly kind: 'cookie';
      readonly name: string;
      /** The client keeps it until `absoluteTimeoutMs`, which is there then; else as long as it runs. */
      readonly isPermanent: boolean;
      readonly path?: string; // absent: what the match of the request says
    }
  | { readonly kind: 'header'; readonly name: string }; // lower case

/** Whether a text can name a cookie or a field. Source: RFC 6265 section 4.1.1; the length is Gateway API's. */
export function isSessionName(text: string): boolean {
  return /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,128}$/.test(text);
}

/** Whether a text can be the attribute Path of a cookie. */
export function isCookiePath(text: string): boolean {
  return /^\/[\x20-\x3a\x3c-\x7e]{0,1023}$/.test(text);
}

/**
 * The path of a cookie, below which the client shows it: that of the match which a request has come by, of a regular expression the
 * longest part in front that is none. Source: GEP-1619, "Path".
 */
export function cookiePath(matches: readonly HttpMatch[], request: RequestHead): string {
  const scored = matches.map((match) => ({
    match,
    score: (head: RequestHead): readonly number[] | undefined => bestMatch([match], head),
  }));
  const path = mostSpecific(scored, request)?.match.path;
  if (path === undefined) return '/';
  const literal = literalOf(path);
  // What goes on within a segment is no directory, and below `/a` a client shows nothing to `/ab`.
  return literal.isWhole ? literal.text : literal.text.slice(0, literal.text.lastIndexOf('/')) || '/';
}

function literalOf(path: PathMatch): { readonly text: string; readonly isWhole: boolean } {
  const text = path.kind === 'regex' ? literalPrefix(path.pattern) : (/^[^;]*/.exec(path.value)?.[0] ?? '');
  return { text, isWhole: text === (path.kind === 'regex' ? path.pattern : path.value) };
}

/** What every text begins with that a regular expression matches, or less of it. */
function literalPrefix(pattern: string): string {
  if (hasAlternatives(pattern)) return '';
  const [literal = ''] = /^[\w\-/~!@%&=:,']*/.exec(pattern) ?? [];
  const isOptional = /^[*?{]/.test(pattern.slice(literal.length));
  return isOptional ? literal.slice(0, -1) : literal;
}

/** Whether there is a `|` outside of groups. */
function hasAlternatives(pattern: string): boolean {
  let rest = pattern.replaceAll(/\\.|\[\^?\]?[^\]]*\]/g, '');
  for (let before = ''; before !== rest;) {
    before = rest;
    rest = rest.replaceAll(/\([^()]*\)/g, '');
  }
  return rest.includes('|');
}
