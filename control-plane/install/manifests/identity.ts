import { IDENTITY, IDENTITY_PORT, TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import type { Manifest } from '../manifest.ts';
import { componentManifests, service } from './workload.ts';

const PROCESS = 'identity';

/** Only this process can read the keys of the issuer and of the trust anchor. */
export function identityManifests(values: Values): readonly Manifest[] {
  return componentManifests(values, {
    process: PROCESS,
    name: IDENTITY,
    ports: [{ name: 'grpc', port: IDENTITY_PORT }],
    adminPort: 9990,
    services: [
      service(
        values,
        { process: PROCESS },
        {
          name: 'tulle-identity-headless',
          isHeadless: true,
          port: IDENTITY_PORT,
          portName: 'grpc',
          targetPort: 'grpc',
        },
      ),
    ],
    clusterRules: [{ apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] }],
    namespaceRules: [
      { apiGroups: [''], resources: ['secrets', 'configmaps'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: ['linkerd-identity-issuer', 'linkerd-identity-anchor'],
        verbs: ['get', 'update', 'patch'],
      },
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: [TRUST_ROOTS_CONFIG_MAP],
        verbs: ['get', 'update', 'patch'],
      },
    ],
    env: [],
    configMaps: [],
    hasIdentityToken: false,
  });
}
