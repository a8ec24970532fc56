import { ApiError, type Cluster } from './cluster.ts';

/** What names an object of the API. */
export type ObjectReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
};

type Resource = { readonly root: string; readonly plural: string; readonly isNamespaced: boolean };

/** Request paths of objects, by what the API server says about their kinds. Each group and version is asked for once. */
export class ResourcePaths {
  readonly #cluster: Cluster;
  readonly #resources = new Map<string, Promise<readonly { name: string; kind: string; namespaced: boolean }[]>>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** @returns undefined when the cluster has no such kind */
  async of({ apiVersion, kind, metadata }: ObjectReference): Promise<string | undefined> {
    const resource = await this.#find(apiVersion, kind);
    if (resource === undefined) return undefined;
    const scope = resource.isNamespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : '';
    return `${resource.root}${scope}/${resource.plural}/${metadata.name}`;
  }

  async #find(apiVersion: string, kind: string): Promise<Resource | undefined> {
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    let resources = this.#resources.get(root);
    if (resources === undefined) {
      resources = this.#list(root);
      this.#resources.set(root, resources);
    }
    const found = (await resources).find((resource) => resource.kind === kind && !resource.name.includes('/'));
    return found === undefined ? undefined : { root, plural: found.name, isNamespaced: found.namespaced };
  }

  async #list(root: string): Promise<readonly { name: string; kind: string; namespaced: boolean }[]> {
    try {
      const answer = (await this.#cluster.request('GET', root)) as {
        resources?: readonly { name: string; kind: string; namespaced: boolean }[];
      };
      return answer.resources ?? [];
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return [];
      throw error;
    }
  }
}
