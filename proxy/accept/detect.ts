/** What a client speaks, by its first bytes. `unknown`: more bytes are needed to tell. */
export type Protocol = 'http1' | 'http2' | 'opaque' | 'unknown';

/** Longest request line that is waited for; a longer beginning of one counts as HTTP and meets the head limits there. */
const REQUEST_LINE_BYTES_MAX = 8 * 1024;
const METHOD_BYTES_MAX = 32;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/**
 * A first line that some server takes for one of HTTP/1, however malformed: words between white space, the last of them the version.
 * It must come to our own HTTP, which refuses it, and not pass as other bytes around what is decided about requests.
 */
// eslint-disable-next-line no-control-regex -- some take them for white space
const REQUEST_LINE = /^[\s\x1c-\x1f]*[^\s\x1c-\x1f]+[\s\x1c-\x1f].*[\s\x1c-\x1f]HTTP\/\d\S*\s*$/is;
const LETTER = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]";
const BLANK = '[\\t\\x0b\\x0c\\x1c-\\x20]';
const TEXT = '[\\t\\x0b\\x0c\\x1c-\\x7e\\x80-\\xff]';
/** What may still become one: a word as methods are, or a line that goes on behind it. */
const BEGINNING = new RegExp(`^[\\t ]*(?:${LETTER}{0,32}|${LETTER}{1,32}${BLANK}${TEXT}*)\\r?$`);

/**
 * Tells HTTP from everything else, as early as the bytes allow and never by timing. A line such as `GET key`, as text
 * protocols have them, is not HTTP.
 */
export function detectProtocol(bytes: Buffer): Protocol {
  if (bytes.length === 0) return 'unknown';
  const known = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, known, 0, known) === 0) return known === PREFACE.length ? 'http2' : 'unknown';
  // Empty lines may stand before a request: one for our own HTTP, more for other servers.
  let start = 0;
  while (bytes[start] === 13 || bytes[start] === 10) start += 1;
  if (start === bytes.length) return start < REQUEST_LINE_BYTES_MAX ? 'unknown' : 'opaque';
  const lineEnd = bytes.indexOf(10, start);
  if (lineEnd >= 0) {
    const end = bytes[lineEnd - 1] === 13 ? lineEnd - 1 : lineEnd;
    return REQUEST_LINE.test(bytes.toString('latin1', start, end)) ? 'http1' : 'opaque';
  }
  const text = bytes.toString('latin1', start, start + REQUEST_LINE_BYTES_MAX);
  if (text.length > METHOD_BYTES_MAX && !text.slice(0, METHOD_BYTES_MAX + 1).includes(' ')) return 'opaque';
  if (text !== '' && !BEGINNING.test(text)) return 'opaque';
  return text.length >= REQUEST_LINE_BYTES_MAX ? 'http1' : 'unknown';
}

/** The start of a request line as clients of HTTP write it: a target of one of these forms means no other protocol. */
const LIKELY_REQUEST = /^(?:\r\n)?(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+ (?:\/|\*|https?:)|CONNECT )/i;
const METHODS = ['GET ', 'HEAD ', 'POST ', 'PUT ', 'PATCH ', 'DELETE ', 'OPTIONS ', 'TRACE ', 'CONNECT ', 'PRI '];
const PAUSE_MS = 100;
const PAUSE_IN_METHOD_MS = 1000;

/**
 * How long a client must be silent after undecided bytes until they are taken for what they look like: all that it says
 * before it is answered. Clients of HTTP write the request line at once; one that has come to its target may take as
 * long as it likes, and one in the middle of a usual method is given the time of a lost packet.
 */
export function pauseMs(undecided: Buffer): number {
  const text = undecided.toString('latin1', 0, METHOD_BYTES_MAX + 16);
  if (LIKELY_REQUEST.test(text)) return Number.POSITIVE_INFINITY;
  return METHODS.some((method) => method.startsWith(text.replace(/^\r\n?/, ''))) ? PAUSE_IN_METHOD_MS : PAUSE_MS;
}
