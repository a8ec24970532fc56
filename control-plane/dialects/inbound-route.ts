import { asList, asNumber, asObject, asText, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { InboundFilter, InboundGrpcFilter, InboundGrpcRoute, InboundRoute } from '#model/inbound.ts';
import { routeRef } from './gateway-api.ts';
import { readGrpcMatch } from './grpc-route.ts';
import { checkRewrite, EVERYTHING } from './http-route.ts';
import { isReadFrom } from './known-annotations.ts';
import { Problems, type Problem } from './problem.ts';
import { isServerRouteKind } from './route-kinds.ts';
import { readHosts, readHttpMatch, readModifier, readRedirect } from './route-parts.ts';

/** A Server that a route names as its parent; it is in the route's own namespace. */
export type ServerParent = {
  readonly index: number; // in spec.parentRefs
  readonly name: string;
  readonly problem?: Problem; // why it can never be a parent
};

/** What a route means for requests that a Server gets, whoever may send them. */
export type ServerRoute =
  | { readonly kind: 'http'; readonly route: Unauthorized<InboundRoute>; readonly problems: readonly Problem[] }
  | { readonly kind: 'grpc'; readonly route: Unauthorized<InboundGrpcRoute>; readonly problems: readonly Problem[] };
type Unauthorized<R extends InboundRoute | InboundGrpcRoute> = Omit<R, 'authorizations'>;

const POLICY_GROUP = 'policy.linkerd.io';

/** Parents of a route that are Servers. Source: linkerd2 `policy-controller`, inbound route bindings. */
export function serverParents(object: CustomObject): readonly ServerParent[] {
  if (!isServerRouteKind(object)) return [];
  return asList(object.spec['parentRefs']).flatMap((value, index) => {
    const fields = asObject(value);
    // What is left out is of the route's own group, and a Gateway.
    const group = asText(fields['group']) ?? object.group;
    const name = asText(fields['name']);
    if (group !== POLICY_GROUP || fields['kind'] !== 'Server' || name === undefined) return [];
    const problem = parentProblem(fields, `spec.parentRefs[${index}]`, object.namespace);
    return [{ index, name, ...(problem && { problem }) }];
  });
}

function parentProblem(fields: JsonObject, field: string, own: string): Problem | undefined {
  const namespace = asText(fields['namespace']) ?? own;
  if (namespace !== own)
    return { field: `${field}.namespace`, message: `a Server is in the route's own namespace, "${own}"` };
  if (asNumber(fields['port']) !== undefined)
    return { field: `${field}.port`, message: 'a Server is of one port already: leave port out' };
  if ((asText(fields['sectionName']) ?? '') !== '')
    return { field: `${field}.sectionName`, message: 'a Server has no sections: leave sectionName out' };
  return undefined;
}

/** Reads what a route says to Servers: hosts, matches, and the filters that proxies know on this side. */
export function readServerRoute(object: CustomObject): ServerRoute {
  // Judging and compiling the routes of a Server asks for each of them again and again.
  const known = READ.get(object);
  if (known !== undefined) return known;
  const read = readOnce(object);
  READ.set(object, read);
  return read;
}

/** Objects are never changed, so what one says is read once; as many as there are objects. */
const READ = new WeakMap<CustomObject, ServerRoute>();

function readOnce(object: CustomObject): ServerRoute {
  const problems = new Problems();
  const head = { ref: routeRef(object), hosts: readHosts(object.spec['hostnames'], 'spec.hostnames', problems) };
  const rules = asList(object.spec['rules'] ?? [{}]).map((value, index) => {
    const rule = asObject(value);
    return { index, rule, field: `spec.rules[${index}]`, matches: asList(rule['matches']).map(asObject) };
  });
  if (object.kind === 'GRPCRoute') {
    const read = rules.map(({ index, rule, field, matches }) => ({
      index,
      matches: (matches.length > 0 ? matches : [{}]).map((match, nth) =>
        readGrpcMatch(match, `${field}.matches[${nth}]`, problems),
      ),
      ...readFilters(rule, field, (fields, at) => readGrpcFilter(fields, at, problems)),
    }));
    return { kind: 'grpc', route: { ...head, rules: read }, problems: problems.found };
  }
  const read = rules.map(({ index, rule, field, matches }) => {
    const filters = readFilters(rule, field, (fields, at) => readHttpFilter(fields, at, problems));
    checkRewrite(filters.filters ?? [], rule, `${field}.filters`, problems);
    return {
      index,
      matches: (matches.length > 0 ? matches : EVERYTHING).map((match, nth) =>
        readHttpMatch(match, `${field}.matches[${nth}]`, problems),
      ),
      ...filters,
    };
  });
  return { kind: 'http', route: { ...head, rules: read }, problems: problems.found };
}

function readFilters<F>(
  rule: JsonObject,
  field: string,
  read: (fields: JsonObject, field: string) => F | undefined,
): { readonly filters?: readonly F[] } {
  const filters = asList(rule['filters']).flatMap((one, nth) => read(asObject(one), `${field}.filters[${nth}]`) ?? []);
  return filters.length > 0 ? { filters } : {};
}

function readHttpFilter(fields: JsonObject, field: string, problems: Problems): InboundFilter | undefined {
  if (fields['type'] !== 'RequestRedirect') return readGrpcFilter(fields, field, problems);
  return { kind: 'redirect', ...readRedirect(fields['requestRedirect'], `${field}.requestRedirect`, problems) };
}

function readGrpcFilter(
  fields: JsonObject,
  field: string,
  problems: Problems,
): Extract<InboundGrpcFilter, { readonly kind: 'request-headers' }> | undefined {
  const type = asText(fields['type']) ?? '';
  const name = 'requestHeaderModifier';
  if (type === 'RequestHeaderModifier')
    return { kind: 'request-headers', ...readModifier(fields[name], `${field}.${name}`, problems) };
  return problems.add(`${field}.type`, `filters of type "${type}" do not act on routes of Servers`);
}

function isForServersOnly(object: CustomObject, parents: readonly ServerParent[]): boolean {
  return parents.length > 0 && parents.length === asList(object.spec['parentRefs']).length;
}

/**
 * What can never work in a route all of whose parents are Servers; nothing for others, which their other parents judge by their
 * status.
 */
export function serverRouteProblems(object: CustomObject): readonly Problem[] {
  const parents = serverParents(object);
  if (!isForServersOnly(object, parents)) return [];
  return [...parents.flatMap(({ problem }) => problem ?? []), ...readServerRoute(object).problems];
}

/** Fields of a route all of whose parents are Servers that say something only to clients. */
export function fieldsWithoutServer(object: CustomObject): readonly string[] {
  if (!isForServersOnly(object, serverParents(object))) return [];
  const annotations = Object.keys(object.annotations).filter((name) => isReadFrom(name, object.kind));
  const ofRules = asList(object.spec['rules']).flatMap((value, index) => {
    const rule = asObject(value);
    const isGiven = (name: string): boolean => asList(rule[name]).length + Object.keys(asObject(rule[name])).length > 0;
    return ['backendRefs', 'timeouts', 'retry', 'sessionPersistence']
      .filter(isGiven)
      .map((name) => `spec.rules[${index}].${name}`);
  });
  return [...annotations.map((name) => `metadata.annotations[${name}]`), ...ofRules];
}
