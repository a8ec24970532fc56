import { parseDurationMs } from '#runtime/duration.ts';
import type { ConnectionSource } from '#k8s/connection.ts';
import { LOG_LEVELS, type LogLevel } from '#runtime/log.ts';

export const METRICS_API_PORT = 8085;
export const METRICS_API_ADMIN_PORT = 9997;
export const IDENTITY_TOKEN_FILE = '/var/run/secrets/tulle-tap/token';

/** Settings of the metrics-api process. */
export type Config = {
  readonly logLevel: LogLevel;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  readonly tapServiceAccount: string; // its own, `name.namespace`
  readonly tokenFile: string; // for the identity process
  readonly port: number;
  readonly adminPort: number;
  readonly scrapeIntervalMs: number;
  readonly kubernetes: ConnectionSource;
};

/** @throws Error  that lists every setting that is wrong */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const read = <T>(name: string, fallback: string, parse: (text: string) => T): T | undefined => {
    const text = env[name] ?? fallback;
    try {
      return parse(text);
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };
  const config = {
    logLevel: read('TULLE_LOG_LEVEL', 'info', logLevel),
    controlNamespace: read('TULLE_CONTROL_NAMESPACE', 'tulle', String),
    trustDomain: read('TULLE_TRUST_DOMAIN', 'cluster.local', String),
    clusterDomain: read('TULLE_CLUSTER_DOMAIN', 'cluster.local', String),
    tapServiceAccount: read('TULLE_TAP_SERVICE_ACCOUNT', 'metrics-api.tulle-viz', serviceAccount),
    tokenFile: read('TULLE_IDENTITY_TOKEN_FILE', IDENTITY_TOKEN_FILE, String),
    port: read('TULLE_VIZ_PORT', String(METRICS_API_PORT), port),
    adminPort: read('TULLE_VIZ_ADMIN_PORT', String(METRICS_API_ADMIN_PORT), port),
    scrapeIntervalMs: read('TULLE_VIZ_SCRAPE_INTERVAL', '5s', interval),
  };
  if (problems.length > 0) throw new Error(problems.join('; '));
  const kubernetes: ConnectionSource = {
    ...optional(env, 'KUBECONFIG', 'kubeconfig'),
    ...optional(env, 'KUBERNETES_SERVICE_HOST', 'serviceHost'),
    ...optional(env, 'KUBERNETES_SERVICE_PORT', 'servicePort'),
  };
  return { ...config, kubernetes } as Config;
}

function optional(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  key: string,
): Record<string, string> {
  const value = env[name];
  return value === undefined || value === '' ? {} : { [key]: value };
}

function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === text);
  if (level === undefined) throw new Error(`"${text}" is not one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

function serviceAccount(text: string): string {
  if (!/^[^.]+\.[^.]+$/.test(text)) throw new Error(`"${text}" is not NAME.NAMESPACE`);
  return text;
}

function port(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 65_535) throw new Error(`"${text}" is not a port (0 to 65535)`);
  return number;
}

function interval(text: string): number {
  const ms = parseDurationMs(text);
  if (ms < 1_000 || ms > 60_000) throw new Error(`${text} is out of range: use 1s to 60s`);
  return ms;
}
