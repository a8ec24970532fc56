import type { KubeClient } from '#k8s/client.ts';
import { TAP_PATH, type TapRequestClient, type TapRequestObject } from './rights.ts';

/** TapRequests of the cluster. */
export function tapRequests(client: KubeClient): TapRequestClient {
  const path = (namespace: string, name: string): string =>
    `${TAP_PATH}/namespaces/${encodeURIComponent(namespace)}/taprequests/${encodeURIComponent(name)}`;
  return {
    get: async (namespace, name) =>
      (await client.request({ method: 'GET', path: path(namespace, name) })) as TapRequestObject,
    delete: async (namespace, name, uid) => {
      await client.request({ method: 'DELETE', path: path(namespace, name), body: { preconditions: { uid } } });
    },
  };
}
