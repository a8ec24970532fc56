import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Authorization } from '#model/authorization.ts';
import type { InboundGrpcRoute, InboundRoute } from '#model/inbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { readServerRoute } from './inbound-route.ts';
import { selects } from './label-selector.ts';
import { readServer, type PolicyContext, type ServerPolicy } from './linkerd-policy.ts';
import { refOf, remember, type PolicyObjects } from './policy-objects.ts';
import { byAge, exactFirst } from './precedence.ts';
import { authorizationsOf, grantsOf, targetKey } from './server-authorizations.ts';
import { rateLimitPolicies } from './server-rate-limits.ts';
import { routesOfServer } from './server-routes.ts';
import type { Workload } from './workload.ts';

/** What requests a Server knows, in the order in which equal ones win; of one kind. */
export type RoutesOfServer =
  | { readonly kind: 'http'; readonly routes: readonly InboundRoute[] }
  | { readonly kind: 'grpc'; readonly routes: readonly InboundGrpcRoute[] };

/** The Server of a port of a pod, and whom the objects about it let in. */
export type SelectedServer = {
  readonly ref: ResourceRef;
  readonly policy: ServerPolicy;
  readonly authorizations: readonly Authorization[];
  readonly routes?: RoutesOfServer; // absent: none, every request counts alike
  readonly rateLimit?: RateLimit;
};

/**
 * Finds the Server for a port. When several select it the oldest counts, then the first by name. An object that is wrong or
 * points at something that is not there grants nothing.
 *
 * @returns nothing when no Server selects the port
 */
export function selectServer(
  workload: Workload,
  port: number,
  objects: PolicyObjects,
  context: PolicyContext,
): SelectedServer | undefined {
  for (const { server, policy } of readServers(workload.namespace, objects, context)) {
    if (selectsPort(policy, workload, port)) return describeServer(server, policy, objects, context);
  }
  return undefined;
}

/** What a Server is for all workloads that it selects. */
export function describeServer(
  server: CustomObject,
  policy: ServerPolicy,
  objects: PolicyObjects,
  context: PolicyContext,
): SelectedServer {
  return remember(objects, server.namespace, `Server ${server.name}`, () => {
    const limiting = rateLimitPolicies(server, objects, context)[0];
    const routes = readRoutes(server, policy, objects, context);
    return {
      ref: refOf('Server', server),
      policy,
      authorizations: authorizationsOf(server, objects, context),
      ...(routes && { routes }),
      ...(limiting && { rateLimit: limiting.limit }),
    };
  });
}

/** The Servers of a namespace that can be used, in the order in which they count. */
export function readServers(
  namespace: string,
  objects: Pick<PolicyObjects, 'list' | 'memo'>,
  context: PolicyContext,
): readonly { readonly server: CustomObject; readonly policy: ServerPolicy }[] {
  return remember(objects, namespace, 'Servers', () => {
    const servers = objects.list('Server', namespace).toSorted(byAge);
    return servers.flatMap((server) => {
      const policy = readServer(server, context).value;
      return policy === undefined ? [] : [{ server, policy }];
    });
  });
}

/** Routes of a Server, each with the policies that name it. */
function readRoutes(
  server: CustomObject,
  { protocol }: ServerPolicy,
  objects: PolicyObjects,
  context: PolicyContext,
): RoutesOfServer | undefined {
  const http: InboundRoute[] = [];
  const grpc: InboundGrpcRoute[] = [];
  for (const object of routesOfServer(server, protocol, objects)) {
    const authorizations = grantsOf(object.namespace, [targetKey(object)], objects, context);
    const read = readServerRoute(object);
    if (read.kind === 'http') http.push({ ...read.route, authorizations });
    else grpc.push({ ...read.route, authorizations });
  }
  if (grpc.length > 0) return { kind: 'grpc', routes: grpc };
  return http.length > 0 ? { kind: 'http', routes: exactFirst(http) } : undefined;
}

/** Whether a Server is about a port of a workload. */
export function selectsPort(policy: ServerPolicy, workload: Workload, port: number): boolean {
  if (policy.isExternal !== workload.isExternal) return false;
  if (!selects(policy.selector, workload.labels)) return false;
  return policy.port === port || workload.ports.some((named) => named.name === policy.port && named.port === port);
}
