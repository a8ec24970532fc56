import type { RequestHead } from '../http/head.ts';

/**
 * The same request for another authority: in the Host field, and in the target where that has one.
 *
 * @param authority  `host` or `host:port`
 */
export function withAuthority(head: RequestHead, authority: string): RequestHead {
  const lineEnd = head.lines.indexOf('\r\n');
  const [method = '', target = '', version = ''] = head.lines.slice(0, lineEnd).split(' ');
  const changed =
    method === 'CONNECT' && head.protocol === undefined
      ? authority
      : target.replace(/^([A-Za-z][A-Za-z0-9+\-.]*:\/\/)[^/?#]*/, `$1${authority}`);
  const fields = head.lines
    .slice(lineEnd + 2)
    .split('\r\n')
    .filter((line) => line !== '' && !/^host:/i.test(line));
  const lines = [`${method} ${changed} ${version}`, `host: ${authority}`, ...fields, ''].join('\r\n');
  return { ...head, target: changed, authority, lines };
}
