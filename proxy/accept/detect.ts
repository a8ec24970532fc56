/** What a client speaks, by its first bytes. `unknown`: more bytes are needed to tell. */
export type Protocol = 'http1' | 'http2' | 'opaque' | 'unknown';

/** Longest request line that is waited for; a longer beginning of one counts as HTTP and meets the head limits there. */
const REQUEST_LINE_BYTES_MAX = 8 * 1024;
const METHOD_BYTES_MAX = 32;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** The whole first line of an HTTP/1 request. */
const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32} [\x21-\x7e\x80-\xff]+ HTTP\/\d\.\d$/;
/** What may still become one. */
const BEGINNING =
  /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}(?: (?:[\x21-\x7e\x80-\xff]+(?: (?:H(?:T(?:T(?:P(?:\/(?:\d(?:\.(?:\d)?)?)?)?)?)?)?)?)?)?)?\r?$/;

/**
 * Tells HTTP from everything else, as early as the bytes allow and never by timing. A line such as `GET key`, as text
 * protocols have them, is not HTTP.
 */
export function detectProtocol(bytes: Buffer): Protocol {
  if (bytes.length === 0) return 'unknown';
  const known = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, known, 0, known) === 0) return known === PREFACE.length ? 'http2' : 'unknown';
  let start = 0;
  if (bytes[0] === 13) {
    // One empty line may stand before a request.
    if (bytes.length === 1) return 'unknown';
    if (bytes[1] !== 10) return 'opaque';
    start = 2;
  }
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
