import { DEFAULT_INBOUND_POLICIES, defaultValues, type DefaultInboundPolicy } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { ConnectionSource } from '#k8s/connection.ts';
import { parseNetwork, type Network } from '#model/address.ts';
import { parsePortSet, type PortSet } from '#model/port-set.ts';
import { isDnsName, type TrustDomain } from '#pki/names.ts';
import { EnvironmentReader } from '#runtime/environment.ts';
import type { LogLevel } from '#runtime/log.ts';

/** Settings of the destination process. Keys and defaults are listed in README.md. */
export type DestinationConfig = {
  readonly logLevel: LogLevel;
  readonly kubernetes: ConnectionSource;
  readonly domain: TrustDomain;
  readonly clusterDomain: string;
  readonly serviceAccount: string; // its own
  readonly port: number;
  readonly policyPort: number;
  readonly adminPort: number;
  readonly identityAddress: string; // host:port
  readonly identityServiceAccount: string; // of the identity process
  readonly tokenFile: string;
  readonly clusterNetworks: readonly Network[];
  readonly probeNetworks: readonly Network[];
  readonly defaultInboundPolicy: DefaultInboundPolicy;
  readonly opaquePorts: PortSet;
  readonly isH2UpgradeEnabled: boolean;
  readonly allowsRequestHeaders: boolean;
  readonly globalEgressNamespace: string; // of EgressNetworks for namespaces without one
  readonly shutdownGraceMs: number;
};

/** @throws EnvironmentError  naming every bad setting */
export function readDestinationConfig(environment: Readonly<Record<string, string | undefined>>): DestinationConfig {
  const env = new EnvironmentReader(environment);
  const defaults = defaultValues(VERSION);
  const dnsName = (key: string, fallback: string): string =>
    env.parsed(key, fallback, (text) => (isDnsName(text) ? text : undefined), 'use a DNS name in lower case') ??
    fallback;
  const networks = (key: string, fallback: readonly string[]): readonly Network[] =>
    env.parsed(key, fallback.join(','), parseNetworks, 'use networks such as 10.0.0.0/8, separated by commas') ?? [];
  const controlPlaneNamespace = dnsName('TULLE_CONTROL_NAMESPACE', defaults.namespace);
  const clusterDomain = dnsName('TULLE_CLUSTER_DOMAIN', defaults.clusterDomain);
  const kubeconfig = env.optional('KUBECONFIG');
  const serviceHost = env.optional('KUBERNETES_SERVICE_HOST');
  const servicePort = env.optional('KUBERNETES_SERVICE_PORT');
  const config: DestinationConfig = {
    logLevel: env.logLevel('TULLE_LOG_LEVEL'),
    kubernetes: {
      ...(kubeconfig !== undefined && { kubeconfig }),
      ...(serviceHost !== undefined && { serviceHost }),
      ...(servicePort !== undefined && { servicePort }),
    },
    domain: { controlPlaneNamespace, trustDomain: dnsName('TULLE_TRUST_DOMAIN', defaults.identityTrustDomain) },
    clusterDomain,
    serviceAccount: dnsName('TULLE_SERVICE_ACCOUNT', 'tulle-destination'),
    port: env.port('TULLE_DESTINATION_PORT', 8086),
    policyPort: env.port('TULLE_POLICY_PORT', 8090),
    adminPort: env.port('TULLE_ADMIN_PORT', 9996),
    identityAddress: env.text(
      'TULLE_IDENTITY_ADDRESS',
      `tulle-identity-headless.${controlPlaneNamespace}.svc.${clusterDomain}.:8080`,
    ),
    identityServiceAccount: dnsName('TULLE_IDENTITY_SERVICE_ACCOUNT', 'tulle-identity'),
    tokenFile: env.text('TULLE_IDENTITY_TOKEN_FILE', '/var/run/secrets/tokens/linkerd-identity-token'),
    clusterNetworks: networks('TULLE_CLUSTER_NETWORKS', defaults.clusterNetworks),
    probeNetworks: networks('TULLE_PROBE_NETWORKS', ['0.0.0.0/0', '::/0']),
    defaultInboundPolicy: env.oneOf('TULLE_DEFAULT_INBOUND_POLICY', DEFAULT_INBOUND_POLICIES, 'all-unauthenticated'),
    opaquePorts: env.parsed(
      'TULLE_OPAQUE_PORTS',
      defaults.proxy.opaquePorts,
      parsePorts,
      'use ports and ranges, separated by commas',
    ) ?? { ranges: [] },
    isH2UpgradeEnabled: env.boolean('TULLE_H2_UPGRADE', true),
    allowsRequestHeaders: env.boolean('TULLE_ALLOW_L5D_REQUEST_HEADERS', defaults.allowL5dRequestHeaders),
    globalEgressNamespace: dnsName('TULLE_GLOBAL_EGRESS_NAMESPACE', defaults.egress.globalEgressNetworkNamespace),
    shutdownGraceMs: env.durationMs('TULLE_SHUTDOWN_GRACE', '10s', 0),
  };
  env.check();
  return config;
}

function parseNetworks(text: string): readonly Network[] | undefined {
  const networks = text.split(',').map((part) => parseNetwork(part.trim()));
  return networks.every((network) => network !== undefined) ? networks : undefined;
}

function parsePorts(text: string): PortSet | undefined {
  const { ports, unknown } = parsePortSet(text);
  return unknown.length === 0 ? ports : undefined;
}
