import { createHash } from 'node:crypto';
import { CONTROL_PLANE, IDENTITY_PORT } from '#config/names.ts';
import { createdBy, objectLabels, type Manifest } from '../manifest.ts';
import { imageOf, type Resources, type Values } from '#config/values.ts';

const TOKEN_VOLUME = 'linkerd-identity-token';
/** First argument of the image, and component label, of the process that is all of them. */
const SINGLE_PROCESS = 'control-plane';
const SINGLE_PROCESS_ADMIN_PORT = 9994;

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
  readonly account?: string; // ServiceAccount, where that is another
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

/** The objects of one component that runs by itself, in an order in which `kubectl apply` can create them. */
export function componentManifests(values: Values, component: Component): readonly Manifest[] {
  return [
    serviceAccount(values, component),
    ...rights(values, component, component.name),
    ...component.services,
    deployment(values, component),
    ...disruptionBudget(values, component),
  ];
}

/**
 * The objects of components that are one process. The account is that of the destination: it is the one that identity knows by
 * its token, and proxies expect that name whether the process runs by itself or not. It has the rights of all components.
 */
export function singleProcessManifests(
  values: Values,
  account: Component,
  components: readonly Component[],
): readonly Manifest[] {
  const all = [...components];
  const env = new Map(all.flatMap((one) => one.env.map((entry) => [entry.name, entry] as const)));
  // Not by the Service: its address is known only when this pod is ready, which it is not without a certificate.
  env.set('TULLE_IDENTITY_ADDRESS', { name: 'TULLE_IDENTITY_ADDRESS', value: `localhost:${IDENTITY_PORT}` });
  const merged: Component = {
    process: SINGLE_PROCESS,
    name: CONTROL_PLANE,
    account: account.name,
    ports: all.flatMap(({ ports }) => ports),
    adminPort: SINGLE_PROCESS_ADMIN_PORT,
    services: [],
    clusterRules: [],
    namespaceRules: [],
    env: [...env.values()],
    configMaps: all.flatMap(({ configMaps }) => configMaps),
    hasIdentityToken: true,
  };
  return [
    serviceAccount(values, account),
    ...all.flatMap((component) => [...rights(values, component, account.name), ...component.services]),
    deployment(values, merged),
    ...disruptionBudget(values, merged),
  ];
}

function serviceAccount(values: Values, { name, process }: Component): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: values.namespace, labels: objectLabels(values, process) },
  };
}

/** What the process may do, given to an account. */
function rights(values: Values, component: Component, account: string): readonly Manifest[] {
  const { namespace } = values;
  const { name } = component;
  const metadata = { name, namespace, labels: objectLabels(values, component.process) };
  const clusterName = `${namespace}-${name}`;
  const subjects = [{ kind: 'ServiceAccount', name: account, namespace }];
  const rbac = 'rbac.authorization.k8s.io';
  return [
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
      subjects,
    },
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata, rules: component.namespaceRules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects,
    },
  ];
}

function disruptionBudget(values: Values, { process, name }: Component): readonly Manifest[] {
  if (!values.highAvailability) return [];
  return [
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name, namespace: values.namespace, labels: objectLabels(values, process) },
      spec: { maxUnavailable: 1, selector: { matchLabels: podLabels(process) } },
    },
  ];
}

/**
 * Replicas on different nodes and zones where there are some. Preferred, not required as in Linkerd: a cluster of two nodes would
 * keep the third replica pending for ever, and a drained node could leave no place for a new one.
 */
function antiAffinity(process: string): Record<string, unknown> {
  const apart = (weight: number, topologyKey: string): Record<string, unknown> => ({
    weight,
    podAffinityTerm: { labelSelector: { matchLabels: podLabels(process) }, topologyKey },
  });
  return {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        apart(100, 'kubernetes.io/hostname'),
        apart(50, 'topology.kubernetes.io/zone'),
      ],
    },
  };
}

/** By what Services, budgets and Deployments find the pods. */
function podLabels(process: string): Record<string, string> {
  return { 'linkerd.io/control-plane-component': process };
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
      selector: podLabels(values.singleProcess ? SINGLE_PROCESS : component.process),
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
  const labels = podLabels(component.process);
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
          annotations: {
            ...createdBy(values),
            'linkerd.io/inject': 'disabled',
            // Only what reads the values from the ConfigMap restarts for any change; the others for one of their own settings.
            ...(component.configMaps.length > 0 ? { 'checksum/config': checksum(values) } : {}),
          },
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
    serviceAccountName: component.account ?? component.name,
    // Without this the API server puts <SERVICE>_PORT variables into the environment, which look like our own.
    enableServiceLinks: false,
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    ...(values.highAvailability ? { affinity: antiAffinity(component.process) } : {}),
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
        ...containerResources(values.controllerResources),
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

/** In the form of a container; what is not asked for is left out. */
function containerResources(resources: Resources): Record<string, unknown> {
  const of = (what: 'Request' | 'Limit'): Record<string, string> => ({
    ...(resources[`cpu${what}`] === undefined ? {} : { cpu: resources[`cpu${what}`] }),
    ...(resources[`memory${what}`] === undefined ? {} : { memory: resources[`memory${what}`] }),
  });
  const given = Object.entries({ requests: of('Request'), limits: of('Limit') }).filter(
    ([, map]) => Object.keys(map).length > 0,
  );
  return given.length === 0 ? {} : { resources: Object.fromEntries(given) };
}

/** A list field, left out when empty: the API server drops empty lists, and a second apply would see a difference. */
function list(field: string, values: readonly unknown[]): Record<string, readonly unknown[]> {
  return values.length === 0 ? {} : { [field]: values };
}

/** Changes whenever the values do, so that a new configuration restarts the processes that read it at start. */
function checksum(values: Values): string {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex');
}
