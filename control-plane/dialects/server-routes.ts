import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { readServerRoute, serverParents, type ServerParent } from './inbound-route.ts';
import type { PolicyContext, ServerProtocol } from './linkerd-policy.ts';
import { readServer } from './linkerd-policy.ts';
import { byAge } from './precedence.ts';
import { formatProblems } from './problem.ts';

/** What becomes of a route on a Server. `reason` is that of its condition Accepted. */
export type ServerRouteVerdict = {
  readonly isAccepted: boolean;
  readonly reason:
    | 'Accepted'
    | 'NoMatchingParent'
    | 'UnsupportedValue'
    | 'RouteReasonConflicted'
    | 'NotHTTP'
    | 'NotGRPC';
  readonly message: string;
};

/** Where a verdict about a route looks: routes that name Servers, and Servers. */
export type ServerRouteObjects = {
  readonly routes: (namespace: string) => readonly CustomObject[];
  readonly get: (kind: 'Server', namespace: string, name: string) => CustomObject | undefined;
};

/** Judges a route for one Server that it names, in the order of what a user has to put right first. */
export function judgeServerRoute(
  object: CustomObject,
  parent: ServerParent,
  objects: ServerRouteObjects,
  context: PolicyContext,
): ServerRouteVerdict {
  const { namespace } = object;
  const name = `${namespace}/${parent.name}`;
  if (parent.problem !== undefined) return refused('NoMatchingParent', formatProblems([parent.problem]));
  const server = objects.get('Server', namespace, parent.name);
  if (server === undefined) return refused('NoMatchingParent', `Server ${name} does not exist`);
  const protocol = readServer(server, context).value?.protocol;
  if (protocol === undefined) return refused('NoMatchingParent', `Server ${name} is not valid`);
  const { kind, problems } = readServerRoute(object);
  if (problems.length > 0) return refused('UnsupportedValue', formatProblems(problems));
  if (protocol === 'opaque' || protocol === 'tls')
    return refused('NotHTTP', `Server ${name} carries no HTTP that has routes: its proxyProtocol is ${protocol}`);
  if (kind === 'grpc' && protocol !== 'grpc')
    return refused('NotGRPC', `Server ${name} does not declare gRPC: set its spec.proxyProtocol to gRPC`);
  const winner = kind === 'http' && protocol === 'grpc' ? grpcRouteOf(server, objects) : undefined;
  if (winner !== undefined)
    return refused('RouteReasonConflicted', `GRPCRoute ${namespace}/${winner.name} takes Server ${name}`);
  return { isAccepted: true, reason: 'Accepted', message: `attached to Server ${name}` };
}

function refused(reason: ServerRouteVerdict['reason'], message: string): ServerRouteVerdict {
  return { isAccepted: false, reason, message };
}

/** A GRPCRoute that can be used, of a Server that declares gRPC. */
export function grpcRouteOf(server: CustomObject, objects: ServerRouteObjects): CustomObject | undefined {
  return objects
    .routes(server.namespace)
    .filter((route) => route.kind === 'GRPCRoute' && isUsableParent(route, server.name))
    .toSorted(byAge)
    .find((route) => readServerRoute(route).problems.length === 0);
}

function isUsableParent(route: CustomObject, server: string): boolean {
  return serverParents(route).some(({ name, problem }) => name === server && problem === undefined);
}

/** The routes that are in effect on a Server, the oldest first. They are of one kind. */
export function routesOfServer(
  server: CustomObject,
  protocol: ServerProtocol,
  objects: ServerRouteObjects,
): readonly CustomObject[] {
  if (protocol === 'opaque' || protocol === 'tls') return [];
  const kind = protocol === 'grpc' && grpcRouteOf(server, objects) !== undefined ? 'GRPCRoute' : 'HTTPRoute';
  return objects
    .routes(server.namespace)
    .filter((route) => route.kind === kind && isUsableParent(route, server.name))
    .filter((route) => readServerRoute(route).problems.length === 0)
    .toSorted(byAge);
}
