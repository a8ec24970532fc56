import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { serviceParents } from '../../dialects/gateway-api.ts';
import { serverParents } from '../../dialects/inbound-route.ts';
import { ROUTE_KINDS, isAttached } from '../../policy/route-index.ts';
import { judgeRoute, judgeRouteOnServers, readRoute } from '../../policy/route-status.ts';
import type { Code } from '../../diagnosis/codes.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { outboundOf } from '../outbound.ts';

/** Reasons of the condition Accepted, as codes. */
const REFUSALS: Readonly<Record<string, Code>> = {
  NoMatchingParent: 'TL0102',
  RouteReasonConflicted: 'TL0104',
  NotHTTP: 'TL0102',
  NotGRPC: 'TL0102',
};

export function isRoute(object: CustomObject): boolean {
  return ROUTE_KINDS.some(({ group, kind }) => group === object.group && kind === object.kind);
}

/** What becomes of routes: by the code that writes their status. */
export function routeFindings(configuration: Configuration): readonly Diagnosis[] {
  return configuration.custom
    .filter(isRoute)
    .flatMap((route) => [...parentFindings(route, configuration), ...ruleFindings(route, configuration)]);
}

function parentFindings(route: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const { services, routes, policies, traffic, context } = configuration;
  const { clusterDomain } = context;
  const verdicts = judgeRoute(route, { services, routes, clusterDomain });
  const onServers = judgeRouteOnServers(route, policies, context.policy);
  const ofStatus = [...verdicts, ...onServers].flatMap(({ parent, conditions }) =>
    conditions.flatMap(({ reason, status, message }) => {
      const code = status === 'False' ? REFUSALS[reason] : undefined;
      return code === undefined ? [] : [diagnose(code, route, `spec.parentRefs[${parent.index}]`, message)];
    }),
  );
  const others = asList(route.spec['parentRefs']).flatMap((value, index) => {
    const { kind, group } = asObject(value);
    const isKnown = kind === 'EgressNetwork';
    const message = `${String(kind)} of ${asText(group) ?? 'the core group'} as a parent has no effect in this version`;
    return isKnown ? [diagnose('TL0109', route, `spec.parentRefs[${index}]`, message)] : [];
  });
  const accepted = verdicts.filter(({ conditions }) =>
    conditions.every(({ type, status }) => type !== 'Accepted' || status === 'True'),
  );
  const overruled = accepted.flatMap(({ parent }) => {
    const service = services.get(parent.namespace, parent.name);
    const ports = service?.ports.filter((port) => isAttached(parent, service, port)) ?? [];
    const field = `spec.parentRefs[${parent.index}]`;
    const found = ports.flatMap(({ port }): readonly (readonly [Code, string])[] => {
      const { ref, routes: own, targets } = traffic.ofService(parent.namespace, parent.name, port, route.namespace);
      if (own !== undefined || targets !== undefined) {
        const name = ref?.type === 'resource' ? `${ref.kind} ${ref.namespace}/${ref.name}` : 'another object';
        return [['TL0402', `${name} decides about Service ${parent.namespace}/${parent.name}`]];
      }
      const policy = outboundOf(configuration, parent.namespace, parent.name, port, route.namespace);
      return policy?.protocol.kind === 'opaque'
        ? [['TL0106', `port ${port} of Service ${parent.namespace}/${parent.name} is opaque`]]
        : [];
    });
    return [
      ...new Map(
        found.map(([code, message]) => [`${code} ${message}`, diagnose(code, route, field, message)]),
      ).values(),
    ];
  });
  return [...ofStatus, ...others, ...overruled];
}

function ruleFindings(route: CustomObject, { services, routes, context }: Configuration): readonly Diagnosis[] {
  // Of routes that only Servers have, the webhook's judgement says it all.
  if (serverParents(route).length > 0 && serviceParents(route).length === 0) return [];
  const { clusterDomain } = context;
  const { route: read, problems, refProblems } = readRoute(route, { services, routes, clusterDomain });
  const weightless = read.rules.flatMap(({ index, distribution }) => {
    const rule = asObject(asList(route.spec['rules'])[index ?? 0]);
    const isRedirected = asList(rule['filters']).some((filter) => asObject(filter)['type'] === 'RequestRedirect');
    const isEmpty = distribution.kind === 'empty' && !isRedirected;
    return isEmpty ? [diagnose('TL0107', route, `spec.rules[${index}].backendRefs`, 'every weight is 0')] : [];
  });
  return [
    ...problems.map(({ field, message }) => diagnose('TL0101', route, annotationField(field), message)),
    ...refProblems.map(({ field, message }) => diagnose('TL0103', route, field, message)),
    ...weightless,
  ];
}

/** Problems of annotations have the name of the annotation. */
export function annotationField(field: string): string {
  return /^[a-z.]+\.linkerd\.io\//.test(field) ? `metadata.annotations[${field}]` : field;
}

/** Namespaces from which a Service is looked at differently: its own, and those with routes for it. */
export function clientNamespaces(configuration: Configuration, namespace: string, name: string): readonly string[] {
  const attached = [...configuration.routes.ofService(`${namespace}/${name}`)];
  const consumers = attached.filter((route) => serviceParents(route).length > 0).map((route) => route.namespace);
  return [...new Set([namespace, ...consumers])];
}
