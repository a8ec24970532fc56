import { IDENTITY } from '#config/names.ts';
import { EnvironmentReader } from '#runtime/environment.ts';
import type { LogLevel } from '#runtime/log.ts';
import { isDnsName, type TrustDomain } from '#pki/names.ts';
import type { ConnectionSource } from '#k8s/connection.ts';

/** Settings of the identity process. Keys and defaults are listed in README.md. */
export type IdentityConfig = {
  readonly logLevel: LogLevel;
  readonly kubernetes: ConnectionSource;
  readonly domain: TrustDomain;
  readonly serviceAccount: string; // its own, whose identity its server shows
  readonly deployment: string; // that runs it
  readonly port: number;
  readonly adminPort: number;
  readonly leafLifetimeMs: number;
  readonly clockSkewMs: number;
  readonly issuerLifetimeMs: number;
  readonly anchorLifetimeMs: number;
  readonly isIssuerExternal: boolean;
  readonly shutdownGraceMs: number;
};

/** @throws EnvironmentError  naming every bad setting */
export function readIdentityConfig(environment: Readonly<Record<string, string | undefined>>): IdentityConfig {
  const env = new EnvironmentReader(environment);
  const dnsName = (key: string, fallback: string): string =>
    env.parsed(key, fallback, (text) => (isDnsName(text) ? text : undefined), 'use a DNS name in lower case') ??
    fallback;
  const kubeconfig = env.optional('KUBECONFIG');
  const serviceHost = env.optional('KUBERNETES_SERVICE_HOST');
  const servicePort = env.optional('KUBERNETES_SERVICE_PORT');
  const config: IdentityConfig = {
    logLevel: env.logLevel('TULLE_LOG_LEVEL'),
    kubernetes: {
      ...(kubeconfig !== undefined && { kubeconfig }),
      ...(serviceHost !== undefined && { serviceHost }),
      ...(servicePort !== undefined && { servicePort }),
    },
    domain: {
      controlPlaneNamespace: dnsName('TULLE_CONTROL_NAMESPACE', 'tulle'),
      trustDomain: dnsName('TULLE_TRUST_DOMAIN', 'cluster.local'),
    },
    serviceAccount: dnsName('TULLE_SERVICE_ACCOUNT', IDENTITY),
    deployment: IDENTITY,
    port: env.port('TULLE_IDENTITY_PORT', 8080),
    adminPort: env.port('TULLE_ADMIN_PORT', 9990),
    leafLifetimeMs: env.durationMs('TULLE_IDENTITY_ISSUANCE_LIFETIME', '24h', 20_000),
    clockSkewMs: env.durationMs('TULLE_IDENTITY_CLOCK_SKEW_ALLOWANCE', '20s', 0),
    issuerLifetimeMs: env.durationMs('TULLE_IDENTITY_ISSUER_LIFETIME', '7d', 60_000),
    anchorLifetimeMs: env.durationMs('TULLE_IDENTITY_ANCHOR_LIFETIME', '3650d', 120_000),
    isIssuerExternal: env.oneOf('TULLE_IDENTITY_ISSUER', ['own', 'external'], 'own') === 'external',
    shutdownGraceMs: env.durationMs('TULLE_SHUTDOWN_GRACE', '10s', 0),
  };
  if (config.issuerLifetimeMs < config.leafLifetimeMs) {
    env.problem(
      'TULLE_IDENTITY_ISSUER_LIFETIME',
      String(config.issuerLifetimeMs),
      'use more than the issuance lifetime',
    );
  }
  if (config.anchorLifetimeMs < 2 * config.issuerLifetimeMs) {
    env.problem(
      'TULLE_IDENTITY_ANCHOR_LIFETIME',
      String(config.anchorLifetimeMs),
      'use at least twice the issuer lifetime',
    );
  }
  env.check();
  return config;
}
