import { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Service, ServicePort } from '#k8s/resources/service.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import { serverParents } from '../dialects/inbound-route.ts';
import { backendServices, serviceParents, type ServiceParent } from '../dialects/gateway-api.ts';

/** Kinds of routes that can be attached to a Service or a Server, with the versions that are read. */
export const ROUTE_KINDS = [
  { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', plural: 'httproutes', versions: ['v1'] },
  { group: 'gateway.networking.k8s.io', kind: 'GRPCRoute', plural: 'grpcroutes', versions: ['v1'] },
  {
    group: 'policy.linkerd.io',
    kind: 'HTTPRoute',
    plural: 'httproutes',
    versions: ['v1beta3', 'v1beta2', 'v1beta1'],
  },
] as const;

/** Told of a Service whose routes, or what these depend on, have changed: `namespace/name`. */
type ParentListener = (serviceKey: string) => void;

/** Told of a namespace in which routes of Servers have changed. */
type ServerRouteListener = (namespace: string) => void;

/** Routes by the Services and Servers that they are attached to. As large as the cluster has routes. */
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

  /** Routes that name a Service as parent. */
  ofService(serviceKey: string): ReadonlySet<CustomObject> {
    return this.#byParent.get(serviceKey);
  }

  /** Routes of a Service that hold for one of its ports. */
  attached(service: Service, port: ServicePort): readonly CustomObject[] {
    const routes = [...this.ofService(keyOf(service.namespace, service.name))];
    return routes.filter((route) => serviceParents(route).some((parent) => isAttached(parent, service, port)));
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
      for (const key of parentKeys(previous)) this.#byParent.delete(key, previous);
      for (const key of backendServices(previous)) this.#byBackend.delete(key, previous);
      this.#ofServers.delete(previous.namespace, previous);
    }
    if (next !== undefined) {
      for (const key of parentKeys(next)) this.#byParent.add(key, next);
      for (const key of backendServices(next)) this.#byBackend.add(key, next);
      if (serverParents(next).length > 0) this.#ofServers.add(next.namespace, next);
    }
    if (previous !== undefined) this.#notify(previous);
    if (next !== undefined) this.#notify(next);
    const ofServers = [previous, next].find((one) => one !== undefined && serverParents(one).length > 0);
    if (ofServers !== undefined) for (const listener of this.#serverListeners) listener(ofServers.namespace);
  }

  #notify(route: CustomObject): void {
    for (const key of parentKeys(route)) for (const listener of this.#listeners) listener(key);
  }
}

export function isAttached(parent: ServiceParent, service: Service, port: ServicePort): boolean {
  return (
    parent.namespace === service.namespace &&
    parent.name === service.name &&
    (parent.port === undefined || parent.port === port.port) &&
    (parent.section === undefined || parent.section === port.name)
  );
}

function parentKeys(route: CustomObject): ReadonlySet<string> {
  return new Set(serviceParents(route).map(({ namespace, name }) => keyOf(namespace, name)));
}
