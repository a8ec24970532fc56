import type { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { Backend } from '#model/backend.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute, TlsRoute } from '#model/route.ts';
import { compileTcpRoute, compileTlsRoute } from '../dialects/connection-route.ts';
import { judgeEgressNetwork } from '../dialects/egress-network.ts';
import type { CompiledRoute, RouteContext } from '../dialects/gateway-api.ts';
import { outboundParents, POLICY_GROUP, type OutboundParent } from '../dialects/outbound-parents.ts';
import { serverParents, type ServerParent } from '../dialects/inbound-route.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import { judgeServerRoute, type ServerRouteObjects } from '../dialects/server-routes.ts';
import { compileGrpcRoute } from '../dialects/grpc-route.ts';
import { compileHttpRoute } from '../dialects/http-route.ts';
import { formatProblems } from '../dialects/problem.ts';
import type { EgressNetworks } from './egress-networks.ts';
import { isAttached, type RouteIndex } from './route-index.ts';
import type { Condition } from './status-writer.ts';

/** What a condition of a route says. Source: Gateway API, RouteConditionType. */
export type RouteCondition = Condition & { readonly type: 'Accepted' | 'ResolvedRefs' | 'PartiallyInvalid' };

/** What became of a route on one of its parents. */
export type ParentVerdict = { readonly parent: OutboundParent; readonly conditions: readonly RouteCondition[] };

export type StatusContext = {
  readonly services: ResourceStore<Service>;
  readonly routes: RouteIndex;
  readonly egress: EgressNetworks;
  readonly clusterDomain: string;
};

/** Judges a route for each Service and EgressNetwork that it names as parent; nothing for other parents. */
export function judgeRoute(object: CustomObject, context: StatusContext): readonly ParentVerdict[] {
  return outboundParents(object).map((parent) => {
    const compiled = readRoute(object, parent, context);
    const accepted = judgeParent(object, parent, compiled, context);
    const partial = accepted.status === 'True' ? partiallyInvalid(compiled) : [];
    return { parent, conditions: [accepted, judgeRefs(compiled), ...partial] };
  });
}

/** Judges a route for each Server that it names as parent. */
export function judgeRouteOnServers(
  object: CustomObject,
  objects: ServerRouteObjects,
  context: PolicyContext,
): readonly { readonly parent: ServerParent; readonly conditions: readonly RouteCondition[] }[] {
  // What a Server lets in goes to its own pods, whatever backends the route names.
  const message = 'what is let in goes to the pods of the Server';
  const resolved: RouteCondition = { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message };
  return serverParents(object).map((parent) => {
    const { isAccepted, reason, message: why } = judgeServerRoute(object, parent, objects, context);
    const status = isAccepted ? 'True' : 'False';
    return { parent, conditions: [{ type: 'Accepted', status, reason, message: why }, resolved] };
  });
}

/** A route as it is read for one of its parents. */
export function readRoute(
  object: CustomObject,
  { kind, namespace, name, port }: Pick<OutboundParent, 'kind' | 'namespace' | 'name' | 'port'>,
  { services, clusterDomain }: Pick<StatusContext, 'services' | 'clusterDomain'>,
): CompiledRoute<HttpRoute | GrpcRoute | OpaqueRoute | TlsRoute> {
  const group = kind === 'Service' ? 'core' : POLICY_GROUP;
  const ref = { type: 'resource', group, kind, name, namespace, ...(port !== undefined && { port }) } as const;
  // Where rules without backends lead, and what requests may ask for, does not matter here.
  const parent: Backend = { ref, target: { kind: 'none' } };
  const serviceOf = (inNamespace: string, service: string): Service | undefined => services.get(inNamespace, service);
  const context: RouteContext = { parent, clusterDomain, allowsRequestHeaders: false, serviceOf };
  switch (object.kind) {
    case 'GRPCRoute':
      return compileGrpcRoute(object, context);
    case 'TLSRoute':
      return compileTlsRoute(object, context);
    case 'TCPRoute':
      return compileTcpRoute(object, context);
    default:
      return compileHttpRoute(object, context);
  }
}

/** Kinds of routes, the one first that acts where there are several. Source: GEP-1294. */
const PRECEDENCE = ['GRPCRoute', 'HTTPRoute', 'TLSRoute', 'TCPRoute'];

/** In the order of what a user has to put right first. */
function judgeParent(
  object: CustomObject,
  parent: OutboundParent,
  { problems }: CompiledRoute<unknown>,
  context: StatusContext,
): RouteCondition {
  const { kind, namespace, name } = parent;
  const place = parent.kind === 'Service' ? portsOfService(parent, context) : portOfNetwork(parent, context);
  if (typeof place === 'string') return refused('NoMatchingParent', place);
  if (problems.length > 0) return refused('UnsupportedValue', formatProblems(problems));
  const isWinner = (other: CustomObject): boolean =>
    PRECEDENCE.indexOf(other.kind) < PRECEDENCE.indexOf(object.kind) &&
    other.namespace === object.namespace &&
    readRoute(other, parent, context).problems.length === 0;
  const winners = place.map((routesOfPort) => routesOfPort.find(isWinner));
  const [winner] = winners;
  // A route that acts on one port of several is in effect.
  if (winner !== undefined && !winners.includes(undefined)) {
    const by = `${winner.kind} ${winner.namespace}/${winner.name}`;
    return refused('RouteReasonConflicted', `${by} takes ${kind} ${namespace}/${name}`);
  }
  // Whether it has an effect there is said by the condition of that name.
  return { type: 'Accepted', status: 'True', reason: 'Accepted', message: `attached to ${kind} ${namespace}/${name}` };
}

/** The routes of each port of a Service that a parent is about, or why there are none. */
function portsOfService(
  parent: OutboundParent,
  { services, routes }: StatusContext,
): readonly (readonly CustomObject[])[] | string {
  const service = services.get(parent.namespace, parent.name);
  const name = `Service ${parent.namespace}/${parent.name}`;
  if (service === undefined) return `${name} not found`;
  if (service.clusterIps.length === 0) return `${name} has no cluster IP: routes act on requests to it`;
  const ports = service.ports.filter((port) => isAttached(parent, service, port));
  if (ports.length === 0) return `${name} has no port ${parent.port ?? `named "${parent.section}"`}`;
  return ports.map((port) => routes.attached(service, port));
}

function portOfNetwork(
  parent: OutboundParent,
  { egress, routes }: StatusContext,
): readonly (readonly CustomObject[])[] | string {
  if (parent.problem !== undefined) return formatProblems([parent.problem]);
  const object = egress.store.get(parent.namespace, parent.name);
  const name = `EgressNetwork ${parent.namespace}/${parent.name}`;
  if (object === undefined) return `${name} not found`;
  const { isAccepted, message } = judgeEgressNetwork(object, egress.settings.clusterNetworks);
  if (!isAccepted) return `${name} is not in effect: ${message}`;
  return parent.port === undefined ? [] : [routes.attachedToEgress(object, parent.port)];
}

function refused(reason: string, message: string): RouteCondition {
  return { type: 'Accepted', status: 'False', reason, message };
}

/** Source: Gateway API: only while it is true, beside Accepted, with a message that begins like this. */
function partiallyInvalid({ dropped = [] }: CompiledRoute<unknown>): readonly RouteCondition[] {
  const message = `Dropped Rule: ${formatProblems(dropped)}`;
  return dropped.length === 0
    ? []
    : [{ type: 'PartiallyInvalid', status: 'True', reason: 'UnsupportedValue', message }];
}

function judgeRefs({ refProblems }: CompiledRoute<unknown>): RouteCondition {
  const [first] = refProblems;
  if (first === undefined) {
    return { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'all backends can be used' };
  }
  return { type: 'ResolvedRefs', status: 'False', reason: first.reason, message: formatProblems(refProblems) };
}
