import { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { OptionalKind } from '#k8s/served-kinds.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { ProfileRoute } from '#model/profile-route.ts';
import type { RetryBudget, WeightedTarget } from '#model/profile.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { parseHostPort, parseServiceName } from '#model/service-target.ts';
import { ROUTE_KINDS } from '../dialects/route-kinds.ts';
import { failureAccrual, trafficAnnotations } from '../dialects/annotations.ts';
import { routeRef } from '../dialects/gateway-api.ts';
import { checkOpaquePorts } from '../dialects/opaque-ports.ts';
import { byAge } from '../dialects/precedence.ts';
import { Problems, type Problem } from '../dialects/problem.ts';
import { compileServiceProfile } from '../dialects/service-profile.ts';
import { compileTrafficSplit, splitService } from '../dialects/smi.ts';
import { EGRESS_NETWORKS, type EgressNetworks } from './egress-networks.ts';
import { type RouteIndex } from './route-index.ts';

const PROFILES = {
  group: 'linkerd.io',
  kind: 'ServiceProfile',
  plural: 'serviceprofiles',
  versions: ['v1alpha2', 'v1alpha1'],
} as const;

const SPLITS = {
  group: 'split.smi-spec.io',
  kind: 'TrafficSplit',
  plural: 'trafficsplits',
  versions: ['v1alpha4', 'v1alpha3', 'v1alpha2', 'v1alpha1'],
} as const;

/** The kinds that are kept here. */
export const TRAFFIC_KINDS = [PROFILES, SPLITS] as const;

/** What ServiceProfiles and TrafficSplits add to the profile of a Service. */
export type ServiceTraffic = {
  readonly routes?: readonly ProfileRoute[];
  readonly targets?: readonly WeightedTarget[];
  readonly retryBudget?: RetryBudget;
  readonly ref?: ResourceRef; // of the object that decides
};

/** ServiceProfiles and TrafficSplits by the Services that they are about. */
export class TrafficObjects {
  readonly profiles = new ResourceStore<CustomObject>();
  readonly splits = new ResourceStore<CustomObject>();
  readonly #clusterDomain: string;

  constructor(clusterDomain: string) {
    this.#clusterDomain = clusterDomain;
  }

  /** Told of the Service, `namespace/name`, whose objects have changed. Listeners must not throw. */
  onChange(listener: (serviceKey: string) => void): void {
    this.profiles.onChange((next, previous) => {
      const target = parseServiceName((next ?? previous)?.name ?? '', 80, this.#clusterDomain);
      if (target !== undefined) listener(keyOf(target.namespace, target.service));
    });
    this.splits.onChange((next, previous) => {
      for (const split of [previous, next]) {
        if (split !== undefined) listener(keyOf(split.namespace, splitService(split)));
      }
    });
  }

  /**
   * A ServiceProfile of the client's namespace comes before one of the Service's own. Of several splits the oldest counts.
   *
   * @param clientNamespace  absent: not known
   */
  ofService(namespace: string, service: string, port: number, clientNamespace: string | undefined): ServiceTraffic {
    const name = `${service}.${namespace}.svc.${this.#clusterDomain}`;
    const own = clientNamespace === undefined ? undefined : this.profiles.get(clientNamespace, name);
    const object = own ?? this.profiles.get(namespace, name);
    const profile = object && compileServiceProfile(object, port);
    const split = this.#splitOf(namespace, service, port);
    const targets = profile !== undefined && profile.targets.length > 0 ? profile.targets : split?.targets;
    const hasRoutes = profile !== undefined && profile.routes.length > 0;
    const source = object ?? split?.object;
    return {
      ...(hasRoutes && { routes: profile.routes }),
      ...(targets && { targets }),
      ...(profile?.retryBudget && { retryBudget: profile.retryBudget }),
      ...(source && { ref: routeRef(source) }),
    };
  }

  #splitOf(namespace: string, service: string, port: number) {
    const splits = [...this.splits.values()].filter(
      (split) => split.namespace === namespace && splitService(split) === service,
    );
    for (const object of splits.sort(byAge)) {
      const { targets } = compileTrafficSplit(object, port, this.#clusterDomain);
      if (targets.length > 0) return { object, targets };
    }
    return undefined;
  }
}

/** Why the target of a split can have no endpoints, so that the others get its share; nothing where it can. */
export function absenceOfTarget(
  { authority }: Pick<WeightedTarget, 'authority'>,
  services: ResourceStore<Service>,
  clusterDomain: string,
): string | undefined {
  const { host, port } = parseHostPort(authority) ?? { host: authority, port: 0 };
  const target = parseServiceName(host, port, clusterDomain);
  if (target === undefined) return `${host} is no name of a Service, such as web.shop.svc.${clusterDomain}`;
  const service = services.get(target.namespace, target.service);
  if (service === undefined) return `Service ${target.namespace}/${target.service} does not exist`;
  return service.type === 'ExternalName'
    ? `Service ${service.namespace}/${service.name} is of type ExternalName, which has no endpoints`
    : undefined;
}

/** What is wrong with an object of these kinds. */
export function trafficProblems(object: CustomObject, clusterDomain: string): readonly Problem[] {
  if (object.kind === SPLITS.kind) return compileTrafficSplit(object, 80, clusterDomain).problems;
  const { problems } = compileServiceProfile(object, 80);
  if (parseServiceName(object.name, 80, clusterDomain) !== undefined) return problems;
  const message = `"${object.name}" is not the name of a Service, such as web.shop.svc.${clusterDomain}`;
  return [{ field: 'metadata.name', message }, ...problems];
}

/** What is wrong with the annotations of a Service. */
export function serviceProblems(service: Service): readonly Problem[] {
  const problems = new Problems();
  trafficAnnotations(service.annotations, problems);
  failureAccrual(service.annotations, problems);
  checkOpaquePorts(service, problems);
  return problems.found;
}

/** The kinds that say where requests go, each read while its definition is there. */
export function trafficKinds(
  objects: TrafficObjects,
  routes: RouteIndex,
  egress: EgressNetworks,
): readonly OptionalKind[] {
  return [
    { ...EGRESS_NETWORKS, index: egress.store },
    { ...PROFILES, index: objects.profiles },
    { ...SPLITS, index: objects.splits },
    ...ROUTE_KINDS.flatMap((kind, nth) => {
      const index = routes.stores[nth];
      return index === undefined ? [] : [{ ...kind, index }];
    }),
  ];
}
