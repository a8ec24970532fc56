import { TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import { asObject, asText } from '#k8s/json.ts';
import type { Cluster } from './cluster.ts';

/** The trust anchors of the installation in a namespace, PEM; undefined as long as the identity process has published none. */
export async function publishedAnchorsPem(cluster: Cluster, namespace: string): Promise<string | undefined> {
  const object = await cluster.find(`/api/v1/namespaces/${namespace}/configmaps/${TRUST_ROOTS_CONFIG_MAP}`);
  return asText(asObject(object?.['data'])[TRUST_ROOTS_KEY]);
}
