import type { RequestHead } from '#model/match.ts';
import { Patterns } from '#runtime/pattern.ts';
import { optionalText, textList, UsageError, type Flags, type FlagValues } from '../command.ts';

/** Those of most requests. Source: RFC 9110, RFC 5789. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** How a command is told of a request. */
export const REQUEST_FLAGS = {
  method: { type: 'string', value: 'METHOD', words: METHODS, help: 'method of a request (default GET)' },
  path: { type: 'string', value: 'PATH', help: 'path of a request, with its query (default /)' },
  header: { type: 'string', short: 'H', value: 'NAME:VALUE', isRepeated: true, help: 'header of a request' },
  authority: { type: 'string', value: 'HOST', help: 'authority of a request (default NAME.NS)' },
} as const satisfies Flags;

/** Whether a request is described at all. */
export function isRequestDescribed(flags: FlagValues): boolean {
  return Object.keys(REQUEST_FLAGS).some((flag) => flags[flag] !== undefined);
}

/**
 * The request that flags describe, as a proxy sees it.
 *
 * @param host  where the flags name no authority
 * @throws UsageError  naming the flag that is wrong
 */
export function describedRequest(flags: FlagValues, host: string): RequestHead {
  const headers = new Map(
    textList(flags, 'header').map((text) => {
      const colon = text.indexOf(':');
      if (colon < 1) throw new UsageError(`--header is "${text}": write NAME:VALUE`);
      return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
    }),
  );
  const target = optionalText(flags, 'path') ?? '/';
  if (!target.startsWith('/')) throw new UsageError(`--path is "${target}": a path begins with /`);
  const [path = '/', ...query] = target.split('?');
  const authority = optionalText(flags, 'authority') ?? host;
  return {
    method: (optionalText(flags, 'method') ?? 'GET').toUpperCase(),
    path,
    query: query.join('?'),
    host: authority.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase(),
    header: (name) => headers.get(name),
    matchesPattern: new Patterns(64).matches,
  };
}

/** `GET web.shop/a?b=c`. */
export function formatRequest({ method, host, path, query }: RequestHead): string {
  return `${method} ${host}${path}${query === '' ? '' : `?${query}`}`;
}
