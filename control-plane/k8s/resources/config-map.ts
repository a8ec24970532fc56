import { asObject, asTextMap } from '../json.ts';
import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

export type ConfigMap = Metadata & { readonly data: Readonly<Record<string, string>> };

export const CONFIG_MAPS: ResourceKind<ConfigMap> = {
  plural: 'configmaps',
  apiPath: '/api/v1',
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    return metadata && { ...metadata, data: asTextMap(asObject(object)['data']) };
  },
};
