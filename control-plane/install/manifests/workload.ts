import { createHash } from 'node:crypto';
import { createdBy, objectLabels, type Manifest } from '../manifest.ts';
import { imageOf, type Values } from '#config/values.ts';

const TOKEN_VOLUME = 'linkerd-identity-token';

export type Rule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
};

/** What differs between the control plane's processes; everything else about their objects is the same. */
export type Component = {
  readonly process: string; // first argument of the image, and component label
  readonly name: string; // Deployment, ServiceAccount, ClusterRole (with the namespace in front), Role
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly adminPort: number;
  readonly services: readonly Manifest[];
  readonly clusterRules: readonly Rule[];
  readonly namespaceRules: readonly Rule[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  /** ConfigMaps mounted at `/etc/tulle/<name>`. */
  readonly configMaps: readonly string[];
  /** Token for `identity.l5d.io`, for processes that certify themselves like a proxy does. */
  readonly hasIdentityToken: boolean;
};

/** The objects of one component, in an order in which `kubectl apply` can create them. */
export function componentManifests(values: Values, component: Component): readonly Manifest[] {
  const { namespace } = values;
  const { name } = component;
  const metadata = { name, namespace, labels: objectLabels(values, component.process) };
  const clusterName = `${namespace}-${name}`;
  const subject = { kind: 'ServiceAccount', name, namespace };
  const rbac = 'rbac.authorization.k8s.io';
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: clusterName, labels: objectLabels(values, component.process) },
      rules: component.clusterRules,
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: clusterName, labels: objectLabels(values, component.process) },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: clusterName },
      subjects: [subject],
    },
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata, rules: component.namespaceRules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects: [subject],
    },
    ...component.services,
    deployment(values, component),
  ];
}

/** A Service of a component. Headless ones let proxies balance over the replicas themselves. */
export function service(
  values: Values,
  component: { readonly process: string },
  spec: {
    readonly name: string;
    readonly isHeadless: boolean;
    readonly port: number;
    readonly portName: string;
    readonly targetPort: string;
  },
): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: spec.name, namespace: values.namespace, labels: objectLabels(values, component.process) },
    spec: {
      ...(spec.isHeadless ? { clusterIP: 'None' } : {}),
      selector: { 'linkerd.io/control-plane-component': component.process },
      ports: [{ name: spec.portName, port: spec.port, targetPort: spec.targetPort }],
    },
  };
}

/** What identities are made of, for the processes that check or sign them. */
export function domainEnv(values: Values): readonly { readonly name: string; readonly value: string }[] {
  return [
    { name: 'TULLE_CONTROL_NAMESPACE', value: values.namespace },
    { name: 'TULLE_TRUST_DOMAIN', value: values.identityTrustDomain },
  ];
}

function deployment(values: Values, component: Component): Manifest {
  const labels = { 'linkerd.io/control-plane-component': component.process };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: component.name,
      namespace: values.namespace,
      labels: objectLabels(values, component.process),
      annotations: createdBy(values),
    },
    spec: {
      replicas: values.controllerReplicas,
      selector: { matchLabels: labels },
      template: {
        metadata: {
          // Not `linkerd.io/control-plane-ns`: on a pod that label means "has a proxy", and these speak mutual TLS themselves.
          labels,
          annotations: { ...createdBy(values), 'linkerd.io/inject': 'disabled', 'checksum/config': checksum(values) },
        },
        spec: podSpec(values, component),
      },
    },
  };
}

function podSpec(values: Values, component: Component): Record<string, unknown> {
  const probe = (path: string): Record<string, unknown> => ({ httpGet: { path, port: 'admin' } });
  const mounts = [
    ...component.configMaps.map((name) => ({ name, mountPath: `/etc/tulle/${name}`, readOnly: true })),
    ...(component.hasIdentityToken
      ? [{ name: TOKEN_VOLUME, mountPath: '/var/run/secrets/tokens', readOnly: true }]
      : []),
  ];
  const volumes = [
    ...component.configMaps.map((name) => ({ name, configMap: { name, optional: true } })),
    ...(component.hasIdentityToken ? [identityTokenVolume()] : []),
  ];
  return {
    serviceAccountName: component.name,
    // Without this the API server puts <SERVICE>_PORT variables into the environment, which look like our own.
    enableServiceLinks: false,
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    terminationGracePeriodSeconds: 30,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: values.controllerUid,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: component.process,
        image: imageOf(values),
        imagePullPolicy: values.imagePullPolicy,
        args: [component.process],
        env: [...component.env, { name: 'TULLE_LOG_LEVEL', value: values.controllerLogLevel }],
        ports: [
          ...component.ports.map(({ name, port }) => ({ name, containerPort: port })),
          { name: 'admin', containerPort: component.adminPort },
        ],
        startupProbe: { ...probe('/ready'), periodSeconds: 1, failureThreshold: 120 },
        livenessProbe: { ...probe('/live'), periodSeconds: 10 },
        readinessProbe: { ...probe('/ready'), periodSeconds: 2, failureThreshold: 3 },
        resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '512Mi' } },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        ...list('volumeMounts', mounts),
      },
    ],
    ...list('volumes', volumes),
  };
}

/** The token that identity accepts. Source: linkerd2 `_volumes.tpl`. */
function identityTokenVolume(): Record<string, unknown> {
  return {
    name: TOKEN_VOLUME,
    projected: {
      sources: [
        {
          serviceAccountToken: {
            path: 'linkerd-identity-token',
            audience: 'identity.l5d.io',
            expirationSeconds: 86_400,
          },
        },
      ],
    },
  };
}

/** A list field, left out when empty: the API server drops empty lists, and a second apply would see a difference. */
function list(field: string, values: readonly unknown[]): Record<string, readonly unknown[]> {
  return values.length === 0 ? {} : { [field]: values };
}

/** Changes whenever the values do, so that a new configuration restarts the processes that read it at start. */
function checksum(values: Values): string {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex');
}
