import { asList, asNumber, asObject, asText, type JsonObject } from '#k8s/json.ts';
import {
  isPlainPath,
  type HeaderModifier,
  type HeaderValue,
  type PathModifier,
  type Ratio,
  type Redirect,
  type Rewrite,
} from '#model/filter.ts';
import type { HeaderMatch, HostMatch, HttpMatch, PathMatch, QueryParamMatch } from '#model/match.ts';
import type { Problems } from './problem.ts';
import { regexProblem } from './regular-expression.ts';

const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];
const NAME = /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/;

/** Reads one element of `rules[].matches` of an HTTPRoute. */
export function readHttpMatch(fields: JsonObject, field: string, problems: Problems): HttpMatch {
  const method = asText(fields['method']);
  if (method !== undefined && !METHODS.includes(method)) problems.add(`${field}.method`, `"${method}" is not a method`);
  const path = readPath(asObject(fields['path']), `${field}.path`, problems);
  return {
    ...(path && { path }),
    headers: readHeaderMatches(fields['headers'], `${field}.headers`, problems),
    queryParams: firstOfEach(
      asList(fields['queryParams']).flatMap((value, index) =>
        readTextMatch(asObject(value), `${field}.queryParams[${index}]`, problems),
      ),
    ),
    ...(method !== undefined && { method }),
  };
}

function readPath(fields: JsonObject, field: string, problems: Problems): PathMatch | undefined {
  const type = asText(fields['type']) ?? 'PathPrefix';
  const value = asText(fields['value']) ?? '/';
  if (type === 'RegularExpression') {
    const problem = regexProblem(value);
    return problem === undefined ? { kind: 'regex', pattern: value } : problems.add(`${field}.value`, problem);
  }
  if (!value.startsWith('/')) return problems.add(`${field}.value`, `"${value}" does not begin with /`);
  if (type === 'Exact') return { kind: 'exact', value };
  // The trailing slash of a prefix does not count.
  if (type === 'PathPrefix') return { kind: 'prefix', value: value === '/' ? value : value.replace(/\/$/, '') };
  return problems.add(`${field}.type`, `"${type}" is not Exact, PathPrefix or RegularExpression`);
}

export function readHeaderMatches(value: unknown, field: string, problems: Problems): readonly HeaderMatch[] {
  const matches = asList(value).flatMap((one, index) => {
    const name = `${field}[${index}]`;
    return readTextMatch(asObject(one), name, problems).flatMap((match) => {
      if (TOKEN.test(match.name)) return [{ ...match, name: match.name.toLowerCase() }];
      problems.add(`${name}.name`, `"${match.name}" is not a header name`);
      return [];
    });
  });
  return firstOfEach(matches);
}

function readTextMatch(fields: JsonObject, field: string, problems: Problems): readonly QueryParamMatch[] {
  const name = asText(fields['name']) ?? '';
  const type = asText(fields['type']) ?? 'Exact';
  const value = asText(fields['value']) ?? '';
  if (name === '') problems.add(`${field}.name`, 'is missing');
  if (type === 'Exact') return [{ name, value: { kind: 'exact', value } }];
  if (type !== 'RegularExpression') {
    problems.add(`${field}.type`, `"${type}" is not Exact or RegularExpression`);
    return [];
  }
  const problem = regexProblem(value);
  if (problem !== undefined) problems.add(`${field}.value`, problem);
  return [{ name, value: { kind: 'regex', pattern: value } }];
}

/** Of entries with the same name the first counts. */
function firstOfEach<T extends { readonly name: string }>(entries: readonly T[]): readonly T[] {
  return entries.filter(({ name }, index) => entries.findIndex((one) => one.name === name) === index);
}

export function readHosts(value: unknown, field: string, problems: Problems): readonly HostMatch[] {
  return asList(value).flatMap((one, index): readonly HostMatch[] => {
    const host = (asText(one) ?? '').toLowerCase();
    const bare = host.startsWith('*.') ? host.slice(2) : host;
    if (!NAME.test(bare)) {
      problems.add(`${field}[${index}]`, `"${host}" is not a host name`);
      return [];
    }
    if (bare === host) return [{ kind: 'exact', host }];
    return [{ kind: 'suffix', reverseLabels: bare.split('.').reverse() }];
  });
}

/** Reads `requestHeaderModifier` and `responseHeaderModifier`. */
export function readModifier(value: unknown, field: string, problems: Problems): HeaderModifier {
  const fields = asObject(value);
  const values = (key: 'add' | 'set'): readonly HeaderValue[] =>
    asList(fields[key]).map((one, index) => {
      const { name, value: text } = asObject(one);
      return { name: headerName(name, `${field}.${key}[${index}].name`, problems), value: asText(text) ?? '' };
    });
  const remove = asList(fields['remove']).map((name, i) => headerName(name, `${field}.remove[${i}]`, problems));
  return { add: values('add'), set: values('set'), remove };
}

function headerName(value: unknown, field: string, problems: Problems): string {
  const name = asText(value) ?? '';
  if (!TOKEN.test(name)) problems.add(field, `"${name}" is not a header name`);
  return name.toLowerCase();
}

export function readRedirect(value: unknown, field: string, problems: Problems): Redirect {
  const fields = asObject(value);
  const scheme = asText(fields['scheme']);
  const host = asText(fields['hostname']);
  const port = asNumber(fields['port']);
  const status = asNumber(fields['statusCode']) ?? 302;
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    problems.add(`${field}.scheme`, `"${scheme}" is not http or https`);
  }
  if (![301, 302, 303, 307, 308].includes(status)) problems.add(`${field}.statusCode`, `${status} is no redirect`);
  if (host !== undefined && !NAME.test(host)) problems.add(`${field}.hostname`, `"${host}" is not a host name`);
  const path = readPathModifier(asObject(fields['path']), `${field}.path`, problems);
  return {
    ...((scheme === 'http' || scheme === 'https') && { scheme }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(path && { path }),
    status,
  };
}

export function readRewrite(value: unknown, field: string, problems: Problems): Rewrite {
  const fields = asObject(value);
  const host = asText(fields['hostname']);
  if (host !== undefined && !NAME.test(host)) problems.add(`${field}.hostname`, `"${host}" is not a host name`);
  const path = readPathModifier(asObject(fields['path']), `${field}.path`, problems);
  return { ...(host !== undefined && { host }), ...(path && { path }) };
}

function readPathModifier(fields: JsonObject, field: string, problems: Problems): PathModifier | undefined {
  const type = asText(fields['type']);
  if (type === undefined) return undefined;
  const pathOf = (key: string): string => {
    const path = asText(fields[key]) ?? '';
    if (path !== '' && !(path.startsWith('/') && isPlainPath(path))) {
      problems.add(`${field}.${key}`, `"${path}" is not a path that begins with / and has no dot segments`);
    }
    return path;
  };
  if (type === 'ReplaceFullPath') return { kind: 'full', path: pathOf('replaceFullPath') || '/' };
  if (type === 'ReplacePrefixMatch') return { kind: 'prefix', prefix: pathOf('replacePrefixMatch') };
  return problems.add(`${field}.type`, `"${type}" is not ReplaceFullPath or ReplacePrefixMatch`);
}

/** The share that `percent` or `fraction` of a RequestMirror name. @returns nothing: all requests */
export function readShare(fields: JsonObject, field: string, problems: Problems): Ratio | undefined {
  const { percent, fraction } = fields;
  if (percent !== undefined && fraction !== undefined) {
    return problems.add(`${field}.percent`, 'cannot be used together with fraction');
  }
  if (percent === undefined && fraction === undefined) return undefined;
  const { numerator, denominator } = percent === undefined ? asObject(fraction) : { numerator: percent };
  const name = percent === undefined ? 'fraction' : 'percent';
  const part = asNumber(numerator) ?? -1;
  const whole = denominator === undefined ? 100 : (asNumber(denominator) ?? 0);
  const isShare = Number.isInteger(part) && Number.isInteger(whole) && part >= 0 && part <= whole && whole > 0;
  if (!isShare || whole > SHARE_MAX) return problems.add(`${field}.${name}`, `${part} of ${whole} is no share`);
  return { numerator: part, denominator: whole };
}

/** Of an int32, as Gateway API has it. */
const SHARE_MAX = 2 ** 31 - 1;
