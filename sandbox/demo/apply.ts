import { parseAllDocuments } from 'yaml';
import type { Cluster } from '../../cli/cluster.ts';
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
  const paths = new Map<string, ResourcePath>();
  for (const object of objects) {
    const key = `${object.apiVersion}/${object.kind}`;
    let path = paths.get(key);
    if (path === undefined) {
      path = await resourcePath(cluster, object);
      paths.set(key, path);
    }
    const { name, namespace } = object.metadata;
    const scope = path.isNamespaced ? `/namespaces/${namespace ?? 'default'}` : '';
    await cluster.request(
      'PATCH',
      `${path.root}${scope}/${path.plural}/${name}?fieldManager=${FIELD_MANAGER}&force=true`,
      withLastApplied(object),
      'application/apply-patch+yaml',
    );
  }
}

/** With the annotation by which a later `kubectl apply` of the same manifest knows what was applied; without it kubectl warns. */
function withLastApplied(object: Manifest): Manifest {
  const annotations = { ...object.metadata.annotations, [LAST_APPLIED]: `${JSON.stringify(object)}\n` };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

type ResourcePath = { readonly root: string; readonly plural: string; readonly isNamespaced: boolean };

async function resourcePath(cluster: Cluster, { apiVersion, kind }: Manifest): Promise<ResourcePath> {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const { resources } = (await cluster.request('GET', root)) as {
    resources: readonly { name: string; kind: string; namespaced: boolean }[];
  };
  const found = resources.find((resource) => resource.kind === kind && !resource.name.includes('/'));
  if (found === undefined) throw new Error(`the cluster has no kind ${kind} in ${apiVersion}`);
  return { root, plural: found.name, isNamespaced: found.namespaced };
}
