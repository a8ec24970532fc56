import {
  IDENTITY,
  IDENTITY_ANCHOR_SECRET,
  IDENTITY_ISSUER_SECRET,
  IDENTITY_PORT,
  TRUST_ROOTS_CONFIG_MAP,
} from '#config/names.ts';
import type { Values } from '#config/values.ts';
import { domainEnv, service, type Component } from './workload.ts';

const PROCESS = 'identity';

/** Only this process can read the keys of the issuer and of the trust anchor. */
export function identityComponent(values: Values): Component {
  return {
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
      { apiGroups: [''], resources: ['secrets', 'configmaps', 'events'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: [IDENTITY_ISSUER_SECRET, IDENTITY_ANCHOR_SECRET],
        verbs: ['get', 'update'],
      },
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: [TRUST_ROOTS_CONFIG_MAP],
        verbs: ['get', 'list', 'watch', 'update'],
      },
    ],
    env: [
      ...domainEnv(values),
      { name: 'TULLE_IDENTITY_ISSUANCE_LIFETIME', value: values.identity.issuanceLifetime },
      { name: 'TULLE_IDENTITY_CLOCK_SKEW_ALLOWANCE', value: values.identity.clockSkewAllowance },
      { name: 'TULLE_IDENTITY_ISSUER', value: values.identity.issuer },
    ],
    configMaps: [],
    hasIdentityToken: false,
  };
}
