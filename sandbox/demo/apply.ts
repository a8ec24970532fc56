import { parseAllDocuments } from 'yaml';
import type { Cluster } from '../../cli/cluster.ts';
import { ResourcePaths } from '../../cli/resource-paths.ts';
import type { Manifest } from '../../control-plane/install/manifest.ts';

const FIELD_MANAGER = 'tulle-demo';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The objects of YAML documents. */
export function readManifests(yaml: string): readonly Manifest[] {
  return parseAllDocuments(yaml).flatMap((document) =>
    document.contents === null ? [] : [document.toJS() as Manifest],
  );
}

/**
 * Applies objects in order by server-side apply, as `kubectl apply --server-side -f -` does, for machines without kubectl.
 *
 * @throws CommandError  naming the object that was refused and why
 */
export async function applyAll(cluster: Cluster, objects: readonly Manifest[]): Promise<void> {
  const paths = new ResourcePaths(cluster);
  for (const object of objects) {
    const path = await paths.of(object);
    if (path === undefined) throw new Error(`the cluster has no kind ${object.kind} in ${object.apiVersion}`);
    await cluster.request(
      'PATCH',
      `${path}?fieldManager=${FIELD_MANAGER}&force=true`,
      withLastApplied(object),
      'application/apply-patch+yaml',
    );
  }
}

/**
 * With the annotation by which a later `kubectl apply` of the same manifest knows what was applied; without it kubectl warns. As kubectl
 * writes it: with annotations, if empty ones.
 */
function withLastApplied(object: Manifest): Manifest {
  const { annotations = {}, ...metadata } = object.metadata;
  const applied = `${JSON.stringify({ ...object, metadata: { annotations, ...metadata } })}\n`;
  return { ...object, metadata: { ...object.metadata, annotations: { ...annotations, [LAST_APPLIED]: applied } } };
}
