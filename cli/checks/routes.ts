import type { ApiObject, Cluster } from '../cluster.ts';

const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** Kinds of routes, as `<plural>.<group>`. */
const ROUTES = [
  'grpcroutes.gateway.networking.k8s.io',
  'httproutes.gateway.networking.k8s.io',
  'httproutes.policy.linkerd.io',
];

type Condition = { readonly type: string; readonly status: string; readonly reason: string; readonly message: string };
type Parent = { readonly controllerName?: string; readonly conditions?: readonly Condition[] };

/** What the control plane says against routes, in its own words. */
export async function refusedRoutes(cluster: Cluster, namespace: string | undefined): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of ROUTES) {
    const [plural = '', ...group] = name.split('.');
    const version = storageVersion(await cluster.find(`${DEFINITIONS}/${name}`));
    if (version === undefined) continue;
    const scope = namespace === undefined ? '' : `namespaces/${namespace}/`;
    for (const route of await cluster.list(`/apis/${group.join('.')}/${version}/${scope}${plural}`)) {
      const id = `${plural.slice(0, -1)} ${route.metadata.namespace}/${route.metadata.name}`;
      found.push(...refusals(route).map(({ reason, message }) => `${id}: ${reason}: ${message}`));
    }
  }
  return found;
}

function storageVersion(definition: ApiObject | undefined): string | undefined {
  const spec = definition?.['spec'] as
    | { readonly versions?: readonly { readonly name: string; readonly storage?: boolean }[] }
    | undefined;
  return spec?.versions?.find(({ storage }) => storage === true)?.name;
}

function refusals(route: ApiObject): readonly Condition[] {
  const status = route['status'] as { readonly parents?: readonly Parent[] } | undefined;
  return (status?.parents ?? [])
    .filter(({ controllerName }) => controllerName === 'tulle.dev/policy-controller')
    .flatMap(({ conditions }) => conditions ?? [])
    .filter((condition) => condition.status === 'False');
}
