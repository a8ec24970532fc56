import { DESTINATION, DESTINATION_PORT, POLICY_PORT, STATUS_LEASE, TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import type { Manifest } from '../manifest.ts';
import { domainEnv, service, type Component } from './workload.ts';

const PROCESS = 'destination';

export function destinationComponent(values: Values): Component {
  const headless = (name: string, port: number, portName: string): Manifest =>
    service(values, { process: PROCESS }, { name, isHeadless: true, port, portName, targetPort: portName });
  return {
    process: PROCESS,
    name: DESTINATION,
    ports: [
      { name: 'dst-grpc', port: DESTINATION_PORT },
      { name: 'policy-grpc', port: POLICY_PORT },
    ],
    adminPort: 9996,
    services: [
      headless('tulle-dst-headless', DESTINATION_PORT, 'dst-grpc'),
      headless('tulle-policy', POLICY_PORT, 'policy-grpc'),
    ],
    clusterRules: [
      { apiGroups: [''], resources: ['pods', 'services', 'nodes', 'serviceaccounts'], verbs: ['list', 'watch'] },
      {
        apiGroups: ['discovery.k8s.io'],
        resources: ['endpointslices'],
        verbs: ['list', 'watch', 'create', 'update'],
      },
      { apiGroups: ['workload.linkerd.io'], resources: ['externalworkloads'], verbs: ['list', 'watch'] },
      { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['list', 'watch'] },
      {
        apiGroups: ['policy.linkerd.io'],
        resources: [
          'authorizationpolicies',
          'egressnetworks',
          'httplocalratelimitpolicies',
          'httproutes',
          'meshtlsauthentications',
          'networkauthentications',
          'serverauthorizations',
          'servers',
        ],
        verbs: ['list', 'watch'],
      },
      { apiGroups: ['linkerd.io'], resources: ['serviceprofiles'], verbs: ['list', 'watch'] },
      { apiGroups: ['split.smi-spec.io'], resources: ['trafficsplits'], verbs: ['list', 'watch'] },
      {
        apiGroups: ['gateway.networking.k8s.io'],
        resources: ['httproutes', 'grpcroutes', 'tlsroutes', 'tcproutes'],
        verbs: ['list', 'watch'],
      },
      {
        apiGroups: ['gateway.networking.k8s.io'],
        resources: ['httproutes/status', 'grpcroutes/status', 'tlsroutes/status', 'tcproutes/status'],
        verbs: ['patch'],
      },
      {
        apiGroups: ['policy.linkerd.io'],
        resources: [
          'authorizationpolicies/status',
          'egressnetworks/status',
          'httplocalratelimitpolicies/status',
          'httproutes/status',
          'meshtlsauthentications/status',
          'networkauthentications/status',
          'serverauthorizations/status',
          'servers/status',
        ],
        verbs: ['patch'],
      },
      { apiGroups: ['linkerd.io'], resources: ['serviceprofiles/status'], verbs: ['patch'] },
      { apiGroups: ['split.smi-spec.io'], resources: ['trafficsplits/status'], verbs: ['patch'] },
    ],
    namespaceRules: [
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: [STATUS_LEASE],
        verbs: ['get', 'update'],
      },
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: [TRUST_ROOTS_CONFIG_MAP],
        verbs: ['list', 'watch'],
      },
    ],
    env: [
      ...domainEnv(values),
      { name: 'TULLE_CLUSTER_DOMAIN', value: values.clusterDomain },
      { name: 'TULLE_CLUSTER_NETWORKS', value: values.clusterNetworks.join(',') },
      { name: 'TULLE_DEFAULT_INBOUND_POLICY', value: values.proxy.defaultInboundPolicy },
      { name: 'TULLE_OPAQUE_PORTS', value: values.proxy.opaquePorts },
      { name: 'TULLE_GLOBAL_EGRESS_NAMESPACE', value: values.egress.globalEgressNetworkNamespace },
      { name: 'TULLE_ALLOW_L5D_REQUEST_HEADERS', value: String(values.allowL5dRequestHeaders) },
    ],
    configMaps: [],
    hasIdentityToken: true,
  };
}
