/** What a route asks of a request. Source: linkerd2-proxy-api `http_route.HttpRouteMatch`, Gateway API HTTPRouteMatch. */
export type HttpMatch = {
  readonly path?: PathMatch;
  readonly headers: readonly HeaderMatch[]; // all must hold
  readonly queryParams: readonly QueryParamMatch[]; // all must hold
  readonly method?: string; // upper case
};

export type PathMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string } // whole segments: /a matches /a/b, not /ab
  | { readonly kind: 'regex'; readonly pattern: string }; // the whole path

export type HeaderMatch = {
  readonly name: string; // lower case
  readonly value:
    | { readonly kind: 'exact'; readonly value: string }
    | { readonly kind: 'regex'; readonly pattern: string };
};

export type QueryParamMatch = {
  readonly name: string;
  readonly value:
    | { readonly kind: 'exact'; readonly value: string }
    | { readonly kind: 'regex'; readonly pattern: string };
};

/** A host name, or every name below a domain: suffix [com, example] is `*.example.com`. */
export type HostMatch =
  | { readonly kind: 'exact'; readonly host: string }
  | { readonly kind: 'suffix'; readonly reverseLabels: readonly string[] };

/** The parts of a request that routes look at. */
export type RequestHead = {
  readonly method: string; // upper case
  readonly path: string; // without query
  readonly query: string; // without `?`
  readonly host: string; // lower case, without port
  readonly header: (name: string) => string | undefined; // name in lower case
  /** Whether a regular expression matches the whole of a text. */
  readonly matchesPattern: MatchesPattern;
};

export type MatchesPattern = (pattern: string, text: string) => boolean;

/**
 * @returns how specific the best match is: characters of the path, headers, query parameters, method, compared in this
 *   order; nothing when no match holds. No matches at all match everything.
 */
export function bestMatch(matches: readonly HttpMatch[], request: RequestHead): readonly number[] | undefined {
  if (matches.length === 0) return [0, 0, 0, 0];
  let best: readonly number[] | undefined;
  for (const match of matches) {
    const score = scoreMatch(match, request);
    if (score !== undefined && (best === undefined || compareSpecificity(score, best) > 0)) best = score;
  }
  return best;
}

/**
 * What a gRPC route asks of a request. Specificity: length of the service, then of the method, then number of headers.
 * Source: linkerd2-proxy-api `grpc_route.GrpcRouteMatch`.
 */
export type GrpcMatch = {
  readonly service?: string; // absent: any
  readonly method?: string;
  readonly headers: readonly HeaderMatch[]; // all must hold
};

/** As `bestMatch`, for calls of gRPC; anything else matches nothing. */
export function bestGrpcMatch(matches: readonly GrpcMatch[], request: RequestHead): readonly number[] | undefined {
  const [, service, method, more] = request.path.split('/');
  if (request.method !== 'POST' || service === undefined || method === undefined || more !== undefined)
    return undefined;
  if (matches.length === 0) return [0, 0, 0];
  let best: readonly number[] | undefined;
  for (const match of matches) {
    if (match.service !== undefined && match.service !== service) continue;
    if (match.method !== undefined && match.method !== method) continue;
    const { headers } = match;
    if (bestMatch([{ headers, queryParams: [] }], request) === undefined) continue;
    const score = [match.service?.length ?? 0, match.method?.length ?? 0, headers.length];
    if (best === undefined || compareSpecificity(score, best) > 0) best = score;
  }
  return best;
}

function scoreMatch(match: HttpMatch, request: RequestHead): readonly number[] | undefined {
  if (match.method !== undefined && match.method !== request.method) return undefined;
  const pathScore = match.path === undefined ? 0 : scorePath(match.path, request);
  if (pathScore === undefined) return undefined;
  for (const { name, value } of match.headers) {
    const actual = request.header(name);
    if (actual === undefined || !matchesText(value, actual, request.matchesPattern)) return undefined;
  }
  if (match.queryParams.length > 0) {
    const params = new URLSearchParams(request.query);
    for (const { name, value } of match.queryParams) {
      const actual = params.get(name);
      if (actual === null || !matchesText(value, actual, request.matchesPattern)) return undefined;
    }
  }
  return [pathScore, match.headers.length, match.queryParams.length, match.method === undefined ? 0 : 1];
}

/** @returns the number of characters of the path that the match covers */
function scorePath(match: PathMatch, { path, matchesPattern }: RequestHead): number | undefined {
  switch (match.kind) {
    case 'exact':
      return match.value === path ? path.length : undefined;
    case 'prefix':
      return isPathPrefix(match.value, path) ? match.value.length : undefined;
    case 'regex':
      return matchesPattern(match.pattern, path) ? path.length : undefined;
  }
}

function isPathPrefix(prefix: string, path: string): boolean {
  if (!path.startsWith(prefix)) return false;
  return prefix.endsWith('/') || path.length === prefix.length || path[prefix.length] === '/';
}

function matchesText(expected: HeaderMatch['value'], actual: string, matchesPattern: MatchesPattern): boolean {
  return expected.kind === 'exact' ? expected.value === actual : matchesPattern(expected.pattern, actual);
}

/** @returns how specific the best host is: 0 when any host will do, nothing when no host holds */
export function bestHost(hosts: readonly HostMatch[], host: string): number | undefined {
  if (hosts.length === 0) return 0;
  let best: number | undefined;
  for (const match of hosts) {
    const score = scoreHost(match, host);
    if (score !== undefined && (best === undefined || score > best)) best = score;
  }
  return best;
}

/** An exact host is more specific than any suffix: names have at most 127 labels. */
const EXACT_HOST_SCORE = 1000;

function scoreHost(match: HostMatch, host: string): number | undefined {
  if (match.kind === 'exact') return match.host === host ? EXACT_HOST_SCORE : undefined;
  const labels = host.split('.').reverse();
  const isBelow =
    labels.length > match.reverseLabels.length && match.reverseLabels.every((label, i) => label === labels[i]);
  return isBelow ? 1 + match.reverseLabels.length : undefined;
}

/** @returns more than 0 when `a` is more specific */
export function compareSpecificity(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < a.length; index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** A rule as requests are compared with it. @see compareSpecificity */
export type Scored = { readonly score: (request: RequestHead) => readonly number[] | undefined };

/** @returns the rule that matches most specifically, the first of equals; nothing when none matches */
export function mostSpecific<R extends Scored>(rules: readonly R[], request: RequestHead): R | undefined {
  let best: R | undefined;
  let bestScore: readonly number[] | undefined;
  for (const rule of rules) {
    const score = rule.score(request);
    if (score !== undefined && (bestScore === undefined || compareSpecificity(score, bestScore) > 0)) {
      best = rule;
      bestScore = score;
    }
  }
  return best;
}

/** How specific a rule of a route is for a request: its host first. @param match  of the rule; absent: it does not match */
export function withHost(
  hosts: readonly HostMatch[],
  request: RequestHead,
  match: readonly number[] | undefined,
): readonly number[] | undefined {
  if (match === undefined) return undefined;
  // Only now: reading the host of a request costs more than a match that fails.
  const score = bestHost(hosts, request.host);
  return score === undefined ? undefined : [score, ...match];
}

/** @returns what has the most specific name for a host, the first of equals; nothing when none has */
export function mostSpecificHost<R>(
  candidates: readonly R[],
  hostsOf: (candidate: R) => readonly HostMatch[],
  host: string,
): R | undefined {
  let best: { readonly candidate: R; readonly score: number } | undefined;
  for (const candidate of candidates) {
    const score = bestHost(hostsOf(candidate), host);
    if (score !== undefined && (best === undefined || score > best.score)) best = { candidate, score };
  }
  return best?.candidate;
}

/** What a redirect replaces of a path: the prefix of the only match that has one. */
export function prefixOf(matches: readonly HttpMatch[]): string {
  const prefixes = matches.flatMap(({ path }) => (path?.kind === 'prefix' ? [path.value] : []));
  return prefixes.length === 1 ? (prefixes[0] as string) : '/';
}
