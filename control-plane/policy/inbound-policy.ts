import { DEFAULT_INBOUND_POLICIES, type DefaultInboundPolicy } from '#config/values.ts';
import { network, type Network } from '#model/address.ts';
import type { Authentication, Authorization, NetworkMatch } from '#model/authorization.ts';
import type { InboundGrpcRoute, InboundProtocol, InboundRoute, InboundServer } from '#model/inbound.ts';
import type { HttpMatch } from '#model/match.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { hasPort, type PortSet } from '#model/port-set.ts';
import type { PolicyContext, ServerProtocol } from '../dialects/linkerd-policy.ts';
import { selectServer, type RoutesOfServer } from '../dialects/linkerd-servers.ts';
import { type PolicyObjects } from '../dialects/policy-objects.ts';
import { annotatedPorts, opaquePortsOf } from '../dialects/opaque-ports.ts';
import type { Workload } from '../dialects/workload.ts';

/** What policies depend on besides the objects of the cluster. */
export type InboundSettings = {
  readonly defaultPolicy: DefaultInboundPolicy;
  readonly opaquePorts: PortSet; // of pods without an annotation
  readonly clusterNetworks: readonly Network[];
  readonly probeNetworks: readonly Network[];
  readonly identitySuffix: string; // what follows `<service account>.<namespace>.` in an identity
};

const DEFAULT_POLICY = 'config.linkerd.io/default-inbound-policy';
const REQUIRE_IDENTITY_PORTS = 'config.linkerd.io/proxy-require-identity-inbound-ports';
const DETECT_TIMEOUT_MS = 10_000;

const EVERYWHERE: readonly Network[] = [network([0], 0), network([0, 0, 0, 0], 0)];
const ANY_IDENTITY: Authentication = { kind: 'identities', names: [], suffixes: [[]] };

/** The policy of a port of a pod: of the Server that selects it, else the default. */
export function inboundServer(
  workload: Workload,
  port: number,
  objects: PolicyObjects,
  settings: InboundSettings,
): InboundServer {
  const selected = selectServer(workload, port, objects, policyContext(settings));
  if (selected === undefined) return defaultInboundServer(workload, port, settings);
  const { ref, policy, authorizations, routes, rateLimit } = selected;
  const access = DEFAULT_INBOUND_POLICIES.find((name) => name === policy.accessPolicy) ?? 'deny';
  return {
    ref,
    protocol: protocolOf(policy.protocol, routes, workload, port, settings, rateLimit),
    authorizations: [...authorizations, ...defaultAuthorizations(access, settings)],
  };
}

/** What policy objects are read with. */
export function policyContext({ clusterNetworks, identitySuffix }: InboundSettings): PolicyContext {
  return { clusterNetworks, identitySuffix, accessPolicies: DEFAULT_INBOUND_POLICIES };
}

function protocolOf(
  kind: ServerProtocol,
  given: RoutesOfServer | undefined,
  workload: Workload,
  port: number,
  settings: InboundSettings,
  rateLimit: RateLimit | undefined,
): InboundProtocol {
  // Probes come first: whatever a route says about their path, a pod must not be restarted for it.
  if (given?.kind === 'grpc')
    return { kind: 'grpc', routes: [...grpcProbeRoutes(workload, port, settings), ...given.routes] };
  const routes =
    given === undefined
      ? defaultRoutes(workload, port, settings)
      : [...probeRoutes(workload, port, settings), ...given.routes];
  const http = { routes, ...(rateLimit && { rateLimit }) };
  switch (kind) {
    case 'grpc':
      return { kind: 'http2', ...http };
    case 'detect':
      return { kind, timeoutMs: DETECT_TIMEOUT_MS, ...http };
    case 'http1':
    case 'http2':
      return { kind, ...http };
    case 'opaque':
    case 'tls':
      return { kind };
  }
}

/** The policy of a port that no policy object selects. Source: linkerd2 `policy-controller`, defaults. */
export function defaultInboundServer(workload: Workload, port: number, settings: InboundSettings): InboundServer {
  const policy = policyOf(workload, port, settings);
  const isOpaque = hasPort(opaquePortsOf(workload, settings.opaquePorts), port);
  return {
    ref: { type: 'default', name: policy },
    protocol: isOpaque
      ? { kind: 'opaque' }
      : { kind: 'detect', timeoutMs: DETECT_TIMEOUT_MS, routes: defaultRoutes(workload, port, settings) },
    authorizations: defaultAuthorizations(policy, settings),
  };
}

/** Why a pod's annotation is not used, or nothing. */
export function annotationProblem(workload: Workload): string | undefined {
  const text = workload.annotations[DEFAULT_POLICY];
  if (text === undefined || DEFAULT_INBOUND_POLICIES.some((policy) => policy === text)) return undefined;
  return `${DEFAULT_POLICY} is "${text}": use one of ${DEFAULT_INBOUND_POLICIES.join(', ')}`;
}

function policyOf(workload: Workload, port: number, settings: InboundSettings): DefaultInboundPolicy {
  const text = workload.annotations[DEFAULT_POLICY];
  const policy = DEFAULT_INBOUND_POLICIES.find((candidate) => candidate === text) ?? settings.defaultPolicy;
  if (!hasPort(annotatedPorts(workload, REQUIRE_IDENTITY_PORTS), port)) return policy;
  switch (policy) {
    case 'all-unauthenticated':
    case 'audit':
      return 'all-authenticated';
    case 'cluster-unauthenticated':
      return 'cluster-authenticated';
    case 'all-authenticated':
    case 'cluster-authenticated':
    case 'deny':
      return policy;
  }
}

/** Whom a default policy, or the access policy of a Server, lets in. */
export function defaultAuthorizations(
  policy: DefaultInboundPolicy,
  settings: Pick<InboundSettings, 'clusterNetworks'>,
): readonly Authorization[] {
  const grant = (networks: readonly Network[], authentication: Authentication): readonly Authorization[] => [
    { ref: { type: 'default', name: policy }, networks: matchesOf(networks), authentication },
  ];
  switch (policy) {
    case 'all-unauthenticated':
    case 'audit':
      return grant(EVERYWHERE, { kind: 'unauthenticated' });
    case 'all-authenticated':
      return grant(EVERYWHERE, ANY_IDENTITY);
    case 'cluster-unauthenticated':
      return grant(settings.clusterNetworks, { kind: 'unauthenticated' });
    case 'cluster-authenticated':
      return grant(settings.clusterNetworks, ANY_IDENTITY);
    case 'deny':
      return [];
  }
}

function matchesOf(networks: readonly Network[]): readonly NetworkMatch[] {
  return networks.map((one) => ({ network: one, except: [] }));
}

/** What holds where no object says which requests there are: all of them. */
function defaultRoutes(workload: Workload, port: number, settings: InboundSettings): readonly InboundRoute[] {
  const fallback: InboundRoute = {
    ref: { type: 'default', name: 'default' },
    hosts: [],
    authorizations: [],
    rules: [{ matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }] }],
  };
  return [...probeRoutes(workload, port, settings), fallback];
}

/** Probes of the kubelet get in whatever the policy is: they come without an identity. */
function probeRoutes(workload: Workload, port: number, settings: InboundSettings): readonly InboundRoute[] {
  const probes = new Map(
    workload.probes
      .filter((probe) => probe.port === port)
      .map(({ method, path }) => [`${method} ${probePath(path)}`, { method, path: probePath(path) }]),
  );
  const matches = [...probes.values()].map(({ method, path }): HttpMatch => ({
    method,
    path: { kind: 'exact', value: path },
    headers: [],
    queryParams: [],
  }));
  return matches.length > 0 ? [{ ...probeRoute(settings), rules: [{ matches }] }] : [];
}

/** The same where there are only calls of gRPC. */
function grpcProbeRoutes(workload: Workload, port: number, settings: InboundSettings): readonly InboundGrpcRoute[] {
  const probe = workload.probes.find((one) => one.port === port && one.method === 'POST');
  const [, service, method] = probe?.path.split('/') ?? [];
  if (service === undefined || method === undefined) return [];
  return [{ ...probeRoute(settings), rules: [{ matches: [{ service, method, headers: [] }] }] }];
}

function probeRoute({ probeNetworks }: InboundSettings): Omit<InboundRoute, 'rules'> {
  const ref = { type: 'default', name: 'probe' } as const;
  const networks = matchesOf(probeNetworks);
  return { ref, hosts: [], authorizations: [{ ref, networks, authentication: { kind: 'unauthenticated' } }] };
}

function probePath(path: string): string {
  const withoutQuery = path.split('?', 1)[0] ?? '';
  return withoutQuery.startsWith('/') ? withoutQuery : `/${withoutQuery}`;
}
