import type { HeaderModifier, PathModifier, Redirect, Rewrite } from '#model/filter.ts';
import type { RequestHead as MatchedRequest } from '#model/match.ts';
import type { RequestHead } from './head.ts';
import { MatchedHead, ORIGIN } from './matched-head.ts';

/** Of a redirect, which asks no pattern. */
export function redirectedPath(head: RequestHead): Pick<MatchedRequest, 'path' | 'query'> {
  return new MatchedHead(head, () => false);
}

/** @param lines  first line and fields, each with its CRLF */
export function modifyFields(lines: string, { add, set, remove }: HeaderModifier): string {
  const gone = new Set([...set.map(({ name }) => name), ...remove]);
  const firstEnd = lines.indexOf('\r\n') + 2;
  // Added values are subject to what is set and removed after them.
  const added = add.filter(({ name }) => !gone.has(name));
  const kept = fieldsOf(lines).filter((line) => !gone.has(line.slice(0, line.indexOf(':')).toLowerCase()));
  const removed = new Set(remove);
  const more = [...added, ...set.filter(({ name }) => !removed.has(name))];
  const all = [...kept, ...more.map(({ name, value }) => `${name}: ${value}`)];
  return lines.slice(0, firstEnd) + all.map((line) => `${line}\r\n`).join('');
}

/** As `modifyFields`, of a request: setting Host is a rewrite of the authority, whichever form the request has it in. */
export function modifyRequest(head: RequestHead, modifier: HeaderModifier): RequestHead {
  const host = modifier.set.findLast(({ name }) => name === 'host')?.value;
  if (host === undefined) return { ...head, lines: modifyFields(head.lines, modifier) };
  const set = modifier.set.filter(({ name }) => name !== 'host');
  return rewriteHead({ ...head, lines: modifyFields(head.lines, { ...modifier, set }) }, { host }, '/');
}

function fieldsOf(lines: string): string[] {
  const all = lines.split('\r\n');
  return all.slice(1, -1);
}

function isNamed(line: string, name: string): boolean {
  return line.charCodeAt(name.length) === 58 && line.slice(0, name.length).toLowerCase() === name;
}

/** @param prefix  of the path, that the rule matched: what a path modifier of kind `prefix` replaces */
export function redirectLocation(
  redirect: Redirect,
  request: Pick<MatchedRequest, 'path' | 'query'>,
  authority: string,
  prefix: string,
): string {
  const scheme = redirect.scheme ?? 'http';
  const ownPort = /:(\d+)$/.exec(authority)?.[1];
  const port = redirect.port ?? (redirect.scheme === undefined && ownPort !== undefined ? Number(ownPort) : undefined);
  const isDefaultPort = port === undefined || port === (scheme === 'https' ? 443 : 80);
  const host = redirect.host ?? authority.replace(/:\d*$/, '');
  const query = request.query === '' ? '' : `?${request.query}`;
  return `${scheme}://${host}${isDefaultPort ? '' : `:${port}`}${modifiedPath(redirect.path, request.path, prefix)}${query}`;
}

/**
 * What the server sees of the URL instead of what the client asked for.
 *
 * @param prefix  of the path, that the rule matched
 */
export function rewriteHead(head: RequestHead, { host, path }: Rewrite, prefix: string): RequestHead {
  // A tunnel and the server as a whole have no path, and a tunnel's authority is its target.
  if (head.method === 'CONNECT' && head.protocol === undefined) return head;
  const target = path === undefined || head.target === '*' ? head.target : rewrittenTarget(head.target, path, prefix);
  const authority = host ?? head.authority;
  const absolute = host === undefined ? target : target.replace(AUTHORITY, `$1${host}`);
  const firstEnd = head.lines.indexOf('\r\n') + 2;
  const version = head.isHttp11 ? 'HTTP/1.1' : 'HTTP/1.0';
  const fields = head.lines.slice(firstEnd);
  const lines = `${head.method} ${absolute} ${version}\r\n${host === undefined ? fields : withHost(fields, host)}`;
  return { ...head, target: absolute, authority, lines };
}

/** The scheme of an absolute target, and its authority. */
const AUTHORITY = /^([A-Za-z][A-Za-z0-9+\-.]*:\/\/)[^/?#]*/;

function rewrittenTarget(target: string, path: PathModifier, prefix: string): string {
  const origin = ORIGIN.exec(target)?.[0] ?? '';
  const question = target.indexOf('?', origin.length);
  const end = question < 0 ? target.length : question;
  const old = target.slice(origin.length, end);
  return `${origin}${modifiedPath(path, old === '' ? '/' : old, prefix)}${target.slice(end)}`;
}

function withHost(fields: string, host: string): string {
  const kept = fields.split('\r\n').filter((line) => line !== '' && !isNamed(line, 'host'));
  return [`host: ${host}`, ...kept].map((line) => `${line}\r\n`).join('');
}

function modifiedPath(path: PathModifier | undefined, old: string, prefix: string): string {
  if (path === undefined) return old;
  if (path.kind === 'full') return path.path;
  const rest = old.startsWith(prefix) ? old.slice(prefix.length) : old;
  return `${path.prefix.replace(/\/$/, '')}/${rest.replace(/^\//, '')}`.replace(/(.)\/$/, rest === '' ? '$1' : '$&');
}
