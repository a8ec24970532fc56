import { createHash } from 'node:crypto';

/** A whole HTTP answer that does not change between two changes of the registry. */
export type Document = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string; // '' with status 304
};

/** Hex digest that changes with the content; also used inside URLs, so it has no special characters. */
export function digest(content: string): string {
  return createHash('sha256').update(content).digest('hex').toUpperCase();
}

/** Whether an `If-None-Match` header names `etag` (quoted). Source: RFC 9110 section 13.1.2, weak comparison. */
export function matchesETag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((entry) => {
    const tag = entry.trim().replace(/^W\//, '');
    return tag === '*' || tag === etag;
  });
}
