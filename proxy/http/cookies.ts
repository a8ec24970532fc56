import { trimmed } from './field-text.ts';
import { fieldValues } from './matched-head.ts';

/**
 * Values of the cookies of a name in a request, in their order: a client may show several, of different paths.
 * Source: RFC 6265 section 5.4.
 *
 * @param lines  request line and fields, each with its CRLF
 */
export function cookieValues(lines: string, name: string): readonly string[] {
  return fieldValues(lines, 'cookie')
    .flatMap((field) => field.split(';'))
    .flatMap((pair) => {
      const equals = pair.indexOf('=');
      return equals > 0 && trimmed(pair.slice(0, equals)) === name ? [trimmed(pair.slice(equals + 1))] : [];
    });
}

/** Whether a response sets a cookie of a name. @param lines  status line and fields, each with its CRLF */
export function setsCookie(lines: string, name: string): boolean {
  return fieldValues(lines, 'set-cookie').some((field) => {
    const equals = field.indexOf('=');
    return equals > 0 && trimmed(field.slice(0, equals)) === name;
  });
}
