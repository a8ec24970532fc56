import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { networkMatches, type Authentication, type Authorization, type NetworkMatch } from '#model/authorization.ts';
import type { InboundGrpcRoute, InboundRoute } from '#model/inbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { formatProblems, type Problem } from './problem.ts';
import { readServerRoute } from './inbound-route.ts';
import { selects } from './label-selector.ts';
import {
  isRouteTarget,
  qualified,
  readAuthorizationPolicy,
  readMeshTlsAuthentication,
  readNetworkAuthentication,
  readServer,
  readServerAuthorization,
  type AuthorizationPolicy,
  type IdentityMatch,
  type ObjectRef,
  type PolicyContext,
  type ServerAuthorization,
  type ServerPolicy,
} from './linkerd-policy.ts';
import { byAge, exactFirst } from './precedence.ts';
import { readRateLimitPolicy } from './rate-limit-policy.ts';
import { grpcRouteOf, routesOfServer } from './server-routes.ts';
import type { Workload } from './workload.ts';

/** Kinds that say who may talk to a pod, and how often. */
export const POLICY_KINDS = [
  'Server',
  'ServerAuthorization',
  'AuthorizationPolicy',
  'MeshTLSAuthentication',
  'NetworkAuthentication',
  'HTTPLocalRateLimitPolicy',
] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** All objects of one namespace, and how to look into others. */
export type PolicyObjects = {
  readonly list: (kind: PolicyKind, namespace: string) => readonly CustomObject[];
  readonly get: (kind: PolicyKind, namespace: string, name: string) => CustomObject | undefined;
  /** Routes of a namespace that name Servers as parents. */
  readonly routes: (namespace: string) => readonly CustomObject[];
  /**
   * What was computed from the objects of a namespace, and those they refer to, until one of them changes; absent: computed each
   * time. Every caller has to bring the same `PolicyContext`.
   */
  readonly memo?: <T>(namespace: string, key: string, compute: () => T) => T;
};

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

/** Something that an object says and that has no effect. */
export type PolicyFinding = { readonly object: ResourceRef; readonly field: string; readonly message: string };

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

/** The same for all workloads that a Server selects. */
function describeServer(
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

function remember<T>(objects: Pick<PolicyObjects, 'memo'>, namespace: string, key: string, compute: () => T): T {
  return objects.memo === undefined ? compute() : objects.memo(namespace, key, compute);
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

/** The policies that can be used and are about a Server, the one that counts first. */
function rateLimitPolicies(
  server: { readonly namespace: string; readonly name: string },
  objects: PolicyObjects,
  context: PolicyContext,
): readonly { readonly object: CustomObject; readonly limit: RateLimit }[] {
  return objects
    .list('HTTPLocalRateLimitPolicy', server.namespace)
    .toSorted(byAge)
    .flatMap((object) => {
      const read = readRateLimitPolicy(object, context).value;
      return read?.serverName === server.name ? [{ object, limit: read.limit }] : [];
    });
}

/** What becomes of an HTTPLocalRateLimitPolicy. `reason` is that of its condition Accepted. Source: linkerd2 `policy-controller`. */
export type RateLimitVerdict = {
  readonly isAccepted: boolean;
  readonly reason: 'Accepted' | 'Invalid' | 'NoMatchingTarget' | 'RateLimitReasonAlreadyExists' | 'NotHTTP';
  readonly field: string;
  readonly message: string;
};

/** Judges an HTTPLocalRateLimitPolicy, in the order of what a user has to put right first. */
export function judgeRateLimit(object: CustomObject, objects: PolicyObjects, context: PolicyContext): RateLimitVerdict {
  const refused = (reason: RateLimitVerdict['reason'], field: string, message: string): RateLimitVerdict => ({
    isAccepted: false,
    reason,
    field,
    message,
  });
  const { value, problems } = readRateLimitPolicy(object, context);
  if (value === undefined) return refused('Invalid', 'spec', formatProblems(problems));
  const { namespace } = object;
  const name = `${namespace}/${value.serverName}`;
  const target = 'spec.targetRef';
  const server = objects.get('Server', namespace, value.serverName);
  if (server === undefined) return refused('NoMatchingTarget', target, `Server ${name} does not exist`);
  const winner = rateLimitPolicies(server, objects, context)[0]?.object;
  if (winner !== undefined && winner.name !== object.name) {
    const message = `HTTPLocalRateLimitPolicy ${namespace}/${winner.name} limits Server ${name} already, and is older or first by name`;
    return refused('RateLimitReasonAlreadyExists', target, message);
  }
  const protocol = readServer(server, context).value?.protocol;
  if (protocol === 'opaque' || protocol === 'tls') {
    return refused(
      'NotHTTP',
      target,
      `Server ${name} carries no HTTP that could be counted: its proxyProtocol is ${protocol}`,
    );
  }
  const grpcRoute = protocol === 'grpc' ? grpcRouteOf(server, objects) : undefined;
  if (grpcRoute !== undefined) {
    const message = `Server ${name} has GRPCRoutes (${grpcRoute.name}): proxies do not count the calls of these`;
    return refused('NotHTTP', target, message);
  }
  return { isAccepted: true, reason: 'Accepted', field: target, message: `in effect on Server ${name}` };
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

function isRoute({ group, kind, name }: ObjectRef, object: CustomObject): boolean {
  return group === object.group && kind === object.kind && name === object.name;
}

/** Whether a Server is about a port of a workload. */
export function selectsPort(policy: ServerPolicy, workload: Workload, port: number): boolean {
  if (policy.isExternal !== workload.isExternal) return false;
  if (!selects(policy.selector, workload.labels)) return false;
  return policy.port === port || workload.ports.some((named) => named.name === policy.port && named.port === port);
}

function authorizationsOf(
  server: CustomObject,
  objects: PolicyObjects,
  context: PolicyContext,
): readonly Authorization[] {
  const older = objects
    .list('ServerAuthorization', server.namespace)
    .toSorted(byAge)
    .flatMap((object) => {
      const read = readServerAuthorization(object, context).value;
      return read !== undefined && isAbout(read, server)
        ? [
            {
              ref: refOf('ServerAuthorization', object),
              networks: read.networks,
              authentication: ofClient(read.client),
            },
          ]
        : [];
    });
  const targets = [NAMESPACE_TARGET, targetKey({ group: 'policy.linkerd.io', kind: 'Server', name: server.name })];
  const newer = grantsOf(server.namespace, targets, objects, context);
  return [...older, ...newer];
}

/** What AuthorizationPolicies of a namespace grant to what they are about, in the order of their age. */
function grantsOf(
  namespace: string,
  targets: readonly string[],
  objects: PolicyObjects,
  context: PolicyContext,
): readonly Authorization[] {
  const byTarget = policiesByTarget(namespace, objects);
  return targets
    .flatMap((key) => byTarget.get(key) ?? [])
    .sort((a, b) => byAge(a.object, b.object))
    .flatMap(({ object, policy }) => {
      const { grant } = resolve(policy, objects, context);
      return grant === undefined ? [] : [{ ref: refOf('AuthorizationPolicy', object), ...grant }];
    });
}

type ReadPolicy = { readonly object: CustomObject; readonly policy: AuthorizationPolicy };

/** AuthorizationPolicies that can be understood, by `targetKey`. */
function policiesByTarget(namespace: string, objects: PolicyObjects): ReadonlyMap<string, readonly ReadPolicy[]> {
  return remember(objects, namespace, 'AuthorizationPolicies', () => {
    const policies = objects.list('AuthorizationPolicy', namespace).flatMap((object) => {
      const policy = readAuthorizationPolicy(object).value;
      return policy === undefined ? [] : [{ object, policy }];
    });
    return Map.groupBy(policies, ({ policy: { target } }) =>
      qualified(target) === 'Namespace' ? NAMESPACE_TARGET : targetKey(target),
    );
  });
}

const NAMESPACE_TARGET = 'Namespace';

/** One name for what policies may be about, of one namespace. */
function targetKey({ group, kind, name }: Pick<ObjectRef, 'group' | 'kind' | 'name'>): string {
  return `${kind}.${group}/${name}`;
}

/** Whether an object lets clients of a Server in, as far as it can be understood. */
export function isAuthorizationOf(object: CustomObject, server: CustomObject, context: PolicyContext): boolean {
  if (object.namespace !== server.namespace) return false;
  if (object.kind === 'ServerAuthorization') {
    const read = readServerAuthorization(object, context).value;
    return read !== undefined && isAbout(read, server);
  }
  const read = object.kind === 'AuthorizationPolicy' ? readAuthorizationPolicy(object).value : undefined;
  return read !== undefined && isTarget(read, server);
}

function isAbout({ server: wanted }: ServerAuthorization, server: CustomObject): boolean {
  return 'name' in wanted ? wanted.name === server.name : selects(wanted.selector, server.labels);
}

function isTarget({ target }: AuthorizationPolicy, server: CustomObject): boolean {
  if (qualified(target) === 'Namespace') return true;
  return qualified(target) === 'Server.policy.linkerd.io' && target.name === server.name;
}

type Grant = { readonly networks: readonly NetworkMatch[]; readonly authentication: Authentication };

/** What the authentications of a policy demand together; nothing to grant when one of them is missing or wrong. */
function resolve(
  { required }: AuthorizationPolicy,
  objects: PolicyObjects,
  context: PolicyContext,
): { readonly grant?: Grant; readonly dangling?: { readonly index: number; readonly reason: string } } {
  let networks = networkMatches(['0.0.0.0/0', '::/0']);
  let authentication: Authentication = { kind: 'unauthenticated' };
  for (const [index, ref] of required.entries()) {
    if (ref.kind === 'ServiceAccount') {
      const name = `${ref.name}.${ref.namespace}.${context.identitySuffix}`;
      authentication = { kind: 'identities', names: [name], suffixes: [] };
      continue;
    }
    const found = objects.get(kindOf(ref), ref.namespace, ref.name);
    if (found === undefined) return dangling(index, `${ref.kind} ${ref.namespace}/${ref.name} does not exist`);
    const wrong = dangling(index, `${ref.kind} ${ref.namespace}/${ref.name} is not valid`);
    if (ref.kind === 'NetworkAuthentication') {
      const read = readNetworkAuthentication(found).value;
      if (read === undefined) return wrong;
      networks = read;
    } else {
      const read = readMeshTlsAuthentication(found, context).value;
      if (read === undefined) return wrong;
      authentication = ofClient(read);
    }
  }
  return { grant: { networks, authentication } };
}

function dangling(index: number, reason: string): { readonly dangling: { index: number; reason: string } } {
  return { dangling: { index, reason } };
}

function kindOf({ kind }: ObjectRef): PolicyKind {
  return kind === 'NetworkAuthentication' ? 'NetworkAuthentication' : 'MeshTLSAuthentication';
}

function ofClient(client: 'unauthenticated' | 'mesh-tls' | IdentityMatch): Authentication {
  return typeof client === 'string' ? { kind: client } : { kind: 'identities', ...client };
}

/** Reads an object by itself, as the webhook sees it. */
export function problemsOf(kind: PolicyKind, object: CustomObject, context: PolicyContext): readonly Problem[] {
  switch (kind) {
    case 'Server':
      return readServer(object, context).problems;
    case 'ServerAuthorization':
      return readServerAuthorization(object, context).problems;
    case 'AuthorizationPolicy':
      return readAuthorizationPolicy(object).problems;
    case 'MeshTLSAuthentication':
      return readMeshTlsAuthentication(object, context).problems;
    case 'NetworkAuthentication':
      return readNetworkAuthentication(object).problems;
    case 'HTTPLocalRateLimitPolicy':
      return readRateLimitPolicy(object, context).problems;
  }
}

/** Everything in an object that has no effect: wrong fields, and references to what is not there. */
export function findingsOf(
  kind: PolicyKind,
  object: CustomObject,
  objects: PolicyObjects,
  context: PolicyContext,
): readonly PolicyFinding[] {
  const ref = refOf(kind, object);
  const problems = problemsOf(kind, object, context);
  if (kind === 'HTTPLocalRateLimitPolicy' && problems.length === 0) {
    const { isAccepted, field, message } = judgeRateLimit(object, objects, context);
    return isAccepted ? [] : [{ object: ref, field, message }];
  }
  const read = kind === 'AuthorizationPolicy' ? readAuthorizationPolicy(object).value : undefined;
  if (read === undefined) return problems.map((problem) => ({ object: ref, ...problem }));
  const { target } = read;
  const routeName = `${target.namespace}/${target.name}`;
  const reference = resolve(read, objects, context).dangling;
  const isServerMissing =
    qualified(target) === 'Server.policy.linkerd.io' &&
    objects.get('Server', target.namespace, target.name) === undefined;
  return [
    ...(isRouteTarget(target) && !objects.routes(target.namespace).some((route) => isRoute(target, route))
      ? [
          {
            object: ref,
            field: 'spec.targetRef',
            message: `${target.kind} ${routeName} does not exist, or names no Server as its parent`,
          },
        ]
      : []),
    ...(isServerMissing
      ? [{ object: ref, field: 'spec.targetRef', message: `Server ${target.namespace}/${target.name} does not exist` }]
      : []),
    ...(reference === undefined
      ? []
      : [{ object: ref, field: `spec.requiredAuthenticationRefs[${reference.index}]`, message: reference.reason }]),
  ];
}

function refOf(kind: PolicyKind, { namespace, name }: CustomObject): ResourceRef {
  return { type: 'resource', group: 'policy.linkerd.io', kind: kind.toLowerCase(), name, namespace };
}
