import type { MatchesPattern, RequestHead as MatchedRequest } from '#model/match.ts';
import { trimmed } from './field-text.ts';
import type { RequestHead } from './head.ts';
import { foldedPath } from './path.ts';

/** Scheme and authority of a target in absolute form. */
export const ORIGIN = /^[A-Za-z][A-Za-z0-9+\-.]*:\/\/[^/?#]*/;

/** What routes and authorizations look at; what few of them ask for is worked out when one does. */
export class MatchedHead implements MatchedRequest {
  readonly method: string;
  readonly path: string; // `/` where the target has none: of CONNECT, and of OPTIONS for the whole server
  readonly query: string;
  readonly matchesPattern: MatchesPattern;
  readonly #head: RequestHead;

  constructor(head: RequestHead, matchesPattern: MatchesPattern) {
    const target = head.target.startsWith('/') ? head.target : head.target.replace(ORIGIN, '');
    const question = target.indexOf('?');
    const path = question < 0 ? target : target.slice(0, question);
    this.#head = head;
    this.matchesPattern = matchesPattern;
    this.method = head.method;
    this.path = this.readPath(path.startsWith('/') ? path : '/');
    this.query = question < 0 ? '' : target.slice(question + 1);
  }

  protected readPath(path: string): string {
    return path;
  }

  /** Names are equal whatever their case, and a dot at their end says nothing. */
  get host(): string {
    return (this.#head.authority ?? '').replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
  }

  header(name: string): string | undefined {
    return fieldValue(this.#head.lines, name);
  }
}

/** As authorizations see it. */
export class AuthorizedHead extends MatchedHead {
  protected override readPath(path: string): string {
    return foldedPath(path);
  }
}

/** @returns the values of all fields of a name (lower case), joined as RFC 9110 says; nothing when there is none */
export function fieldValue(lines: string, name: string): string | undefined {
  const values = fieldValues(lines, name);
  return values.length === 0 ? undefined : values.join(', ');
}

/**
 * Values of all fields of a name, in their order.
 *
 * @param lines  first line and fields, each with its CRLF
 * @param name   lower case
 */
export function fieldValues(lines: string, name: string): readonly string[] {
  return lines
    .split('\r\n')
    .slice(1, -1)
    .filter((line) => line.charCodeAt(name.length) === 58 && line.slice(0, name.length).toLowerCase() === name)
    .map((line) => trimmed(line.slice(name.length + 1)));
}
