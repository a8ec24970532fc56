import { asList, asObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { isConnectionRoute, isRouteKind, isServerRouteKind } from '../../dialects/route-kinds.ts';
import { serverParents } from '../../dialects/inbound-route.ts';
import { outboundParents } from '../../dialects/outbound-parents.ts';
import { replacedLimits } from '../../dialects/replaced-limits.ts';
import type { RouteParent } from '../../policy/route-index.ts';
import { judgeRoute, judgeRouteOnServers, readRoute, type StatusContext } from '../../policy/route-status.ts';
import type { Code } from '../../diagnosis/codes.ts';
import { refusalsOf } from '../../diagnosis/own-problems.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { targetsOfParent, type Target } from '../targets.ts';

/** Reasons of the condition Accepted, as codes. */
const REFUSALS: Readonly<Record<string, Code>> = {
  NoMatchingParent: 'TL0102',
  RouteReasonConflicted: 'TL0104',
  NotHTTP: 'TL0102',
  NotGRPC: 'TL0102',
};

/** What becomes of routes: by the code that writes their status. */
export function routeFindings(configuration: Configuration): readonly Diagnosis[] {
  return configuration.custom
    .filter(isRouteKind)
    .flatMap((route) => [...parentFindings(route, configuration), ...ruleFindings(route, configuration)]);
}

function parentFindings(route: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const { policies, context } = configuration;
  const refused = refusalsOf(route, context.policy).map(({ field }) => field);
  const isToldAlready = (index: number): boolean => refused.some((at) => at.startsWith(`spec.parentRefs[${index}].`));
  const verdicts = judgeRoute(route, statusContext(configuration));
  const onServers = judgeRouteOnServers(route, policies, context.policy);
  const ofStatus = [...verdicts, ...onServers].flatMap(({ parent, conditions }) =>
    conditions.flatMap(({ reason, status, message }) => {
      const code = status === 'False' ? REFUSALS[reason] : undefined;
      return code === undefined || isToldAlready(parent.index)
        ? []
        : [diagnose(code, route, `spec.parentRefs[${parent.index}]`, message)];
    }),
  );
  const others = isServerRouteKind(route)
    ? []
    : asList(route.spec['parentRefs']).flatMap((value, index) => {
        if (asObject(value)['kind'] !== 'Server') return [];
        const message = `a Server lets in by routes of HTTP and gRPC alone, not by a ${route.kind}`;
        return [diagnose('TL0109', route, `spec.parentRefs[${index}]`, message)];
      });
  const accepted = verdicts.filter(({ conditions }) =>
    conditions.every(({ type, status }) => type !== 'Accepted' || status === 'True'),
  );
  const overruled = accepted.flatMap(({ parent }) =>
    targetsOfParent(configuration, parent, [route.namespace]).flatMap((target) => {
      const found = overruling(route, target, configuration);
      return found === undefined
        ? []
        : [diagnose(found.code, route, `spec.parentRefs[${parent.index}]`, found.message)];
    }),
  );
  return [...ofStatus, ...others, ...overruled];
}

/** Why a route that is accepted has no effect on a port, or one that its author did not want. */
function overruling(
  route: CustomObject,
  target: Target,
  configuration: Configuration,
): { readonly code: Code; readonly message: string } | undefined {
  const { parent, port, policy } = target;
  const { traffic } = configuration;
  const name = `${parent.kind} ${parent.namespace}/${parent.name}`;
  if (parent.kind === 'Service') {
    const { ref, routes, targets } = traffic.ofService(parent.namespace, parent.name, port, route.namespace);
    if (routes !== undefined || targets !== undefined) {
      const decider = ref?.type === 'resource' ? `${ref.kind} ${ref.namespace}/${ref.name}` : 'another object';
      return { code: 'TL0402', message: `${decider} decides about ${name}` };
    }
  }
  const { kind } = policy.protocol;
  if (kind === 'opaque' && route.kind !== 'TCPRoute') {
    return { code: 'TL0106', message: `port ${port} of ${name} is opaque` };
  }
  if ((kind === 'http1' || kind === 'http2') && isConnectionRoute(route)) {
    return { code: 'TL0110', message: `port ${port} of ${name} is declared ${kind === 'http1' ? 'HTTP/1' : 'HTTP/2'}` };
  }
  const sign = kind === 'tls' && route.kind === 'TLSRoute' ? signOfPlainText(target, configuration) : undefined;
  if (sign !== undefined) {
    const message = `port ${port} of ${name} seems to be used in plain text (${sign}), and the proxy resets such connections`;
    return { code: 'TL0116', message };
  }
  return undefined;
}

/** Names of ports that say what is spoken there in plain text. Source: Istio's and Linkerd's habit, `http-web`. */
const PLAIN_TEXT_NAME = /^(?:http|http2|h2c|grpc|grpc-web|ws|websocket)(?:-|$)/;

/** What says that clients of a port speak HTTP without TLS. */
function signOfPlainText({ parent, port }: Target, { services, routes }: Configuration): string | undefined {
  const service = parent.kind === 'Service' ? services.get(parent.namespace, parent.name) : undefined;
  const declared = service?.ports.find((one) => one.port === port);
  if (declared !== undefined && PLAIN_TEXT_NAME.test(declared.name)) return `its name is ${declared.name}`;
  const attached =
    service !== undefined && declared !== undefined
      ? routes.attached(service, declared)
      : routes.attachedToEgress(parent, port);
  const [other] = attached.filter((one) => !isConnectionRoute(one));
  return other && `${other.kind} ${other.namespace}/${other.name} is attached to it`;
}

function statusContext({ services, routes, egress, context }: Configuration): StatusContext {
  return { services, routes, egress, clusterDomain: context.clusterDomain };
}

function ruleFindings(route: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const parents = outboundParents(route);
  // Of routes of connections, and of those that only Servers have, the webhook's judgement says it all.
  if (serverParents(route).length > 0 && parents.length === 0) return [];
  const nobody = { kind: 'Service', namespace: route.namespace, name: '' } as const;
  return (parents.length > 0 ? parents : [nobody]).flatMap((parent) => {
    const { route: read, problems, dropped = [], refProblems } = readRoute(route, parent, statusContext(configuration));
    return [
      ...(isConnectionRoute(route) ? [] : problems).map(({ field, message }) =>
        diagnose('TL0101', route, annotationField(field), message),
      ),
      ...dropped.map(({ field, message }) => diagnose('TL0114', route, field, message)),
      ...refProblems.map(({ field, message }) => diagnose('TL0103', route, field, message)),
      ...weightless(route, read),
      ...(isConnectionRoute(route)
        ? []
        : replacedLimits(route, { ...parent, annotations: annotationsOf(parent, configuration) })
      ).map(({ field, message }) => diagnose('TL0308', route, field, message)),
    ];
  });
}

function annotationsOf(
  { kind, namespace, name }: RouteParent,
  { services, egress }: Configuration,
): Readonly<Record<string, string>> {
  const object = kind === 'Service' ? services.get(namespace, name) : egress.store.get(namespace, name);
  return object?.annotations ?? {};
}

function weightless(route: CustomObject, read: ReturnType<typeof readRoute>['route']): readonly Diagnosis[] {
  const rules = 'rules' in read ? read.rules : [{ index: 0, distribution: read.distribution }];
  return rules.flatMap(({ index = 0, distribution }) => {
    const rule = asObject(asList(route.spec['rules'])[index]);
    const isRedirected = asList(rule['filters']).some((filter) => asObject(filter)['type'] === 'RequestRedirect');
    const isEmpty = distribution.kind === 'empty' && !isRedirected;
    return isEmpty ? [diagnose('TL0107', route, `spec.rules[${index}].backendRefs`, 'every weight is 0')] : [];
  });
}

/** Problems of annotations have the name of the annotation. */
export function annotationField(field: string): string {
  return /^[a-z.]+\.linkerd\.io\//.test(field) ? `metadata.annotations[${field}]` : field;
}
