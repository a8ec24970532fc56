import type { OpaqueFilter } from '#model/filter.ts';
import { mostSpecificHost } from '#model/match.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import type { OpaqueRoute, TlsRoute } from '#model/route.ts';
import { ProxyError } from '../errors.ts';
import type { Backends } from './backends.ts';
import type { OutboundContext } from './context.ts';
import { distribute } from './distribute.ts';
import type { Plan, PlanFilter, Way } from './plan.ts';
import { ConnectionRouteMetrics } from './route-metrics.ts';

/** What happens to a connection whose bytes are passed on: the outcome of matching. */
export type ConnectionPlan = {
  /** @throws ProxyError  when the connection must not or cannot go anywhere */
  readonly choose: () => Way['destination'];
  /** Absent: of a split, which has no route. */
  readonly metrics: ConnectionRouteMetrics | undefined;
  /** What decides, from the general to the particular. */
  readonly refs: readonly ResourceRef[];
};

type NamedPlan = { readonly serverNames: TlsRoute['serverNames']; readonly plan: ConnectionPlan };

const FORBIDDEN = 403;

/** Where the connections of one target go that are not HTTP, or not looked into. */
export class ConnectionRoutes implements Disposable {
  /** The routes go by the server name of a ClientHello. */
  readonly isByServerName: boolean;
  readonly #routes: readonly NamedPlan[];
  readonly #subject: string; // of the routes, for people

  private constructor(subject: string, isByServerName: boolean, routes: readonly NamedPlan[]) {
    this.#subject = subject;
    this.isByServerName = isByServerName;
    this.#routes = routes;
  }

  /** @param ref  of the object that splits */
  static ofSplit(subject: string, choose: Plan['choose'], ref: ResourceRef | undefined): ConnectionRoutes {
    const refs = ref === undefined ? [] : [ref];
    const plan = { choose: () => destinationOf(choose()), metrics: undefined, refs };
    return new ConnectionRoutes(subject, false, [{ serverNames: [], plan }]);
  }

  /** @returns nothing when the policy says nothing about connections */
  static ofPolicy(
    { ref, protocol }: OutboundPolicy,
    backends: Backends,
    context: OutboundContext,
    target: { readonly address: string; readonly port: number },
  ): ConnectionRoutes | undefined {
    const { outboundTcpRoutes, outboundTlsRoutes } = context.metrics;
    const planOf = (route: OpaqueRoute, families: typeof outboundTcpRoutes): ConnectionPlan => {
      const filters = refusals(route.filters, route.ref, ref);
      const { choose } = distribute(
        route.distribution,
        (own) => refusals(own, route.ref, ref),
        backends,
        context.random,
      );
      const metrics = new ConnectionRouteMetrics(families, ref, route.ref, target);
      return {
        choose() {
          refuse(filters);
          return destinationOf(choose());
        },
        metrics,
        refs: [ref, route.ref],
      };
    };
    const subject = formatResourceRef(ref);
    if (protocol.kind === 'tls') {
      const routes = protocol.routes.map((route) => ({
        serverNames: route.serverNames,
        plan: planOf(route, outboundTlsRoutes),
      }));
      return new ConnectionRoutes(subject, true, routes);
    }
    if (!('opaque' in protocol)) return undefined;
    return new ConnectionRoutes(subject, false, [
      { serverNames: [], plan: planOf(protocol.opaque, outboundTcpRoutes) },
    ]);
  }

  /**
   * @param serverName  in lower case; absent: the client has shown none
   * @throws ProxyError  `no-route`
   */
  find(serverName: string | undefined): ConnectionPlan {
    if (this.isByServerName && serverName === undefined) {
      const reason = 'go by the server name of TLS (SNI), and the client has shown none';
      throw new ProxyError('no-route', `the routes of ${this.#subject} ${reason}`);
    }
    const best = mostSpecificHost(this.#routes, ({ serverNames }) => serverNames, serverName ?? '');
    if (best === undefined)
      throw new ProxyError('no-route', `no route of ${this.#subject} matches the server name ${serverName}`);
    return best.plan;
  }

  [Symbol.dispose](): void {
    for (const { plan } of this.#routes) plan.metrics?.[Symbol.dispose]();
  }
}

/**
 * What filters of a connection mean for a request.
 *
 * @param route   that has them
 * @param target  that the route is of: it says more than the name of a route that is built in
 */
export function refusals(
  filters: readonly OpaqueFilter[],
  route: ResourceRef,
  target: ResourceRef,
): readonly PlanFilter[] {
  const isBuiltIn = route.type === 'default' && target.type === 'resource';
  const name = isBuiltIn ? `${formatResourceRef(target)} (${formatResourceRef(route)})` : formatResourceRef(route);
  return filters.map((filter) =>
    filter.kind === 'forbidden'
      ? { kind: 'failure', status: FORBIDDEN, message: `${name} forbids it` }
      : { kind: 'failure', status: 500, message: `${name} is invalid: ${filter.message}` },
  );
}

/** @throws ProxyError  when there is a filter that answers instead of a backend */
function refuse(filters: readonly PlanFilter[]): void {
  for (const filter of filters) {
    if (filter.kind !== 'failure') continue;
    throw new ProxyError(filter.status === FORBIDDEN ? 'forbidden' : 'policy-invalid', filter.message);
  }
}

function destinationOf(way: Way | ProxyError): Way['destination'] {
  if (way instanceof ProxyError) throw way;
  refuse(way.filters);
  return way.destination;
}
