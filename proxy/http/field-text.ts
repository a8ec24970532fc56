const SPACE = 32;
const TAB = 9;

/**
 * The value of a field without the white space around it. Only space and tab are (RFC 9110 section 5.6.3): `String.trim` takes away
 * more, such as 0xa0, and finds `chunked` where other readers do not.
 */
export function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Fields that delimit or direct a message, or concern one connection. Behind the body they come too late to be anything but a trick. */
const NEVER_TRAILER: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** @param name  of a field after the body, lower case. Source: RFC 9110 section 6.5.1 */
export function mayBeTrailer(name: string): boolean {
  return !NEVER_TRAILER.has(name) && !isMeshField(name);
}

/**
 * Whether only proxies may say it. Applications that see fields as variables (CGI, WSGI, PHP) cannot tell `_` from `-`, so it means the
 * same here.
 *
 * @param name  in any case
 */
export function isMeshField(name: string): boolean {
  return /^l5d[-_]/i.test(name);
}

/**
 * A text of its own for what is kept when its message is gone: a part of a text holds the whole of it in memory.
 *
 * @param text  latin1
 * @param max   characters; what is longer is cut
 */
export function detached(text: string, max: number): string {
  return Buffer.from(text.slice(0, max), 'latin1').toString('latin1');
}
