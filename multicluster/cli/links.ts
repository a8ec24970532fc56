import { ApiError, type ApiObject, type Cluster } from '../../cli/cluster.ts';
import { CLUSTER_NAME, LINKS_PATH, MIRRORED, NAMESPACE } from '../names.ts';

export type LinkCondition = { readonly type: string; readonly status: string; readonly message: string };

/** A Link with what its controller says about it. */
export type LinkView = {
  readonly name: string;
  readonly cluster: string;
  readonly conditions: readonly LinkCondition[];
};

/** @returns nothing when the extension is not installed */
export async function readLinks(cluster: Cluster): Promise<readonly LinkView[] | undefined> {
  try {
    const links = await cluster.list(`${LINKS_PATH}/namespaces/${NAMESPACE}/links`);
    return links.map((link) => ({
      name: link.metadata.name,
      cluster: (link['spec'] as { targetClusterName: string }).targetClusterName,
      conditions: (link['status'] as { conditions?: readonly LinkCondition[] } | undefined)?.conditions ?? [],
    }));
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return undefined;
    throw error;
  }
}

export function conditionOf(link: LinkView, type: string): LinkCondition | undefined {
  return link.conditions.find((condition) => condition.type === type);
}

export function mirroredServices(cluster: Cluster, name?: string): Promise<readonly ApiObject[]> {
  const selector = name === undefined ? `${MIRRORED}=true` : `${MIRRORED}=true,${CLUSTER_NAME}=${name}`;
  return cluster.list(`/api/v1/services?labelSelector=${encodeURIComponent(selector)}`);
}
