import { Field } from '../http/field.ts';

/** Source: RFC 7541 appendix A; index 1 is the first. */
const ENTRIES =
  ':authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|' +
  ':status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate';

export const STATIC_TABLE: readonly Field[] = ENTRIES.split('|').map((text) => {
  const space = text.indexOf(' ');
  return space < 0 ? new Field(text, '') : new Field(text.slice(0, space), text.slice(space + 1));
});

/** First index of the dynamic table. */
export const DYNAMIC_START = STATIC_TABLE.length + 1;

/** What an entry counts besides its bytes. Source: RFC 7541 section 4.1. */
export const ENTRY_OVERHEAD = 32;

export const DYNAMIC_BYTES_MAX = 4096;
const CAPACITY = DYNAMIC_BYTES_MAX / ENTRY_OVERHEAD;

/** Entries of a dynamic table: the oldest leave when new ones need their place. */
export class EntryQueue<T> {
  // As many as fit, since each counts its overhead; a power of two.
  readonly #ring = Array.from<T | undefined>({ length: CAPACITY });
  #first = 0;
  length = 0;

  push(entry: T): void {
    this.#ring[(this.#first + this.length) & (CAPACITY - 1)] = entry;
    this.length += 1;
  }

  /** Takes the oldest away. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const oldest = this.#ring[this.#first];
    this.#ring[this.#first] = undefined;
    this.#first = (this.#first + 1) & (CAPACITY - 1);
    this.length -= 1;
    return oldest;
  }

  /** @param age  0 for the newest */
  newest(age: number): T | undefined {
    return age < this.length ? this.#ring[(this.#first + this.length - 1 - age) & (CAPACITY - 1)] : undefined;
  }
}
