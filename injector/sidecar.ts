import { controlAddresses, controlIdentity, DESTINATION, IDENTITY, identitySuffix } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import type { EnvVar } from './annotation-values.ts';
import type { ProxySettings } from './annotations.ts';
import { IDENTITY_VOLUME, INIT_CONTAINER, PROXY_CONTAINER, TOKEN_VOLUME, VALIDATOR_CONTAINER } from './decision.ts';

/** Neither may be the proxy's user, whose connections are not redirected. */
const VALIDATOR_UIDS = [65_534, 65_533] as const;
const IDENTITY_DIR = '/var/run/linkerd/identity/end-entity';
/** As Linkerd's for a detection without timeout. */
const ENDLESS = '365d';
const TOKEN_DIR = '/var/run/secrets/tokens';

export type SidecarInput = {
  readonly values: Values;
  readonly settings: ProxySettings;
  readonly trustAnchorsPem: string;
  readonly inboundPorts: readonly number[];
  readonly isIngress: boolean;
};

type Json = Readonly<Record<string, unknown>>;

/**
 * The init container that sees to it that the pod's traffic is redirected, by itself or by waiting for the node's agent, which
 * reads from its arguments what to do. It ends before anything else of the pod starts.
 */
export function initContainer({ values, settings }: SidecarInput): Json {
  const isByNode = values.cni.enabled;
  const validatorUid = VALIDATOR_UIDS.find((uid) => uid !== settings.uid);
  const ignoredInbound = [settings.controlPort, settings.adminPort, settings.skipInboundPorts]
    .filter((part) => part !== '')
    .join(',');
  return {
    name: isByNode ? VALIDATOR_CONTAINER : INIT_CONTAINER,
    ...image(values, settings),
    args: [
      isByNode ? 'await-redirect' : 'proxy-init',
      '--incoming-proxy-port',
      String(settings.inboundPort),
      '--outgoing-proxy-port',
      String(settings.outboundPort),
      '--proxy-uid',
      String(settings.uid),
      '--inbound-ports-to-ignore',
      ignoredInbound,
      ...(settings.skipOutboundPorts === '' ? [] : ['--outbound-ports-to-ignore', settings.skipOutboundPorts]),
      ...(settings.skipSubnets === '' ? [] : ['--subnets-to-ignore', settings.skipSubnets]),
    ],
    resources: resources(settings),
    securityContext: {
      // Kubernetes gives an added capability only to uid 0; everything else is dropped, and the container ends within a moment.
      ...(isByNode
        ? { runAsUser: validatorUid, runAsGroup: validatorUid, runAsNonRoot: true }
        : { runAsUser: 0, runAsGroup: 0, runAsNonRoot: false }),
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], ...(isByNode ? {} : { add: ['NET_ADMIN'] }) },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

/**
 * The proxy. As a native sidecar it starts before the application's own init containers and ends after its containers; as
 * an ordinary container it does neither.
 */
export function proxyContainer(input: SidecarInput): Json {
  const { values, settings } = input;
  const probe = (path: string): Json => ({ httpGet: { path, port: settings.adminPort } });
  return {
    name: PROXY_CONTAINER,
    ...image(values, settings),
    ...(settings.isNativeSidecar ? { restartPolicy: 'Always' } : {}),
    args: ['proxy'],
    env: environment(input),
    ports: [
      { name: 'linkerd-proxy', containerPort: settings.inboundPort },
      { name: 'linkerd-admin', containerPort: settings.adminPort },
    ],
    ...(settings.isNativeSidecar && settings.isAwaited
      ? { startupProbe: { ...probe('/ready'), periodSeconds: 1, failureThreshold: 120 } }
      : {}),
    livenessProbe: { ...probe('/live'), initialDelaySeconds: 10, timeoutSeconds: 1 },
    readinessProbe: { ...probe('/ready'), initialDelaySeconds: 2, timeoutSeconds: 1 },
    ...(settings.isNativeSidecar || settings.waitBeforeExitSeconds === 0
      ? {}
      : { lifecycle: { preStop: { sleep: { seconds: settings.waitBeforeExitSeconds } } } }),
    resources: resources(settings),
    securityContext: {
      runAsUser: settings.uid,
      ...(settings.gid === undefined ? {} : { runAsGroup: settings.gid }),
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: IDENTITY_VOLUME, mountPath: IDENTITY_DIR },
      { name: TOKEN_VOLUME, mountPath: TOKEN_DIR, readOnly: true },
    ],
  };
}

/** Volumes that the proxy needs. The token's audience makes it useless for anything but getting a certificate. */
export function sidecarVolumes(): readonly Json[] {
  return [
    { name: IDENTITY_VOLUME, emptyDir: { medium: 'Memory' } },
    {
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
    },
  ];
}

function image(values: Values, settings: ProxySettings): Json {
  const name = settings.image ?? values.image;
  // A tag follows the last path component; before it a colon belongs to the port of the registry.
  const hasTag = /[:@][^/]*$/.test(name);
  return {
    image: hasTag ? name : `${name}:${settings.imageTag ?? values.version}`,
    imagePullPolicy: settings.imagePullPolicy ?? values.imagePullPolicy,
  };
}

function resources({ cpu, memory, ephemeralStorage }: ProxySettings): Json {
  const all = Object.entries({ cpu, memory, 'ephemeral-storage': ephemeralStorage });
  const requests = all.flatMap(([name, { request }]) => (request === undefined ? [] : [[name, request] as const]));
  const limits = all.flatMap(([name, { limit }]) => (limit === undefined ? [] : [[name, limit] as const]));
  return {
    ...(requests.length === 0 ? {} : { requests: Object.fromEntries(requests) }),
    ...(limits.length === 0 ? {} : { limits: Object.fromEntries(limits) }),
  };
}

/** The proxy's environment. Names and order: linkerd2 `charts/partials/templates/_proxy.tpl`. */
function environment({ values, settings, trustAnchorsPem, inboundPorts, isIngress }: SidecarInput): readonly EnvVar[] {
  const addresses = controlAddresses(values);
  const networks = values.clusterNetworks.join(',');
  const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const destination = controlIdentity(values, DESTINATION);
  return [
    field('_pod_name', 'metadata.name'),
    field('_pod_ns', 'metadata.namespace'),
    field('_pod_uid', 'metadata.uid'),
    field('_pod_ip', 'status.podIP'),
    field('_pod_nodeName', 'spec.nodeName'),
    field('_pod_sa', 'spec.serviceAccountName'),
    { name: '_pod_containerName', value: PROXY_CONTAINER },
    proxy('LOG', settings.logLevel),
    proxy('LOG_FORMAT', settings.logFormat),
    proxy('DESTINATION_SVC_ADDR', addresses.destination),
    proxy('DESTINATION_SVC_NAME', destination),
    proxy('DESTINATION_PROFILE_NETWORKS', networks),
    proxy('DESTINATION_PROFILE_SUFFIXES', `svc.${values.clusterDomain}.`),
    proxy('DESTINATION_CONTEXT', '{"ns":"$(_pod_ns)","nodeName":"$(_pod_nodeName)","pod":"$(_pod_name)"}\n'),
    proxy('POLICY_SVC_ADDR', addresses.policy),
    proxy('POLICY_SVC_NAME', destination),
    proxy('POLICY_WORKLOAD', '{"ns":"$(_pod_ns)","pod":"$(_pod_name)"}\n'),
    proxy('POLICY_CLUSTER_NETWORKS', networks),
    proxy('INBOUND_DEFAULT_POLICY', settings.defaultInboundPolicy),
    ...(settings.requireIdentityPorts === ''
      ? []
      : [proxy('INBOUND_PORTS_REQUIRE_IDENTITY', settings.requireIdentityPorts)]),
    proxy('CONTROL_STREAM_INITIAL_TIMEOUT', '3s'),
    proxy('CONTROL_STREAM_IDLE_TIMEOUT', '5m'),
    proxy('CONTROL_STREAM_LIFETIME', '1h'),
    proxy('INBOUND_CONNECT_TIMEOUT', settings.inboundConnectTimeout),
    proxy('OUTBOUND_CONNECT_TIMEOUT', settings.outboundConnectTimeout),
    proxy('OUTBOUND_DISCOVERY_IDLE_TIMEOUT', settings.outboundDiscoveryIdle),
    proxy('INBOUND_DISCOVERY_IDLE_TIMEOUT', settings.inboundDiscoveryIdle),
    ...(settings.isOutboundDetectEndless ? [proxy('OUTBOUND_DETECT_TIMEOUT', ENDLESS)] : []),
    ...(settings.isInboundDetectEndless ? [proxy('INBOUND_DETECT_TIMEOUT', ENDLESS)] : []),
    ...(settings.accessLog === undefined ? [] : [proxy('ACCESS_LOG', settings.accessLog)]),
    ...(values.proxy.tapServiceAccount === '' || !settings.isTappable
      ? []
      : [proxy('TAP_SVC_NAME', `${values.proxy.tapServiceAccount}.${identitySuffix(values)}`)]),
    ...tracing(values, settings),
    // The redirect program takes IPv6 too: somebody must be there. `[::]` takes both, and only IPv4 where there is no other.
    proxy('CONTROL_LISTEN_ADDR', `[::]:${settings.controlPort}`),
    proxy('ADMIN_LISTEN_ADDR', `[::]:${settings.adminPort}`),
    proxy('INBOUND_LISTEN_ADDR', `[::]:${settings.inboundPort}`),
    proxy('OUTBOUND_LISTEN_ADDR', `127.0.0.1:${settings.outboundPort}`),
    proxy('OUTBOUND_LISTEN_ADDRS', `127.0.0.1:${settings.outboundPort},[::1]:${settings.outboundPort}`),
    { name: 'LINKERD2_PROXY_INBOUND_IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } },
    proxy('INBOUND_PORTS', inboundPorts.join(',')),
    proxy('INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION', numericPorts(settings.opaquePorts)),
    ...(settings.isGateway ? [proxy('INBOUND_GATEWAY_SUFFIXES', `svc.${values.clusterDomain}.`)] : []),
    ...(isIngress ? [proxy('INGRESS_MODE', 'true')] : []),
    ...(settings.shutdownGracePeriod === undefined
      ? []
      : [proxy('SHUTDOWN_GRACE_PERIOD', settings.shutdownGracePeriod)]),
    proxy('IDENTITY_DIR', IDENTITY_DIR),
    proxy('IDENTITY_TRUST_ANCHORS', trustAnchorsPem),
    proxy('IDENTITY_TOKEN_FILE', `${TOKEN_DIR}/linkerd-identity-token`),
    proxy('IDENTITY_SVC_ADDR', addresses.identity),
    proxy('IDENTITY_SVC_NAME', controlIdentity(values, IDENTITY)),
    proxy('IDENTITY_LOCAL_NAME', `$(_pod_sa).$(_pod_ns).${identitySuffix(values)}`),
    ...settings.additionalEnv,
  ];
}

function proxy(name: string, value: string): EnvVar {
  return { name: `LINKERD2_PROXY_${name}`, value };
}

/** What spans say of the pod. Source: linkerd2 `charts/partials/templates/_trace.tpl`. */
const TRACE_ATTRIBUTES = [
  'k8s.pod.name=$(_pod_name)',
  'k8s.pod.uid=$(_pod_uid)',
  'k8s.namespace.name=$(_pod_ns)',
  'k8s.node.name=$(_pod_nodeName)',
  'k8s.container.name=$(_pod_containerName)',
];

function tracing(values: Values, { tracing: settings, traceAttributes }: ProxySettings): readonly EnvVar[] {
  if (settings === undefined) return [];
  const { collector, serviceAccount, namespace, serviceName } = settings;
  return [
    proxy('TRACE_COLLECTOR_SVC_ADDR', collector),
    proxy('TRACE_COLLECTOR_SVC_NAME', `${serviceAccount}.${namespace}.${identitySuffix(values)}`),
    proxy('TRACE_SERVICE_NAME', serviceName),
    proxy('TRACE_EXTRA_ATTRIBUTES', [...TRACE_ATTRIBUTES, ...traceAttributes].join('\n')),
  ];
}

/** A port list without the names of container ports, which only the control plane can resolve. */
function numericPorts(list: string): string {
  return list
    .split(',')
    .filter((item) => /^\d/.test(item))
    .join(',');
}
