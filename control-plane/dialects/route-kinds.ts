/** A kind with its group, as objects and references have them. */
type Kind = { readonly group: string; readonly kind: string };

const GATEWAY_API = 'gateway.networking.k8s.io';

/**
 * Kinds of routes that can be attached to a Service or an EgressNetwork, with the versions that are read. Those about requests can be
 * attached to a Server too.
 */
export const ROUTE_KINDS = [
  { group: GATEWAY_API, kind: 'HTTPRoute', plural: 'httproutes', versions: ['v1'], about: 'requests' },
  { group: GATEWAY_API, kind: 'GRPCRoute', plural: 'grpcroutes', versions: ['v1'], about: 'requests' },
  {
    group: 'policy.linkerd.io',
    kind: 'HTTPRoute',
    plural: 'httproutes',
    versions: ['v1beta3', 'v1beta2', 'v1beta1'],
    about: 'requests',
  },
  {
    group: GATEWAY_API,
    kind: 'TLSRoute',
    plural: 'tlsroutes',
    versions: ['v1', 'v1alpha3', 'v1alpha2'],
    about: 'connections',
  },
  { group: GATEWAY_API, kind: 'TCPRoute', plural: 'tcproutes', versions: ['v1', 'v1alpha2'], about: 'connections' },
] as const;

/** Whether objects are routes of any kind. */
export function isRouteKind(object: Kind): boolean {
  return find(object) !== undefined;
}

/** Whether objects are of a kind that can be attached to a Server. */
export function isServerRouteKind(object: Kind): boolean {
  return find(object)?.about === 'requests';
}

/** Whether a route is about connections, and not about the requests in them. */
export function isConnectionRoute(object: Kind): boolean {
  return find(object)?.about === 'connections';
}

function find({ group, kind }: Kind): (typeof ROUTE_KINDS)[number] | undefined {
  return ROUTE_KINDS.find((one) => one.group === group && one.kind === kind);
}
