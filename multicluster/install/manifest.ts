import { createdBy, type Manifest } from '../../control-plane/install/manifest.ts';
import { TRUST_ROOTS_CONFIG_MAP, identitySuffix } from '#config/names.ts';
import { imageOf, type Values } from '#config/values.ts';
import {
  GATEWAY,
  GATEWAY_IDENTITY,
  GATEWAY_PORT,
  MIRROR,
  NAMESPACE,
  PROBE_PORT,
  REMOTE_ACCESS,
  SERVICE_MIRROR,
  SERVICE_MIRROR_ADMIN_PORT,
} from '../names.ts';
import { linkCrd } from './crd.ts';

export type GatewayOptions = {
  readonly serviceType: 'LoadBalancer' | 'NodePort' | 'ClusterIP';
  readonly probeSeconds: number;
};

const RBAC = 'rbac.authorization.k8s.io';
const COMPONENT = 'linkerd.io/extension-component';
const READ = ['get', 'list', 'watch'];

/** The multicluster extension: the gateway that other clusters come in by, and the controller that mirrors theirs. */
export function multiclusterManifests(values: Values, gateway: GatewayOptions): readonly Manifest[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: NAMESPACE,
        labels: { 'linkerd.io/extension': 'multicluster' },
        annotations: { ...createdBy(values), 'linkerd.io/inject': 'disabled' },
      },
    },
    linkCrd(),
    ...gatewayManifests(values, gateway),
    ...serviceMirrorManifests(values),
    ...remoteAccessManifests(values),
  ];
}

function metadata(name: string, component: string): Manifest['metadata'] {
  return { name, namespace: NAMESPACE, labels: { 'linkerd.io/extension': 'multicluster', [COMPONENT]: component } };
}

function container(values: Values, name: string, process: string): Record<string, unknown> {
  return {
    name,
    image: imageOf(values),
    imagePullPolicy: values.imagePullPolicy,
    args: [process],
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}

function podSecurity(values: Values): Record<string, unknown> {
  return { runAsNonRoot: true, runAsUser: values.controllerUid, seccompProfile: { type: 'RuntimeDefault' } };
}

function gatewayManifests(values: Values, options: GatewayOptions): readonly Manifest[] {
  const selector = { [COMPONENT]: 'gateway' };
  const identity = `${GATEWAY}.${NAMESPACE}.${identitySuffix(values)}`;
  const meta = metadata(GATEWAY, 'gateway');
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        ...meta,
        annotations: {
          ...createdBy(values),
          [GATEWAY_IDENTITY]: identity,
          [`${MIRROR}/multicluster-gateway`]: 'true',
          [`${MIRROR}/probe-path`]: '/ready',
          [`${MIRROR}/probe-period`]: String(options.probeSeconds),
        },
      },
      spec: {
        type: options.serviceType,
        selector,
        ports: [
          { name: 'mc-gateway', port: GATEWAY_PORT, targetPort: GATEWAY_PORT },
          { name: 'mc-probe', port: PROBE_PORT, targetPort: PROBE_PORT },
        ],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...meta, annotations: createdBy(values) },
      spec: {
        replicas: 1,
        selector: { matchLabels: selector },
        template: {
          metadata: {
            labels: meta.labels,
            annotations: {
              ...createdBy(values),
              'linkerd.io/inject': 'enabled',
              'config.linkerd.io/enable-gateway': 'true',
              'config.linkerd.io/default-inbound-policy': 'all-authenticated',
              'config.linkerd.io/proxy-require-identity-inbound-ports': String(GATEWAY_PORT),
            },
          },
          spec: {
            serviceAccountName: GATEWAY,
            enableServiceLinks: false,
            nodeSelector: { 'kubernetes.io/os': 'linux' },
            securityContext: podSecurity(values),
            containers: [
              { ...container(values, 'pause', 'pause'), resources: { requests: { cpu: '1m', memory: '32Mi' } } },
            ],
          },
        },
      },
    },
  ];
}

function serviceMirrorManifests(values: Values): readonly Manifest[] {
  const meta = metadata(SERVICE_MIRROR, SERVICE_MIRROR);
  const clusterName = `${NAMESPACE}-${SERVICE_MIRROR}`;
  const subjects = [{ kind: 'ServiceAccount', name: SERVICE_MIRROR, namespace: NAMESPACE }];
  const probe = (path: string): Record<string, unknown> => ({ httpGet: { path, port: 'admin' } });
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRole',
      metadata: { name: clusterName, labels: meta.labels ?? {} },
      rules: [
        { apiGroups: [''], resources: ['namespaces'], verbs: READ },
        { apiGroups: [''], resources: ['services'], verbs: [...READ, 'create', 'patch', 'delete'] },
        {
          apiGroups: ['discovery.k8s.io'],
          resources: ['endpointslices'],
          verbs: [...READ, 'create', 'patch', 'delete'],
        },
        // Whoever mirrors Services writes addresses that are not of this cluster into slices.
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices/restricted'], verbs: ['create'] },
      ],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: clusterName, labels: meta.labels ?? {} },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: clusterName },
      subjects,
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'Role',
      metadata: meta,
      rules: [
        { apiGroups: [''], resources: ['secrets'], verbs: ['get'] },
        { apiGroups: ['multicluster.linkerd.io'], resources: ['links'], verbs: READ },
        { apiGroups: ['multicluster.linkerd.io'], resources: ['links/status'], verbs: ['patch'] },
      ],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'RoleBinding',
      metadata: meta,
      roleRef: { apiGroup: RBAC, kind: 'Role', name: SERVICE_MIRROR },
      subjects,
    },
    ...trustRootsRole(values, `${NAMESPACE}-${SERVICE_MIRROR}`, SERVICE_MIRROR),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...meta, annotations: createdBy(values) },
      spec: {
        replicas: 1,
        strategy: { type: 'Recreate' },
        selector: { matchLabels: { [COMPONENT]: SERVICE_MIRROR } },
        template: {
          metadata: { labels: meta.labels, annotations: createdBy(values) },
          spec: {
            serviceAccountName: SERVICE_MIRROR,
            enableServiceLinks: false,
            nodeSelector: { 'kubernetes.io/os': 'linux' },
            securityContext: podSecurity(values),
            containers: [
              {
                ...container(values, SERVICE_MIRROR, SERVICE_MIRROR),
                env: [
                  { name: 'TULLE_LOG_LEVEL', value: values.controllerLogLevel },
                  { name: 'TULLE_CONTROL_NAMESPACE', value: values.namespace },
                ],
                ports: [{ name: 'admin', containerPort: SERVICE_MIRROR_ADMIN_PORT }],
                startupProbe: { ...probe('/ready'), periodSeconds: 1, failureThreshold: 120 },
                livenessProbe: { ...probe('/live'), periodSeconds: 10 },
                readinessProbe: { ...probe('/ready'), periodSeconds: 2 },
                resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '256Mi' } },
              },
            ],
          },
        },
      },
    },
  ];
}

/** What other clusters may see of this one: Services and whether they have endpoints, and the trust anchors. */
function remoteAccessManifests(values: Values): readonly Manifest[] {
  const meta = metadata(REMOTE_ACCESS, 'remote-access');
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        ...meta,
        name: `${REMOTE_ACCESS}-token`,
        annotations: { 'kubernetes.io/service-account.name': REMOTE_ACCESS },
      },
      type: 'kubernetes.io/service-account-token',
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRole',
      metadata: { name: REMOTE_ACCESS, labels: meta.labels ?? {} },
      rules: [
        { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: REMOTE_ACCESS, labels: meta.labels ?? {} },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: REMOTE_ACCESS },
      subjects: [{ kind: 'ServiceAccount', name: REMOTE_ACCESS, namespace: NAMESPACE }],
    },
    ...trustRootsRole(values, REMOTE_ACCESS, REMOTE_ACCESS),
  ];
}

function trustRootsRole(values: Values, name: string, serviceAccount: string): readonly Manifest[] {
  const meta = { name, namespace: values.namespace, labels: { 'linkerd.io/extension': 'multicluster' } };
  return [
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'Role',
      metadata: meta,
      rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [TRUST_ROOTS_CONFIG_MAP], verbs: ['get'] }],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'RoleBinding',
      metadata: meta,
      roleRef: { apiGroup: RBAC, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name: serviceAccount, namespace: NAMESPACE }],
    },
  ];
}
