import { isIP } from 'node:net';
import { networkMatches, type NetworkMatch } from '#model/authorization.ts';
import { parseNetwork } from '#model/address.ts';
import { DurationError, parseDurationMs } from '#runtime/duration.ts';
import { LOG_FORMATS, type LogFormat, type LogLevel } from '#runtime/log.ts';
import { TIMER_MS_MAX } from '#runtime/clock.ts';
import { isLoopback, type ControlAddress } from './grpc/address.ts';
import { readTrustAnchors, type TrustAnchors } from './identity/credentials.ts';
import { ACCESS_LOG_FORMATS, type AccessLogFormat } from './inbound/access-log.ts';
import { DEFAULT_POLICIES, type DefaultPolicy } from './inbound/default-policy.ts';
import type { ResourceConfig } from './tracing/attributes.ts';

/** Exit code of a process whose configuration is wrong. Source: sysexits EX_USAGE, as linkerd2-proxy. */
export const EXIT_CONFIG = 64;

export type ListenAddress = { readonly host: string; readonly port: number };

/** Everything the proxy is told. Each key is `LINKERD2_PROXY_` and the name in the comment. */
export type Config = {
  readonly inboundListen: ListenAddress; // INBOUND_LISTEN_ADDR
  readonly outboundListen: readonly [ListenAddress, ...ListenAddress[]]; // OUTBOUND_LISTEN_ADDRS, OUTBOUND_LISTEN_ADDR
  readonly adminListen: ListenAddress; // ADMIN_LISTEN_ADDR
  readonly controlListen: ListenAddress; // CONTROL_LISTEN_ADDR
  readonly tapClient: string | undefined; // TAP_SVC_NAME; absent: no tap
  readonly destination: ControlAddress; // DESTINATION_SVC_ADDR, DESTINATION_SVC_NAME
  readonly destinationContext: string; // DESTINATION_CONTEXT
  readonly policy: ControlAddress; // POLICY_SVC_ADDR, POLICY_SVC_NAME
  readonly policyWorkload: string; // POLICY_WORKLOAD
  readonly clusterNetworks: readonly NetworkMatch[]; // POLICY_CLUSTER_NETWORKS
  readonly defaultPolicy: DefaultPolicy; // INBOUND_DEFAULT_POLICY
  readonly inboundPorts: readonly number[]; // INBOUND_PORTS
  readonly opaquePorts: ReadonlySet<number>; // INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION
  readonly ownAddresses: ReadonlySet<string>; // INBOUND_IPS
  readonly gatewaySuffixes: readonly string[]; // INBOUND_GATEWAY_SUFFIXES; empty: this proxy is no gateway
  readonly identityService: ControlAddress; // IDENTITY_SVC_ADDR, IDENTITY_SVC_NAME
  readonly identity: string; // IDENTITY_LOCAL_NAME
  readonly trustAnchors: TrustAnchors; // IDENTITY_TRUST_ANCHORS
  readonly tokenFile: string; // IDENTITY_TOKEN_FILE
  readonly refreshMsMin: number; // IDENTITY_MIN_REFRESH
  readonly refreshMsMax: number; // IDENTITY_MAX_REFRESH
  readonly inboundConnectMs: number; // INBOUND_CONNECT_TIMEOUT
  readonly outboundConnectMs: number; // OUTBOUND_CONNECT_TIMEOUT
  readonly outboundKeepAliveMs: number; // OUTBOUND_CONNECT_KEEPALIVE
  readonly inboundDetectMs: number; // INBOUND_DETECT_TIMEOUT
  readonly outboundDetectMs: number; // OUTBOUND_DETECT_TIMEOUT
  readonly inboundIdleMs: number; // INBOUND_DISCOVERY_IDLE_TIMEOUT
  readonly outboundIdleMs: number; // OUTBOUND_DISCOVERY_IDLE_TIMEOUT
  readonly inboundPoolIdleMs: number; // INBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT
  readonly outboundPoolIdleMs: number; // OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT
  readonly inboundPoolMax: number; // MAX_IDLE_CONNS_PER_ENDPOINT
  readonly outboundPoolMax: number; // OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT
  readonly inboundInFlightMax: number; // INBOUND_MAX_IN_FLIGHT
  readonly outboundInFlightMax: number; // OUTBOUND_MAX_IN_FLIGHT
  readonly queueMax: number; // OUTBOUND_HTTP_QUEUE_CAPACITY
  readonly failFastMs: number; // OUTBOUND_HTTP_FAILFAST_TIMEOUT
  readonly shutdownGraceMs: number; // SHUTDOWN_GRACE_PERIOD
  readonly logLevel: LogLevel; // LOG
  readonly logFormat: LogFormat; // LOG_FORMAT
  readonly accessLog: AccessLogFormat | undefined; // ACCESS_LOG; absent: no access log
  /** Absent: requests are not traced. */
  readonly tracing: TracingConfig | undefined; // TRACE_SERVICE_NAME, TRACE_ATTRIBUTES_PATH, TRACE_EXTRA_ATTRIBUTES
};

/** Where spans go, and what is told of this proxy with them. */
export type TracingConfig = ResourceConfig & {
  readonly collector: ControlAddress; // TRACE_COLLECTOR_SVC_ADDR, TRACE_COLLECTOR_SVC_NAME
};

/** What is wrong with the environment, one line per key. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

const PREFIX = 'LINKERD2_PROXY_';
/** @throws ConfigError  naming every key that is missing or wrong */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const env = new Environment(environment);
  const clusterNetworks = env.networks('POLICY_CLUSTER_NETWORKS');
  const defaultPolicy = env.policy('INBOUND_DEFAULT_POLICY', clusterNetworks);
  const config: Config = {
    inboundListen: env.listen('INBOUND_LISTEN_ADDR', '0.0.0.0:4143'),
    outboundListen: env.listenAll('OUTBOUND_LISTEN_ADDRS', 'OUTBOUND_LISTEN_ADDR', '127.0.0.1:4140'),
    adminListen: env.listen('ADMIN_LISTEN_ADDR', '127.0.0.1:4191'),
    controlListen: env.listen('CONTROL_LISTEN_ADDR', '0.0.0.0:4190'),
    tapClient: env.optionalIdentity('TAP_SVC_NAME'),
    destination: env.control('DESTINATION_SVC'),
    destinationContext: env.text('DESTINATION_CONTEXT', ''),
    policy: env.control('POLICY_SVC'),
    policyWorkload: env.text('POLICY_WORKLOAD'),
    clusterNetworks,
    defaultPolicy,
    inboundPorts: env.ports('INBOUND_PORTS'),
    opaquePorts: new Set(env.ports('INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION')),
    ownAddresses: env.addresses('INBOUND_IPS'),
    gatewaySuffixes: env.suffixes('INBOUND_GATEWAY_SUFFIXES'),
    identityService: env.control('IDENTITY_SVC'),
    identity: env.identity('IDENTITY_LOCAL_NAME'),
    trustAnchors: env.anchors('IDENTITY_TRUST_ANCHORS'),
    tokenFile: env.text('IDENTITY_TOKEN_FILE'),
    refreshMsMin: env.duration('IDENTITY_MIN_REFRESH', '10s'),
    refreshMsMax: env.duration('IDENTITY_MAX_REFRESH', '24h'),
    inboundConnectMs: env.duration('INBOUND_CONNECT_TIMEOUT', '300ms'),
    outboundConnectMs: env.duration('OUTBOUND_CONNECT_TIMEOUT', '1s'),
    outboundKeepAliveMs: env.duration('OUTBOUND_CONNECT_KEEPALIVE', '10s'),
    inboundDetectMs: env.duration('INBOUND_DETECT_TIMEOUT', '10s'),
    outboundDetectMs: env.duration('OUTBOUND_DETECT_TIMEOUT', '10s'),
    inboundIdleMs: env.duration('INBOUND_DISCOVERY_IDLE_TIMEOUT', '90s'),
    outboundIdleMs: env.duration('OUTBOUND_DISCOVERY_IDLE_TIMEOUT', '5s'),
    inboundPoolIdleMs: env.duration('INBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT', '3s'),
    outboundPoolIdleMs: env.duration('OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT', '3s'),
    inboundPoolMax: env.count('MAX_IDLE_CONNS_PER_ENDPOINT', 10_000),
    outboundPoolMax: env.count('OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT', 10_000),
    inboundInFlightMax: env.count('INBOUND_MAX_IN_FLIGHT', 100_000),
    outboundInFlightMax: env.count('OUTBOUND_MAX_IN_FLIGHT', 100_000),
    queueMax: env.count('OUTBOUND_HTTP_QUEUE_CAPACITY', 10_000),
    failFastMs: env.duration('OUTBOUND_HTTP_FAILFAST_TIMEOUT', '3s'),
    shutdownGraceMs: env.duration('SHUTDOWN_GRACE_PERIOD', '120s'),
    logLevel: env.logLevel('LOG', 'info'),
    logFormat: env.oneOf('LOG_FORMAT', LOG_FORMATS) ?? 'json',
    accessLog: env.oneOf('ACCESS_LOG', ACCESS_LOG_FORMATS),
    tracing: readTracing(env, environment),
  };
  env.finish();
  return config;
}

function readTracing(
  env: Environment,
  environment: Readonly<Record<string, string | undefined>>,
): TracingConfig | undefined {
  const collector = env.optionalControl('TRACE_COLLECTOR_SVC');
  if (collector === undefined) return undefined;
  const attributesPath = env.text('TRACE_ATTRIBUTES_PATH', '');
  return {
    collector,
    serviceName: env.text('TRACE_SERVICE_NAME', 'linkerd-proxy'),
    attributesPath: attributesPath === '' ? undefined : attributesPath,
    extraAttributes: env.text('TRACE_EXTRA_ATTRIBUTES', ''),
    resourceAttributes: environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '',
    hostName: environment['HOSTNAME'],
  };
}

/** Reads keys and remembers what was wrong; a wrong key yields a placeholder that never leaves `readConfig`. */
class Environment {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #problems: string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#env = env;
    if (env[`${PREFIX}IDENTITY_DISABLED`] !== undefined) {
      this.#wrong('IDENTITY_DISABLED', 'is set: a proxy without identity is not supported');
    }
  }

  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }

  text(name: string, fallback?: string): string {
    const value = this.#env[PREFIX + name];
    if (value !== undefined && (value !== '' || fallback === '')) return value;
    if (fallback === undefined || value === '') this.#wrong(name, value === undefined ? 'is missing' : 'is empty');
    return fallback ?? '';
  }

  duration(name: string, fallback: string): number {
    const value = this.text(name, fallback);
    try {
      // 365 days, as Linkerd's injector says for ever, become 24.
      return Math.min(parseDurationMs(value), TIMER_MS_MAX);
    } catch (error) {
      if (!(error instanceof DurationError)) throw error;
      this.#wrong(name, error.message);
      return 0;
    }
  }

  count(name: string, fallback: number): number {
    const value = this.text(name, String(fallback));
    if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
    this.#wrong(name, `"${value}" is not a number from 1 to 999999999`);
    return fallback;
  }

  listen(name: string, fallback: string): ListenAddress {
    const value = this.text(name, fallback);
    const address = splitAddress(value);
    if (address !== undefined && isIP(address.host) !== 0) return address;
    this.#wrong(name, `"${value}" is not IP:PORT`);
    return { host: '', port: 0 };
  }

  /** One address for each family; the first counts where only one can be had. */
  listenAll(name: string, single: string, fallback: string): readonly [ListenAddress, ...ListenAddress[]] {
    const value = this.#env[PREFIX + name];
    if (value === undefined) return [this.listen(single, fallback)];
    const addresses = value.split(',').map((text) => splitAddress(text.trim()));
    const [first, ...more] = addresses.filter((address) => address !== undefined && isIP(address.host) !== 0);
    if (first !== undefined && more.length + 1 === addresses.length && more.length <= 1)
      return [first, ...more.filter((address) => address !== undefined)];
    this.#wrong(name, `"${value}" is not IP:PORT or two of them, separated by a comma`);
    return [{ host: '', port: 0 }];
  }

  /** @param name  without `_ADDR` and `_NAME` */
  control(name: string): ControlAddress {
    const value = this.text(`${name}_ADDR`);
    const address = splitAddress(value);
    const isWrong = address === undefined || address.port === 0 || address.host === '';
    if (isWrong && value !== '') this.#wrong(`${name}_ADDR`, `"${value}" is not HOST:PORT`);
    const { host, port } = address ?? { host: '', port: 0 };
    if (isWrong || isLoopback(host)) return { host, port, identity: undefined };
    return { host, port, identity: this.identity(`${name}_NAME`) };
  }

  /** As `control`; nothing where the address is left out or empty. */
  optionalControl(name: string): ControlAddress | undefined {
    return (this.#env[`${PREFIX}${name}_ADDR`] ?? '') === '' ? undefined : this.control(name);
  }

  identity(name: string): string {
    const value = this.text(name);
    if (value !== '' && !/^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$/.test(value)) {
      this.#wrong(name, `"${value}" is not a DNS name in lower case`);
    }
    return value;
  }

  /** An identity that may be left out or empty. */
  optionalIdentity(name: string): string | undefined {
    return (this.#env[PREFIX + name] ?? '') === '' ? undefined : this.identity(name);
  }

  ports(name: string): readonly number[] {
    const ports = new Set<number>();
    for (const item of this.#list(name)) {
      const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(item) ?? [];
      const first = Number(from ?? 0);
      const last = Number(to ?? first);
      if (first < 1 || last < first || last > 65_535) this.#wrong(name, `"${item}" is not a port or range of ports`);
      else for (let port = first; port <= last; port += 1) ports.add(port);
    }
    return [...ports];
  }

  addresses(name: string): ReadonlySet<string> {
    const items = this.#list(name);
    for (const item of items) if (isIP(item) === 0) this.#wrong(name, `"${item}" is not an IP address`);
    return new Set(items);
  }

  /** DNS suffixes, without the dots at their ends. */
  suffixes(name: string): readonly string[] {
    return this.#list(name).map((item) => {
      const suffix = item.toLowerCase().replace(/^\.|\.$/g, '');
      if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(suffix)) this.#wrong(name, `"${item}" is not a DNS suffix`);
      return suffix;
    });
  }

  networks(name: string): readonly NetworkMatch[] {
    const items = this.#list(name);
    const wrong = items.filter((item) => parseNetwork(item) === undefined);
    for (const item of wrong) this.#wrong(name, `"${item}" is not a network such as 10.0.0.0/8`);
    return wrong.length > 0 ? [] : networkMatches(items);
  }

  policy(name: string, clusterNetworks: readonly NetworkMatch[]): DefaultPolicy {
    const value = this.text(name, 'all-unauthenticated');
    const policy = DEFAULT_POLICIES.find((known) => known === value);
    if (policy === undefined) this.#wrong(name, `"${value}" is none of ${DEFAULT_POLICIES.join(', ')}`);
    if (policy?.startsWith('cluster-') === true && clusterNetworks.length === 0) {
      this.#wrong(name, `${policy} needs ${PREFIX}POLICY_CLUSTER_NETWORKS`);
    }
    return policy ?? 'deny';
  }

  anchors(name: string): TrustAnchors {
    const value = this.text(name);
    try {
      if (value !== '') return readTrustAnchors(value);
    } catch (error) {
      this.#wrong(name, error instanceof Error ? error.message : String(error));
    }
    return { pem: '', certificates: [] };
  }

  /** One of several words; absent where the key is. */
  oneOf<const T extends string>(name: string, words: readonly T[]): T | undefined {
    const value = this.#env[PREFIX + name] ?? '';
    const found = words.find((word) => word === value);
    if (found === undefined && value !== '') this.#wrong(name, `"${value}" is none of ${words.join(', ')}`);
    return found;
  }

  /** A log filter in linkerd2-proxy's form; what it says for the proxy itself is the level. */
  logLevel(name: string, fallback: LogLevel): LogLevel {
    const value = this.text(name, fallback);
    const directives = value.split(',').map((item) => item.trim());
    let level: LogLevel | undefined;
    for (const directive of directives) {
      const [, target, word] = /^(?:(.+)=)?(off|error|warn|info|debug|trace)$/i.exec(directive) ?? [];
      if (word === undefined) {
        this.#wrong(name, `"${directive}" is not LEVEL or TARGET=LEVEL (off, error, warn, info, debug, trace)`);
        continue;
      }
      const found = word.toLowerCase() === 'off' ? 'silent' : (word.toLowerCase() as LogLevel);
      if (target === 'linkerd' || target === 'tulle') return found;
      if (target === undefined) level ??= found;
    }
    return level ?? fallback;
  }

  #list(name: string): readonly string[] {
    const value = this.#env[PREFIX + name] ?? '';
    return value
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  }

  #wrong(name: string, reason: string): void {
    this.#problems.push(`${PREFIX}${name}: ${reason}`);
  }
}

/** `host:port` or `[v6]:port`, port 0..65535. */
function splitAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(portText ?? -1);
  if (port < 0 || port > 65_535) return undefined;
  return { host: bracketed ?? plain ?? '', port };
}
