import type { KubeClient } from './client.ts';
import { asList, asObject, asText, isObject, type JsonObject } from './json.ts';
import { KubeError } from './kube-error.ts';

const PAGE_SIZE = 500;

/** Media type of lists that hold nothing but the metadata of objects. Source: Kubernetes API concepts, "Metadata-only fetches". */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

export type ListRequest = {
  readonly path: string;
  readonly selectors: Readonly<Record<string, string>>;
  readonly isMetadataOnly?: boolean;
  readonly signal: AbortSignal;
};

/**
 * Reads a whole list, page by page, as it was at one moment.
 *
 * @param each  told of every object
 * @returns the resource version of that moment
 * @throws KubeError  also when there is no resource version
 */
export async function listAll(
  client: KubeClient,
  request: ListRequest,
  each: (object: JsonObject) => void,
): Promise<string> {
  const { path, selectors, isMetadataOnly = false, signal } = request;
  let page: Readonly<Record<string, string>> = {};
  let metadata: JsonObject;
  do {
    const list = asObject(
      await client.request({
        method: 'GET',
        path,
        query: { ...selectors, limit: String(PAGE_SIZE), ...page },
        ...(isMetadataOnly && { accept: METADATA_ONLY }),
        signal,
      }),
    );
    for (const item of asList(list['items'])) if (isObject(item)) each(item);
    metadata = asObject(list['metadata']);
    page = { continue: asText(metadata['continue']) ?? '' };
  } while (page['continue'] !== '');
  const resourceVersion = asText(metadata['resourceVersion']);
  if (resourceVersion === undefined)
    throw new KubeError(`GET ${path}: the list has no resource version`, { reason: 'InvalidAnswer' });
  return resourceVersion;
}
