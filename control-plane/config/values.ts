import type { LogLevel } from '#runtime/log.ts';

/** Policies that a proxy applies to a port without policy objects. Source: linkerd2-proxy `INBOUND_DEFAULT_POLICY`. */
export const DEFAULT_INBOUND_POLICIES = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-unauthenticated',
  'cluster-authenticated',
  'deny',
  'audit',
] as const;
export type DefaultInboundPolicy = (typeof DEFAULT_INBOUND_POLICIES)[number];

/** Everything an installation can be told. The effective values are kept in ConfigMap `linkerd-config`, so they hold no secret. */
export type Values = {
  readonly version: string;
  readonly namespace: string;
  readonly image: string; // without tag; the tag is the version
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly clusterDomain: string;
  readonly identityTrustDomain: string;
  readonly clusterNetworks: readonly string[]; // CIDRs of pods, Services and nodes
  readonly controllerReplicas: number;
  readonly controllerLogLevel: LogLevel;
  readonly controllerUid: number;
  readonly controllerResources: Resources; // of each control-plane pod
  readonly highAvailability: boolean; // PodDisruptionBudgets, replicas on different nodes
  readonly singleProcess: boolean; // the control plane is one process in one pod
  readonly identity: {
    readonly issuanceLifetime: string; // duration: how long a leaf is valid
    readonly clockSkewAllowance: string; // duration: how far clocks may disagree
    readonly issuer: 'own' | 'external'; // who makes the issuer: we, or somebody else
  };
  readonly webhookFailurePolicy: 'Ignore' | 'Fail';
  readonly allowL5dRequestHeaders: boolean; // requests may ask for timeouts and retries of their own
  readonly egress: {
    readonly globalEgressNetworkNamespace: string; // its EgressNetworks are for clients of namespaces without one
  };
  readonly cni: {
    readonly enabled: boolean; // an agent on each node redirects pods, and not an init container of each
  };
  readonly repair: {
    readonly enabled: boolean; // evict pods that were created without a proxy while the webhook was away
  };
  readonly proxy: ProxyValues;
};

export type ProxyValues = {
  readonly uid: number;
  readonly logLevel: string;
  readonly logFormat: 'plain' | 'json';
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly controlPort: number;
  readonly adminPort: number;
  readonly tapServiceAccount: string; // `name.namespace` of who may tap the proxies; empty: nobody
  readonly skipInboundPorts: string; // port list: `25,3000-3010`
  readonly skipOutboundPorts: string;
  readonly opaquePorts: string;
  readonly defaultInboundPolicy: DefaultInboundPolicy;
  readonly tracing: TracingValues;
  readonly resources: Resources;
};

/** Where proxies send the spans of sampled traces. Names are those of Linkerd's chart. */
export type TracingValues = {
  readonly enabled: boolean;
  readonly traceServiceName: string;
  readonly collector: {
    readonly endpoint: string; // host:port that takes OTLP over gRPC; empty: none
    readonly meshIdentity: { readonly serviceAccountName: string; readonly namespace: string };
  };
};

/** Quantities of Kubernetes; what is absent is not asked for and not limited. */
export type Resources = {
  readonly cpuRequest?: string;
  readonly cpuLimit?: string;
  readonly memoryRequest?: string;
  readonly memoryLimit?: string;
};

/** The defaults. Port and policy defaults are Linkerd's, so that existing annotations and dashboards mean the same. */
export function defaultValues(version: string): Values {
  return {
    version,
    namespace: 'tulle',
    image: 'tulle.dev/tulle',
    imagePullPolicy: 'IfNotPresent',
    clusterDomain: 'cluster.local',
    identityTrustDomain: 'cluster.local',
    clusterNetworks: ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fd00::/8'],
    controllerReplicas: 1,
    controllerLogLevel: 'info',
    controllerUid: 2103,
    controllerResources: { cpuRequest: '10m', memoryRequest: '64Mi', memoryLimit: '512Mi' },
    highAvailability: false,
    singleProcess: false,
    identity: { issuanceLifetime: '24h', clockSkewAllowance: '20s', issuer: 'own' },
    webhookFailurePolicy: 'Ignore',
    allowL5dRequestHeaders: false,
    egress: { globalEgressNetworkNamespace: 'linkerd-egress' },
    cni: { enabled: false },
    repair: { enabled: true },
    proxy: {
      uid: 2102,
      logLevel: 'info',
      logFormat: 'json',
      inboundPort: 4143,
      outboundPort: 4140,
      controlPort: 4190,
      adminPort: 4191,
      tapServiceAccount: 'metrics-api.tulle-viz',
      skipInboundPorts: '4567,4568',
      skipOutboundPorts: '4567,4568',
      opaquePorts: '25,587,3306,4444,5432,6379,9300,11211',
      defaultInboundPolicy: 'all-unauthenticated',
      tracing: {
        enabled: false,
        traceServiceName: 'linkerd-proxy',
        collector: { endpoint: '', meshIdentity: { serviceAccountName: '', namespace: '' } },
      },
      resources: { cpuRequest: '10m', memoryRequest: '64Mi' },
    },
  };
}

/**
 * What `--ha` changes. The webhook stays `Ignore`, unlike Linkerd's: with `Fail` an injector that is away keeps every pod of the
 * cluster from starting, while a pod that missed it is found by `tulle check` and restarted. Who prefers no pod to one without a
 * proxy sets webhookFailurePolicy.
 */
export const HIGH_AVAILABILITY = {
  highAvailability: true,
  controllerReplicas: 3,
  controllerResources: { cpuRequest: '100m', memoryRequest: '96Mi' },
  proxy: { resources: { cpuRequest: '100m', memoryRequest: '64Mi', memoryLimit: '250Mi' } },
} as const;

/** What `--tiny` changes: for a node with little memory. */
export const TINY = {
  singleProcess: true,
  controllerResources: { memoryRequest: '96Mi', memoryLimit: '384Mi' },
  proxy: { resources: { cpuRequest: '5m', memoryRequest: '48Mi' } },
} as const;

/** What `--linkerd-cni-enabled` changes. */
export const CNI_ENABLED = { cni: { enabled: true } } as const;

/** The image that every process of an installation runs. */
export function imageOf(values: Values): string {
  return `${values.image}:${values.version}`;
}
