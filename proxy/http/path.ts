import { malformedRequest } from './malformed.ts';

/** Without one of these a target is in its normal form: looked for in every request, so that all others are left alone. */
const SUSPECT = /[%#\\]|\/\./;
/** Scheme and authority of a target in absolute form, without what follows a back slash. */
const ORIGIN = /^[A-Za-z][A-Za-z0-9+\-.]*:\/\/[^/?#\\]*/;
/** Escapes of characters that need none (RFC 3986 section 2.3). */
const NEEDLESS = /%(?:2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])/g;
/** A dot segment to those who read an escaped slash as a slash, or cut off what follows a semicolon. */
const HIDDEN_DOTS = /(?:\/|%2f|%5c)\.{1,2}(?:$|\/|%2f|%5c|;)/i;

/**
 * The one form in which a target is routed, authorized and passed on: needless escapes undone, dot segments resolved (RFC 3986
 * section 6.2.2). Repeated slashes and all other escapes stay: they mean something to some applications.
 *
 * @param target  in origin or absolute form
 * @throws ProxyError  `client-malformed` for what applications understand differently
 */
export function normalTarget(target: string): string {
  if (!SUSPECT.test(target)) return target;
  if (target.includes('#')) throw malformedRequest('a fragment in the target');
  const origin = target.startsWith('/') ? '' : (ORIGIN.exec(target)?.[0] ?? '');
  const question = target.indexOf('?');
  const end = question < 0 ? target.length : question;
  const path = target.slice(origin.length, end);
  return origin + normalPath(path) + target.slice(end);
}

function normalPath(path: string): string {
  if (!SUSPECT.test(path)) return path;
  if (path.includes('\\')) throw malformedRequest('a back slash in the path');
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) throw malformedRequest('an escape in the path that is none');
  if (path.includes('%00')) throw malformedRequest('an escaped NUL in the path');
  const plain = path.replace(NEEDLESS, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)));
  const resolved = plain.includes('/.') ? withoutDots(plain) : plain;
  if (HIDDEN_DOTS.test(resolved)) throw malformedRequest('a hidden dot segment in the path');
  return resolved;
}

/** Source: RFC 3986 section 5.2.4. */
function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  for (const [at, segment] of segments.entries()) {
    const isLast = at === segments.length - 1;
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
    if (isLast && (segment === '.' || segment === '..')) kept.push('');
  }
  return `/${kept.join('/')}`;
}

/**
 * A path as the most lenient application reads it: escaped slashes are slashes, several are one, and parameters of segments are
 * cut off. What such an application would take for a path that needs an authorization must not pass for another one.
 *
 * @param path  in its normal form
 */
export function foldedPath(path: string): string {
  if (!/[%;]|\/\//.test(path)) return path;
  return path
    .replace(/%2f|%5c/gi, '/')
    .replace(/;[^/]*/g, '')
    .replace(/\/{2,}/g, '/');
}
