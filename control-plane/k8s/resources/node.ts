import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

export type KubeNode = Metadata & { readonly zone?: string };

export const NODES: ResourceKind<KubeNode> = {
  plural: 'nodes',
  apiPath: '/api/v1',
  isNamespaced: false,
  parse(object) {
    const metadata = parseMetadata(object);
    if (metadata === undefined) return undefined;
    const zone = metadata.labels['topology.kubernetes.io/zone'];
    return { ...metadata, ...(zone !== undefined && { zone }) };
  },
};
