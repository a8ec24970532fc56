import type { KubeClient } from '#k8s/client.ts';
import { asList, asObject } from '#k8s/json.ts';
import { KubeError } from '#k8s/kube-error.ts';
import { keyOf, parseMetadata } from '#k8s/resources/metadata.ts';
import { patchTo, type Wanted } from './mirror.ts';

const API = { services: '/api/v1', endpointslices: '/apis/discovery.k8s.io/v1' } as const;
const KIND = { services: 'Service', endpointslices: 'EndpointSlice' } as const;
const MERGE_PATCH = 'application/merge-patch+json';

export type MirroredKind = keyof typeof API;

/** The mirrored objects of this cluster. Objects that are not labelled as mirrors are never touched. */
export class LocalMirrors {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  services(labelSelector: string): Promise<Map<string, unknown>> {
    return this.#list('services', labelSelector);
  }

  slices(labelSelector: string): Promise<Map<string, unknown>> {
    return this.#list('endpointslices', labelSelector);
  }

  /**
   * Makes an object as wanted.
   *
   * @param stored  as it is; absent: there is none that is a mirror
   * @returns why it cannot be, when somebody else's object has the name
   */
  async put(
    kind: MirroredKind,
    stored: unknown,
    wanted: Wanted,
    isAsWanted: (stored: unknown, wanted: Wanted) => boolean,
  ): Promise<string | undefined> {
    if (stored !== undefined && isAsWanted(stored, wanted)) return undefined;
    const { namespace, name } = wanted.metadata;
    const path = `${API[kind]}/namespaces/${namespace}/${kind}`;
    if (stored !== undefined) {
      const body = patchTo(stored, wanted);
      await this.#client.request({ method: 'PATCH', path: `${path}/${name}`, body, contentType: MERGE_PATCH });
      return undefined;
    }
    const apiVersion = API[kind].replace(/^\/apis?\//, '');
    try {
      await this.#client.request({ method: 'POST', path, body: { apiVersion, kind: KIND[kind], ...wanted } });
      return undefined;
    } catch (error) {
      if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
      return `${KIND[kind]} ${namespace}/${name} exists and is no mirror: rename it, or do not export that Service`;
    }
  }

  /** @param keys  `namespace/name` */
  async remove(kind: MirroredKind, keys: Iterable<string>): Promise<void> {
    for (const key of keys) {
      const [namespace = '', name = ''] = key.split('/');
      try {
        await this.#client.request({ method: 'DELETE', path: `${API[kind]}/namespaces/${namespace}/${kind}/${name}` });
      } catch (error) {
        if (!(error instanceof KubeError && error.isNotFound)) throw error;
      }
    }
  }

  async #list(kind: MirroredKind, labelSelector: string): Promise<Map<string, unknown>> {
    const query = { labelSelector };
    const { items } = asObject(await this.#client.request({ method: 'GET', path: `${API[kind]}/${kind}`, query }));
    const found = new Map<string, unknown>();
    for (const item of asList(items)) {
      const metadata = parseMetadata(item);
      if (metadata !== undefined) found.set(keyOf(metadata.namespace, metadata.name), item);
    }
    return found;
  }
}
