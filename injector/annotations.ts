import type { DefaultInboundPolicy, ProxyValues, Values } from '#config/values.ts';
import { DEFAULT_INBOUND_POLICIES } from '#config/values.ts';
import {
  amountOf,
  boolean,
  duration,
  enabled,
  environment,
  imageName,
  imageTag,
  integer,
  logLevel,
  oneOf,
  opaquePortList,
  portList,
  quantity,
  subnetList,
  VALUE_LENGTH_MAX,
  type EnvVar,
  type Parser,
} from './annotation-values.ts';
import {
  attributeLines,
  collectorAddress,
  serviceAccountName,
  tracingSettings,
  type TracingSettings,
} from './tracing.ts';
import { ALPHA, BETA, GENERAL, nameProblem } from './unknown-annotations.ts';

/** What a sidecar is made of: the installation's values with the annotations of namespace and pod applied. */
export type ProxySettings = Omit<ProxyValues, 'resources' | 'tapServiceAccount' | 'tracing'> & {
  readonly tracing: TracingSettings | undefined; // absent: no spans
  readonly traceAttributes: readonly string[]; // `name=value`, of the pod's spans
  readonly gid: number | undefined;
  readonly cpu: Resource;
  readonly memory: Resource;
  readonly ephemeralStorage: Resource;
  readonly skipSubnets: string;
  readonly shutdownGracePeriod: string | undefined;
  readonly waitBeforeExitSeconds: number; // only where the proxy is no native sidecar
  readonly image: string | undefined; // instead of the installation's; with or without tag
  readonly imageTag: string | undefined;
  readonly imagePullPolicy: Values['imagePullPolicy'] | undefined;
  readonly requireIdentityPorts: string;
  readonly accessLog: 'apache' | 'json' | undefined;
  readonly isGateway: boolean; // of multicluster
  readonly isNativeSidecar: boolean;
  readonly isAwaited: boolean; // the application starts when the proxy is ready
  readonly isTappable: boolean;
  readonly inboundConnectTimeout: string;
  readonly outboundConnectTimeout: string;
  readonly inboundDiscoveryIdle: string;
  readonly outboundDiscoveryIdle: string;
  readonly isInboundDetectEndless: boolean;
  readonly isOutboundDetectEndless: boolean;
  readonly additionalEnv: readonly EnvVar[];
};

type Resource = { readonly request: string | undefined; readonly limit: string | undefined };

/** An annotation that cannot take effect; the default stays in force, since a bad annotation must never block a pod. */
export type AnnotationProblem = { readonly annotation: string; readonly message: string };

type Annotations = Readonly<Record<string, string>>;

const DISABLE_TAP = 'viz.linkerd.io/disable-tap';
/** Annotations with unknown names that are looked at one by one: guessing what was meant takes time. */
const UNKNOWN_MAX = 16;

/**
 * Reads the annotations that configure a proxy. The pod's win over the namespace's. Source: linkerd2 `pkg/inject`,
 * annotation list.
 *
 * @returns the settings, and each annotation that was ignored with what is wrong and what would be right
 */
export function proxySettings(
  values: ProxyValues,
  namespaceAnnotations: Annotations,
  podAnnotations: Annotations,
): { readonly settings: ProxySettings; readonly problems: readonly AnnotationProblem[] } {
  const source = new Source(namespaceAnnotations, podAnnotations);
  const read = <T>(name: string, fallback: T, parse: Parser<T>): T => source.read(GENERAL + name, fallback, parse);
  const isNativeSidecar = source.readFirst(
    [GENERAL, BETA, ALPHA].map((prefix) => `${prefix}proxy-enable-native-sidecar`),
    true,
    boolean,
  );
  const settings: ProxySettings = {
    uid: read('proxy-uid', values.uid, integer(1, 2 ** 31 - 1)),
    gid: read<number | undefined>('proxy-gid', undefined, integer(1, 2 ** 31 - 1)),
    logLevel: read('proxy-log-level', values.logLevel, logLevel),
    logFormat: read('proxy-log-format', values.logFormat, oneOf(['plain', 'json'])),
    ...listenPorts(source, values),
    skipInboundPorts: read('skip-inbound-ports', values.skipInboundPorts, portList),
    skipOutboundPorts: read('skip-outbound-ports', values.skipOutboundPorts, portList),
    skipSubnets: read('skip-subnets', '', subnetList),
    opaquePorts: read('opaque-ports', values.opaquePorts, opaquePortList),
    defaultInboundPolicy: read<DefaultInboundPolicy>(
      'default-inbound-policy',
      values.defaultInboundPolicy,
      oneOf(DEFAULT_INBOUND_POLICIES),
    ),
    requireIdentityPorts: read('proxy-require-identity-inbound-ports', '', portList),
    accessLog: read<ProxySettings['accessLog']>('access-log', undefined, oneOf(['apache', 'json'])),
    tracing: tracingOf(source, values),
    traceAttributes: attributeLines(podAnnotations),
    isGateway: read('enable-gateway', false, boolean),
    cpu: resource(source, 'proxy-cpu', values.resources.cpuRequest, values.resources.cpuLimit),
    memory: resource(source, 'proxy-memory', values.resources.memoryRequest, values.resources.memoryLimit),
    ephemeralStorage: resource(source, 'proxy-ephemeral-storage', undefined, undefined),
    shutdownGracePeriod: read<string | undefined>('shutdown-grace-period', undefined, duration),
    waitBeforeExitSeconds: source.read(`${ALPHA}proxy-wait-before-exit-seconds`, 0, integer(0, 3600)),
    image: read<string | undefined>('proxy-image', undefined, imageName),
    imageTag: read<string | undefined>('proxy-version', undefined, imageTag),
    imagePullPolicy: read<ProxySettings['imagePullPolicy']>(
      'image-pull-policy',
      undefined,
      oneOf(['Always', 'IfNotPresent', 'Never']),
    ),
    isNativeSidecar,
    isAwaited: read('proxy-await', true, enabled),
    isTappable: !source.read(DISABLE_TAP, false, boolean),
    inboundConnectTimeout: read('proxy-inbound-connect-timeout', '100ms', duration),
    outboundConnectTimeout: read('proxy-outbound-connect-timeout', '1000ms', duration),
    inboundDiscoveryIdle: read('proxy-inbound-discovery-cache-unused-timeout', '90s', duration),
    outboundDiscoveryIdle: read('proxy-outbound-discovery-cache-unused-timeout', '5s', duration),
    isInboundDetectEndless: read('proxy-disable-inbound-protocol-detect-timeout', false, boolean),
    isOutboundDetectEndless: read('proxy-disable-outbound-protocol-detect-timeout', false, boolean),
    additionalEnv: source.merge(`${GENERAL}proxy-additional-env`, environment),
  };
  if (!isNativeSidecar && source.has(`${GENERAL}proxy-await`) && settings.isAwaited)
    source.refuse(`${GENERAL}proxy-await`, 'only a native sidecar is waited for');
  source.findUnknown();
  return { settings, problems: source.problems };
}

function tracingOf(source: Source, values: ProxyValues): TracingSettings | undefined {
  const name = `${GENERAL}trace-collector`;
  const collector = source.read<string | undefined>(name, undefined, collectorAddress);
  const accountName = `${ALPHA}trace-collector-service-account`;
  const account = source.read<string | undefined>(accountName, undefined, serviceAccountName);
  const tracing = tracingSettings(values, collector, account);
  if (tracing === undefined || !('missing' in tracing)) return tracing;
  source.refuse(name, `${tracing.missing}: write HOST.NAMESPACE:PORT, and the account in ${accountName}`);
  return undefined;
}

/** Ports that the proxy listens on. Two on the same port would keep it from starting. */
function listenPorts(
  source: Source,
  values: ProxyValues,
): Pick<ProxySettings, 'inboundPort' | 'outboundPort' | 'controlPort' | 'adminPort'> {
  const read = (name: string, fallback: number): number => source.read(GENERAL + name, fallback, integer(1, 65_535));
  const { inboundPort, outboundPort, controlPort, adminPort } = values;
  const ports = {
    inboundPort: read('inbound-port', inboundPort),
    outboundPort: read('outbound-port', outboundPort),
    controlPort: read('control-port', controlPort),
    adminPort: read('admin-port', adminPort),
  };
  const used = Object.values(ports);
  const twice = used.find((port, index) => used.indexOf(port) !== index);
  if (twice === undefined) return ports;
  const names = ['inbound-port', 'outbound-port', 'control-port', 'admin-port'].map((name) => GENERAL + name);
  const named = names.filter((name) => source.has(name));
  source.refuse(named.join(', '), `${twice} would be used twice: give each port of the proxy its own number`);
  return { inboundPort, outboundPort, controlPort, adminPort };
}

/** Request and limit of one resource. The API server refuses a pod whose request is above the limit. */
function resource(
  source: Source,
  name: string,
  requestDefault: string | undefined,
  limitDefault: string | undefined,
): Resource {
  const requestName = `${GENERAL}${name}-request`;
  const limitName = `${GENERAL}${name}-limit`;
  const request = source.read(requestName, requestDefault, quantity);
  const limit = source.read(limitName, limitDefault, quantity);
  if (request === undefined || limit === undefined || amountOf(request) <= amountOf(limit)) return { request, limit };
  if (!source.has(requestName)) return { request: limit, limit }; // a lower limit lowers what was the default
  source.refuse(requestName, `${request} is above the limit, ${limit}`);
  return {
    request: requestDefault === undefined || amountOf(requestDefault) > amountOf(limit) ? limit : requestDefault,
    limit,
  };
}

/** The annotations of a pod and its namespace, and what was found wrong with them. */
class Source {
  readonly problems: AnnotationProblem[] = [];
  readonly #namespace: Annotations;
  readonly #pod: Annotations;
  readonly #known = new Set<string>();

  constructor(namespace: Annotations, pod: Annotations) {
    this.#namespace = namespace;
    this.#pod = pod;
  }

  has(annotation: string): boolean {
    return this.#pod[annotation] !== undefined || this.#namespace[annotation] !== undefined;
  }

  refuse(annotation: string, reason: string): void {
    this.problems.push({ annotation, message: `${annotation}: ${reason}` });
  }

  read<T>(annotation: string, fallback: T, parse: Parser<T>): T {
    this.#known.add(annotation);
    return this.#parse(annotation, this.#pod[annotation] ?? this.#namespace[annotation], fallback, parse);
  }

  /** The first of several names for one thing that is there. */
  readFirst<T>(annotations: readonly string[], fallback: T, parse: Parser<T>): T {
    for (const annotation of annotations) this.#known.add(annotation);
    const found = annotations.find((annotation) => this.has(annotation));
    return found === undefined ? fallback : this.read(found, fallback, parse);
  }

  /** Of the pod and of the namespace together; of equal names the pod's counts. */
  merge<T extends { readonly name: string }>(annotation: string, parse: Parser<readonly T[]>): readonly T[] {
    this.#known.add(annotation);
    const all = [this.#namespace, this.#pod].flatMap((one) => this.#parse(annotation, one[annotation], [], parse));
    return [...new Map(all.map((item) => [item.name, item])).values()];
  }

  /** Adds what is wrong with names; to be called when everything is read. */
  findUnknown(): void {
    const all = { ...this.#namespace, ...this.#pod };
    const unknown = Object.keys(all)
      .sort()
      .flatMap((annotation) => (isConfiguration(annotation) && !this.#known.has(annotation) ? [annotation] : []));
    for (const annotation of unknown.slice(0, UNKNOWN_MAX)) {
      const message = nameProblem(annotation, all[annotation] ?? '', this.#known);
      if (message !== undefined) this.problems.push({ annotation, message });
    }
    const [more] = unknown.slice(UNKNOWN_MAX);
    if (more !== undefined)
      this.refuse(more, `and ${unknown.length - UNKNOWN_MAX - 1} more annotations were not looked at`);
  }

  #parse<T>(annotation: string, text: string | undefined, fallback: T, parse: Parser<T>): T {
    if (text === undefined) return fallback;
    try {
      if (text.length > VALUE_LENGTH_MAX) throw new Error(`is longer than ${VALUE_LENGTH_MAX} characters`);
      return parse(text);
    } catch (error) {
      this.refuse(annotation, error instanceof Error ? error.message : String(error));
      return fallback;
    }
  }
}

/** Whether an annotation configures proxies, by its prefix. */
export function isConfiguration(annotation: string): boolean {
  return [GENERAL, BETA, ALPHA].some((prefix) => annotation.startsWith(prefix)) || annotation === DISABLE_TAP;
}
