import { ProxyError } from '../errors.ts';
import { HEAD_BYTES_MAX } from './limits.ts';

/** What is wrong with a message, as an error of the side that has sent it. */
export type Malformed = (reason: string) => ProxyError;

export const malformedRequest: Malformed = (reason) =>
  new ProxyError('client-malformed', `malformed request: ${reason}`);

export const malformedResponse: Malformed = (reason) =>
  new ProxyError('server-malformed', `malformed response: ${reason}`);

/** A client is told that its own head is too large, not that of a response. */
export function headTooLarge(what: string, malformed: Malformed): ProxyError {
  return malformed === malformedRequest ? new ProxyError('head-too-large', what) : malformed(what);
}

/**
 * Counts a part of a body whose head said how long it is.
 *
 * @param left  bytes that are still to come; absent: it did not say
 * @returns the same after the part
 * @throws ProxyError  when more has come
 */
export function afterPart(left: number | undefined, bytes: number, malformed: Malformed): number | undefined {
  if (left === undefined) return undefined;
  if (bytes > left) throw malformed('more than its Content-Length');
  return left - bytes;
}

/**
 * A body has ended.
 *
 * @param left  bytes that should still come
 * @throws ProxyError  when there are any
 */
export function checkComplete(left: number | undefined, malformed: Malformed): void {
  if (left !== undefined && left > 0) throw malformed('less than its Content-Length');
}

/**
 * Counts an interim response: its client is sent them all.
 *
 * @param bytes  of the interim responses of one exchange before it
 * @returns the same with it
 * @throws ProxyError  `server-malformed` when that is too much
 */
export function withInterim(bytes: number, more: number): number {
  const all = bytes + more;
  if (all > HEAD_BYTES_MAX)
    throw new ProxyError('server-malformed', `interim responses of more than ${HEAD_BYTES_MAX} bytes`);
  return all;
}
