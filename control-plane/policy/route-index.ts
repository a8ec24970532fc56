import { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { keyOf, type Metadata } from '#k8s/resources/metadata.ts';
import type { Service, ServicePort } from '#k8s/resources/service.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import { serverParents } from '../dialects/inbound-route.ts';
import { backendServices } from '../dialects/gateway-api.ts';
import { ROUTE_KINDS } from '../dialects/route-kinds.ts';
import { outboundParents, type OutboundParent } from '../dialects/outbound-parents.ts';

/** What routes on the side of clients are attached to. */
export type RouteParent = Pick<OutboundParent, 'kind' | 'namespace' | 'name'>;

/** Told of a parent whose routes, or what these depend on, have changed. */
type ParentListener = (parent: RouteParent) => void;

/** Told of a namespace in which routes of Servers have changed. */
type ServerRouteListener = (namespace: string) => void;

/** Routes by what they are attached to. As large as the cluster has routes. */
export class RouteIndex {
  /** One for each of `ROUTE_KINDS`, in the same order. */
  readonly stores: readonly ResourceStore<CustomObject>[];
  readonly #byParent = new MultiMap<string, CustomObject>();
  readonly #byBackend = new MultiMap<string, CustomObject>();
  readonly #ofServers = new MultiMap<string, CustomObject>(); // by namespace
  readonly #listeners: ParentListener[] = [];
  readonly #serverListeners: ServerRouteListener[] = [];

  constructor(services: ResourceStore<Service>) {
    this.stores = ROUTE_KINDS.map(() => {
      const store = new ResourceStore<CustomObject>();
      store.onChange((next, previous) => this.#indexRoute(next, previous));
      return store;
    });
    services.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      for (const route of this.#byBackend.get(keyOf(namespace, name))) this.#notify(route);
    });
  }

  /** Listeners stay as long as the index. They must not throw. */
  onChange(listener: ParentListener): void {
    this.#listeners.push(listener);
  }

  /** Routes that name something as parent. */
  ofParent(parent: RouteParent): ReadonlySet<CustomObject> {
    return this.#byParent.get(parentKey(parent));
  }

  /** Routes of a Service that hold for one of its ports; none without a cluster IP, as their status says too. */
  attached(service: Service, port: ServicePort): readonly CustomObject[] {
    if (service.clusterIps.length === 0) return [];
    return this.#holding({ kind: 'Service', ...service }, (parent) => isAttached(parent, service, port));
  }

  /** Routes of an EgressNetwork that hold for a port. */
  attachedToEgress({ namespace, name }: Pick<Metadata, 'namespace' | 'name'>, port: number): readonly CustomObject[] {
    return this.#holding({ kind: 'EgressNetwork', namespace, name }, (parent) => {
      return parent.problem === undefined && parent.port === port;
    });
  }

  #holding(of: RouteParent, holds: (parent: OutboundParent) => boolean): readonly CustomObject[] {
    const key = parentKey(of);
    const isOne = (parent: OutboundParent): boolean => parentKey(parent) === key && holds(parent);
    return [...this.ofParent(of)].filter((route) => outboundParents(route).some(isOne));
  }

  /** Routes of a namespace that name Servers as parents. */
  ofServers(namespace: string): readonly CustomObject[] {
    return [...this.#ofServers.get(namespace)];
  }

  /** As `onChange`, for routes of Servers. */
  onServerRoutes(listener: ServerRouteListener): void {
    this.#serverListeners.push(listener);
  }

  /** Routes that send requests to a Service. */
  withBackend(serviceKey: string): ReadonlySet<CustomObject> {
    return this.#byBackend.get(serviceKey);
  }

  #indexRoute(next: CustomObject | undefined, previous: CustomObject | undefined): void {
    if (previous !== undefined) {
      for (const key of parentsOf(previous).keys()) this.#byParent.delete(key, previous);
      for (const key of backendServices(previous)) this.#byBackend.delete(key, previous);
      this.#ofServers.delete(previous.namespace, previous);
    }
    if (next !== undefined) {
      for (const key of parentsOf(next).keys()) this.#byParent.add(key, next);
      for (const key of backendServices(next)) this.#byBackend.add(key, next);
      if (serverParents(next).length > 0) this.#ofServers.add(next.namespace, next);
    }
    if (previous !== undefined) this.#notify(previous);
    if (next !== undefined) this.#notify(next);
    const ofServers = [previous, next].find((one) => one !== undefined && serverParents(one).length > 0);
    if (ofServers !== undefined) for (const listener of this.#serverListeners) listener(ofServers.namespace);
  }

  #notify(route: CustomObject): void {
    for (const parent of parentsOf(route).values()) for (const listener of this.#listeners) listener(parent);
  }
}

/** Whether a parent is a port of a Service. */
export function isAttached(parent: OutboundParent, service: Service, port: ServicePort): boolean {
  return (
    parent.kind === 'Service' &&
    parent.namespace === service.namespace &&
    parent.name === service.name &&
    (parent.port === undefined || parent.port === port.port) &&
    (parent.section === undefined || parent.section === port.name)
  );
}

function parentKey({ kind, namespace, name }: RouteParent): string {
  return `${kind} ${keyOf(namespace, name)}`;
}

/** Each parent once, by its key. */
function parentsOf(route: CustomObject): ReadonlyMap<string, RouteParent> {
  return new Map(outboundParents(route).map((parent) => [parentKey(parent), parent]));
}
