import type { ResourceKind } from '../resource-index.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

/** That there is such an account is all that is read of it. */
export type ServiceAccount = Pick<Metadata, 'namespace' | 'name'>;

export const SERVICE_ACCOUNTS: ResourceKind<ServiceAccount> = {
  plural: 'serviceaccounts',
  apiPath: '/api/v1',
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    return metadata && { namespace: metadata.namespace, name: metadata.name };
  },
};
