/** Source: RFC 7541 appendix A; index 1 is the first. */
const ENTRIES =
  ':authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|' +
  ':status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate';

export type Entry = { readonly name: string; readonly value: string };

export const STATIC_TABLE: readonly Entry[] = ENTRIES.split('|').map((text) => {
  const space = text.indexOf(' ');
  return space < 0 ? { name: text, value: '' } : { name: text.slice(0, space), value: text.slice(space + 1) };
});

/** First index of the dynamic table. */
export const DYNAMIC_START = STATIC_TABLE.length + 1;

/** What an entry counts besides its bytes. Source: RFC 7541 section 4.1. */
export const ENTRY_OVERHEAD = 32;

export const DYNAMIC_BYTES_MAX = 4096;
