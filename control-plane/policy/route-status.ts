import type { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { Backend } from '#model/backend.ts';
import type { GrpcRoute, HttpRoute } from '#model/route.ts';
import type { CompiledRoute, RouteContext, ServiceParent } from '../dialects/gateway-api.ts';
import { serviceParents } from '../dialects/gateway-api.ts';
import { serverParents, type ServerParent } from '../dialects/inbound-route.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import { judgeServerRoute, type ServerRouteObjects } from '../dialects/server-routes.ts';
import { compileGrpcRoute } from '../dialects/grpc-route.ts';
import { compileHttpRoute } from '../dialects/http-route.ts';
import { formatProblems } from '../dialects/problem.ts';
import { isAttached, type RouteIndex } from './route-index.ts';
import type { Condition } from './status-writer.ts';

/** What a condition of a route says. Source: Gateway API, RouteConditionType. */
export type RouteCondition = Condition & { readonly type: 'Accepted' | 'ResolvedRefs' };

/** What became of a route on one of its parents. */
export type ParentVerdict = { readonly parent: ServiceParent; readonly conditions: readonly RouteCondition[] };

export type StatusContext = {
  readonly services: ResourceStore<Service>;
  readonly routes: RouteIndex;
  readonly clusterDomain: string;
};

/** Judges a route for each Service that it names as parent; nothing for other parents. */
export function judgeRoute(object: CustomObject, context: StatusContext): readonly ParentVerdict[] {
  const parents = serviceParents(object);
  if (parents.length === 0) return [];
  const compiled = readRoute(object, context);
  const resolved = judgeRefs(compiled);
  return parents.map((parent) => ({ parent, conditions: [judgeParent(object, parent, compiled, context), resolved] }));
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

/** A route as it is read for whatever parent it has. */
export function readRoute(
  object: CustomObject,
  { services, clusterDomain }: StatusContext,
): CompiledRoute<HttpRoute | GrpcRoute> {
  // What becomes of rules without backends, and what requests may ask for, does not matter here.
  const parent: Backend = { ref: { type: 'default', name: 'parent' }, target: { kind: 'none' } };
  const serviceOf = (namespace: string, name: string): Service | undefined => services.get(namespace, name);
  const context: RouteContext = { parent, clusterDomain, allowsRequestHeaders: false, serviceOf };
  return object.kind === 'GRPCRoute' ? compileGrpcRoute(object, context) : compileHttpRoute(object, context);
}

/** In the order of what a user has to put right first. */
function judgeParent(
  object: CustomObject,
  parent: ServiceParent,
  { problems }: CompiledRoute<unknown>,
  context: StatusContext,
): RouteCondition {
  const { services, routes } = context;
  const name = `${parent.namespace}/${parent.name}`;
  const service = services.get(parent.namespace, parent.name);
  if (service === undefined) return refused('NoMatchingParent', `Service ${name} not found`);
  if (service.clusterIps.length === 0) {
    return refused('NoMatchingParent', `Service ${name} has no cluster IP: routes act on requests to it`);
  }
  const ports = service.ports.filter((port) => isAttached(parent, service, port));
  if (ports.length === 0) {
    return refused('NoMatchingParent', `Service ${name} has no port ${parent.port ?? `named "${parent.section}"`}`);
  }
  if (problems.length > 0) return refused('UnsupportedValue', formatProblems(problems));
  const isWinner = (other: CustomObject): boolean =>
    object.kind === 'HTTPRoute' &&
    other.kind === 'GRPCRoute' &&
    other.namespace === object.namespace &&
    readRoute(other, context).problems.length === 0;
  const winner = ports.flatMap((port) => routes.attached(service, port)).find(isWinner);
  if (winner !== undefined) {
    return refused('RouteReasonConflicted', `GRPCRoute ${winner.namespace}/${winner.name} takes Service ${name}`);
  }
  return { type: 'Accepted', status: 'True', reason: 'Accepted', message: `in effect on Service ${name}` };
}

function refused(reason: string, message: string): RouteCondition {
  return { type: 'Accepted', status: 'False', reason, message };
}

function judgeRefs({ refProblems }: CompiledRoute<unknown>): RouteCondition {
  const [first] = refProblems;
  if (first === undefined) {
    return { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'all backends can be used' };
  }
  return { type: 'ResolvedRefs', status: 'False', reason: first.reason, message: formatProblems(refProblems) };
}
