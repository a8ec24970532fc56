import { asList, asObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { parseAddress } from '#model/address.ts';
import type { OpaqueFilter } from '#model/filter.ts';
import type { OpaqueRoute, TlsRoute } from '#model/route.ts';
import { readBackends, routeRef, type CompiledRoute, type RouteContext, type RouteProblems } from './gateway-api.ts';
import { Problems, type Problem } from './problem.ts';
import { isConnectionRoute } from './route-kinds.ts';
import { readHosts } from './route-parts.ts';

/** Reads a TCPRoute: where the bytes of connections go. */
export function compileTcpRoute(object: CustomObject, context: RouteContext): CompiledRoute<OpaqueRoute> {
  const problems: RouteProblems = { fatal: new Problems(), refs: [] };
  const route = readOnlyRule(object, context, problems);
  return { route, problems: problems.fatal.found, refProblems: problems.refs };
}

/** Reads a TLSRoute: where connections go by the server name that the client shows (SNI). */
export function compileTlsRoute(object: CustomObject, context: RouteContext): CompiledRoute<TlsRoute> {
  const problems: RouteProblems = { fatal: new Problems(), refs: [] };
  const serverNames = readHosts(object.spec['hostnames'], 'spec.hostnames', problems.fatal);
  for (const [index, name] of serverNames.entries()) {
    if (name.kind === 'exact' && parseAddress(name.host) !== undefined)
      problems.fatal.add(`spec.hostnames[${index}]`, `"${name.host}" is an address, which TLS never shows as a name`);
  }
  const route = { ...readOnlyRule(object, context, problems), serverNames };
  return { route, problems: problems.fatal.found, refProblems: problems.refs };
}

/** What can never work in a TLSRoute or a TCPRoute; nothing for others. */
export function connectionRouteProblems(object: CustomObject): readonly Problem[] {
  if (!isConnectionRoute(object)) return [];
  const parent = { ref: { type: 'default', name: 'parent' }, target: { kind: 'none' } } as const;
  const context = { parent, clusterDomain: '', allowsRequestHeaders: false, serviceOf: () => undefined };
  return (object.kind === 'TLSRoute' ? compileTlsRoute : compileTcpRoute)(object, context).problems;
}

/** Gateway API gives such routes exactly one rule, without matches and filters. */
function readOnlyRule(object: CustomObject, context: RouteContext, problems: RouteProblems): OpaqueRoute {
  const rules = asList(object.spec['rules']);
  if (rules.length !== 1) {
    problems.fatal.add('spec.rules', `has ${rules.length} rules: a ${object.kind} has exactly one`);
  }
  const invalid = (message: string): OpaqueFilter => ({ kind: 'invalid', message });
  const read = { filters: () => [], failure: invalid };
  const distribution = readBackends(asObject(rules[0]), 'spec.rules[0]', object, context, problems, read);
  return { ref: routeRef(object), filters: [], distribution };
}
