import { asObject, asText, type JsonObject } from '#k8s/json.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '#k8s/resources/custom-resource-definition.ts';
import { customKind } from '#k8s/resources/custom-object.ts';
import { ROUTE_KINDS } from '../../control-plane/dialects/route-kinds.ts';
import { GATEWAYS, listKind, type ReadKind } from '../../control-plane/findings/reader.ts';
import { EGRESS_NETWORKS } from '../../control-plane/policy/egress-networks.ts';
import { PolicyStore } from '../../control-plane/policy/policy-store.ts';
import { EXTERNAL_WORKLOADS } from '../../control-plane/dialects/external-workload.ts';
import { TRAFFIC_KINDS } from '../../control-plane/policy/traffic-objects.ts';
import type { Cluster } from '../cluster.ts';

const CORE = [
  ['Namespace', 'namespaces'],
  ['Service', 'services'],
  ['Pod', 'pods'],
  ['ServiceAccount', 'serviceaccounts'],
] as const;

const GRANTS: ReadKind = {
  group: 'gateway.networking.k8s.io',
  kind: 'ReferenceGrant',
  plural: 'referencegrants',
  versions: ['v1', 'v1beta1'],
};

/** Everything in a cluster that the analysis looks at. */
export async function clusterObjects(cluster: Cluster): Promise<readonly JsonObject[]> {
  const core = CORE.map(async ([kind, plural]) =>
    (await cluster.list(`/api/v1/${plural}`)).map((object): JsonObject => ({ ...object, apiVersion: 'v1', kind })),
  );
  const kinds: readonly ReadKind[] = [
    ...new PolicyStore().kinds,
    ...ROUTE_KINDS,
    ...TRAFFIC_KINDS,
    EGRESS_NETWORKS,
    EXTERNAL_WORKLOADS,
    GRANTS,
    GATEWAYS,
  ];
  const custom = kinds.map(async (kind) => {
    const objects: JsonObject[] = [];
    const keep = {
      find: (path: string) => cluster.find(path),
      list: async (path: string) => keepAll(await cluster.list(path), kind, path, objects),
    };
    await listKind(keep, kind);
    return objects;
  });
  return (await Promise.all([...core, ...custom])).flat();
}

/**
 * What defines kinds in a cluster once objects are applied to it: of each definition that this version knows the object's, else
 * the cluster's, else one that serves no version.
 *
 * @param known  each a CustomResourceDefinition
 */
export function installedDefinitions(
  cluster: Pick<Cluster, 'find'>,
  known: readonly JsonObject[],
  objects: readonly JsonObject[],
): Promise<readonly JsonObject[]> {
  const { apiPath, plural } = CUSTOM_RESOURCE_DEFINITIONS;
  const nameOf = ({ metadata }: JsonObject): string => asText(asObject(metadata)['name']) ?? '';
  return Promise.all(
    known.map(async (definition) => {
      const name = nameOf(definition);
      const given = objects.findLast((one) => one['kind'] === 'CustomResourceDefinition' && nameOf(one) === name);
      const found = given ?? (await cluster.find(`${apiPath}/${plural}/${name}`));
      return found ?? { ...definition, spec: { ...asObject(definition['spec']), versions: [] } };
    }),
  );
}

/** Lists leave kind and version of their items out. */
function keepAll(
  items: readonly unknown[],
  { kind, group }: ReadKind,
  path: string,
  into: JsonObject[],
): readonly unknown[] {
  const version = path.split('/')[3] ?? '';
  const { parse } = customKind({ group, kind, plural: '' }, version);
  for (const item of items)
    if (parse(item) !== undefined) into.push({ ...(item as JsonObject), apiVersion: `${group}/${version}`, kind });
  return items;
}
