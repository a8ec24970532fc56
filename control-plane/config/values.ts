import { DurationError, parseDurationMs } from '#runtime/duration.ts';
import { LOG_LEVELS, type LogLevel } from '#runtime/log.ts';

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
  readonly identity: {
    readonly issuanceLifetime: string; // duration: how long a leaf is valid
    readonly clockSkewAllowance: string; // duration: how far clocks may disagree
    readonly issuer: 'own' | 'external'; // who makes the issuer: we, or somebody else
  };
  readonly webhookFailurePolicy: 'Ignore' | 'Fail';
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
  readonly resources: {
    readonly cpuRequest?: string;
    readonly cpuLimit?: string;
    readonly memoryRequest?: string;
    readonly memoryLimit?: string;
  };
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
    identity: { issuanceLifetime: '24h', clockSkewAllowance: '20s', issuer: 'own' },
    webhookFailurePolicy: 'Ignore',
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
      resources: { cpuRequest: '10m', memoryRequest: '64Mi' },
    },
  };
}

/** The image that every process of an installation runs. */
export function imageOf(values: Values): string {
  return `${values.image}:${values.version}`;
}

const MIN_ISSUANCE_MS = 20_000;
const MAX_REPLICAS = 9;

/**
 * What is wrong with the values, one sentence for each finding that names the value and the remedy; empty when all is well.
 */
export function validateValues(values: Values): readonly string[] {
  const problems: string[] = [];
  const lifetimeMs = durationProblem(problems, 'identity.issuanceLifetime', values.identity.issuanceLifetime);
  if (lifetimeMs !== undefined && lifetimeMs < MIN_ISSUANCE_MS) {
    problems.push(
      `identity.issuanceLifetime is "${values.identity.issuanceLifetime}": use at least ${MIN_ISSUANCE_MS / 1000}s, proxies renew at 70 % of it`,
    );
  }
  durationProblem(problems, 'identity.clockSkewAllowance', values.identity.clockSkewAllowance);
  if (!DEFAULT_INBOUND_POLICIES.includes(values.proxy.defaultInboundPolicy)) {
    problems.push(
      `proxy.defaultInboundPolicy is "${values.proxy.defaultInboundPolicy}": use one of ${DEFAULT_INBOUND_POLICIES.join(', ')}`,
    );
  }
  if (!LOG_LEVELS.includes(values.controllerLogLevel)) {
    problems.push(`controllerLogLevel is "${values.controllerLogLevel}": use one of ${LOG_LEVELS.join(', ')}`);
  }
  if (
    !Number.isInteger(values.controllerReplicas) ||
    values.controllerReplicas < 1 ||
    values.controllerReplicas > MAX_REPLICAS
  ) {
    problems.push(`controllerReplicas is ${values.controllerReplicas}: use a whole number from 1 to ${MAX_REPLICAS}`);
  }
  for (const name of ['clusterDomain', 'identityTrustDomain'] as const) {
    if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(values[name])) {
      problems.push(`${name} is "${values[name]}": use a DNS name in lower case, such as cluster.local`);
    }
  }
  if (!/^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$/.test(values.proxy.tapServiceAccount)) {
    problems.push(
      `proxy.tapServiceAccount is "${values.proxy.tapServiceAccount}": use NAME.NAMESPACE of a service account, or nothing`,
    );
  }
  if (!LOG_FILTER.test(values.proxy.logLevel)) {
    problems.push(`proxy.logLevel is "${values.proxy.logLevel}": use a level such as info, or warn,linkerd=debug`);
  }
  if (!IMAGE_NAME.test(values.image)) {
    problems.push(`image is "${values.image}": use a name without tag, such as registry.example/tulle`);
  }
  return problems;
}

/** A level, or Linkerd's `module=level,...`. */
const LOG_FILTER = /^[a-z0-9_:]+(=[a-z]+)?(,[a-z0-9_:]+(=[a-z]+)?)*$/i;
/** Host with an optional port, then path components. Source: distribution `reference`. */
const IMAGE_NAME = /^[a-z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:\d+(?=\/))?(\/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$/;

function durationProblem(problems: string[], name: string, text: string): number | undefined {
  try {
    return parseDurationMs(text);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    problems.push(`${name}: ${error.message}`);
    return undefined;
  }
}
