import { basename, dirname } from 'node:path';
import { createdBy, type Manifest } from '../../control-plane/install/manifest.ts';
import { imageOf, type Values } from '#config/values.ts';
import { TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import { IDENTITY_TOKEN_FILE, METRICS_API_ADMIN_PORT, METRICS_API_PORT } from '../config.ts';
import { TAP_GROUP } from '../tap/rights.ts';

const NAMESPACE = 'tulle-viz';
const NAME = 'metrics-api';
const TOKEN_VOLUME = 'tulle-tap-token';

/** What the dashboard's findings are read from. */
const FINDINGS_RULES = [
  { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['list'] },
  { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['get'] },
  {
    apiGroups: ['gateway.networking.k8s.io'],
    resources: ['gateways', 'httproutes', 'grpcroutes', 'tlsroutes', 'tcproutes'],
    verbs: ['list'],
  },
  { apiGroups: ['linkerd.io'], resources: ['serviceprofiles'], verbs: ['list'] },
  { apiGroups: ['workload.linkerd.io'], resources: ['externalworkloads'], verbs: ['list'] },
  { apiGroups: ['split.smi-spec.io'], resources: ['trafficsplits'], verbs: ['list'] },
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
    verbs: ['list'],
  },
];

/** The viz extension: one process that scrapes the proxies and answers the commands. It needs no Prometheus. */
export function vizManifests(values: Values): readonly Manifest[] {
  const labels = { 'linkerd.io/extension': 'viz', 'linkerd.io/extension-component': NAME };
  const metadata = { name: NAME, namespace: NAMESPACE, labels };
  const clusterName = `${NAMESPACE}-${NAME}`;
  const rbac = 'rbac.authorization.k8s.io';
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: NAMESPACE,
        labels: { 'linkerd.io/extension': 'viz' },
        annotations: { ...createdBy(values), 'linkerd.io/inject': 'enabled' },
      },
    },
    tapRequestDefinition(labels),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: clusterName, labels },
      rules: [
        { apiGroups: [''], resources: ['pods', 'services'], verbs: ['list', 'watch'] },
        ...FINDINGS_RULES,
        { apiGroups: [TAP_GROUP], resources: ['taprequests'], verbs: ['get', 'delete'] },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: clusterName, labels },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: clusterName },
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
    },
    ...trustRootsRights(values, labels),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        selector: { 'linkerd.io/extension-component': NAME },
        ports: [{ name: 'http', port: METRICS_API_PORT, targetPort: 'http' }],
      },
    },
    deployment(values, labels),
  ];
}

/** Who may create these in a namespace may tap it: the API server checks it, metrics-api uses each one up. */
function tapRequestDefinition(labels: Readonly<Record<string, string>>): Manifest {
  const nonceHash = { type: 'string', pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the nonce, hexadecimal.' };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `taprequests.${TAP_GROUP}`, labels },
    spec: {
      group: TAP_GROUP,
      names: { plural: 'taprequests', singular: 'taprequest', kind: 'TapRequest', listKind: 'TapRequestList' },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              description: 'The right to tap the namespace once, within a minute.',
              properties: { spec: { type: 'object', required: ['nonceHash'], properties: { nonceHash } } },
            },
          },
        },
      ],
    },
  };
}

/** The trust anchors, which tapping is checked against. */
function trustRootsRights(values: Values, labels: Readonly<Record<string, string>>): readonly Manifest[] {
  const rbac = 'rbac.authorization.k8s.io';
  const metadata = { name: `${NAMESPACE}-${NAME}`, namespace: values.namespace, labels };
  return [
    {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata,
      rules: [
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: [TRUST_ROOTS_CONFIG_MAP],
          verbs: ['list', 'watch'],
        },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
    },
  ];
}

function deployment(values: Values, labels: Readonly<Record<string, string>>): Manifest {
  const probe = (path: string): Record<string, unknown> => ({ httpGet: { path, port: 'admin' } });
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: NAME, namespace: NAMESPACE, labels, annotations: createdBy(values) },
    spec: {
      replicas: 1,
      selector: { matchLabels: { 'linkerd.io/extension-component': NAME } },
      template: {
        metadata: {
          labels,
          // Scrapes go straight to the proxies: through the own proxy they would count as traffic of the mesh. The API server is never meshed.
          annotations: { ...createdBy(values), 'config.linkerd.io/skip-outbound-ports': '443,4190,4191,6443' },
        },
        spec: {
          serviceAccountName: NAME,
          // Without this the API server puts <SERVICE>_PORT variables into the environment, which look like our own.
          enableServiceLinks: false,
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          securityContext: {
            runAsNonRoot: true,
            runAsUser: values.controllerUid,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          volumes: [
            {
              name: TOKEN_VOLUME,
              projected: {
                sources: [
                  {
                    serviceAccountToken: {
                      path: basename(IDENTITY_TOKEN_FILE),
                      audience: 'identity.l5d.io',
                      expirationSeconds: 86_400,
                    },
                  },
                ],
              },
            },
          ],
          containers: [
            {
              name: NAME,
              image: imageOf(values),
              imagePullPolicy: values.imagePullPolicy,
              args: [NAME],
              env: [
                { name: 'TULLE_LOG_LEVEL', value: values.controllerLogLevel },
                { name: 'TULLE_CONTROL_NAMESPACE', value: values.namespace },
                { name: 'TULLE_TRUST_DOMAIN', value: values.identityTrustDomain },
                { name: 'TULLE_CLUSTER_DOMAIN', value: values.clusterDomain },
                { name: 'TULLE_TAP_SERVICE_ACCOUNT', value: `${NAME}.${NAMESPACE}` },
              ],
              ports: [
                { name: 'http', containerPort: METRICS_API_PORT },
                { name: 'admin', containerPort: METRICS_API_ADMIN_PORT },
              ],
              volumeMounts: [{ name: TOKEN_VOLUME, mountPath: dirname(IDENTITY_TOKEN_FILE), readOnly: true }],
              startupProbe: { ...probe('/ready'), periodSeconds: 1, failureThreshold: 120 },
              livenessProbe: { ...probe('/live'), periodSeconds: 10 },
              readinessProbe: { ...probe('/ready'), periodSeconds: 2 },
              resources: { requests: { cpu: '10m', memory: '96Mi' }, limits: { memory: '512Mi' } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
            },
          ],
        },
      },
    },
  };
}
