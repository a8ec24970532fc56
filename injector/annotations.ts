import type { DefaultInboundPolicy, ProxyValues } from '#config/values.ts';
import { DEFAULT_INBOUND_POLICIES } from '#config/values.ts';
import { parseDurationMs } from '#runtime/duration.ts';
import { nameProblem } from './unknown-annotations.ts';

/** What a sidecar is made of: the installation's values with the annotations of namespace and pod applied. */
export type ProxySettings = Omit<ProxyValues, 'resources' | 'tapServiceAccount'> & {
  readonly cpuRequest: string | undefined;
  readonly cpuLimit: string | undefined;
  readonly memoryRequest: string | undefined;
  readonly memoryLimit: string | undefined;
  readonly skipSubnets: string;
  readonly shutdownGracePeriod: string | undefined;
  readonly image: string | undefined; // with tag
  readonly requireIdentityPorts: string;
  readonly isGateway: boolean; // of multicluster
};

/** An annotation that cannot take effect; the default stays in force, since a bad annotation must never block a pod. */
export type AnnotationProblem = { readonly annotation: string; readonly message: string };

const PREFIX = 'config.linkerd.io/';

type Parser<T> = (text: string) => T;

/**
 * Reads the `config.linkerd.io/*` annotations. The pod's win over the namespace's. Source: linkerd2 `pkg/inject`, annotation list.
 *
 * @returns the settings, and each annotation that was ignored with what is wrong and what would be right
 */
export function proxySettings(
  values: ProxyValues,
  namespaceAnnotations: Readonly<Record<string, string>>,
  podAnnotations: Readonly<Record<string, string>>,
): { readonly settings: ProxySettings; readonly problems: readonly AnnotationProblem[] } {
  const problems: AnnotationProblem[] = [];
  const known = new Set<string>();
  const read = <T>(name: string, fallback: T, parse: Parser<T>): T => {
    known.add(name);
    const text = podAnnotations[PREFIX + name] ?? namespaceAnnotations[PREFIX + name];
    if (text === undefined) return fallback;
    try {
      return parse(text);
    } catch (error) {
      problems.push({
        annotation: PREFIX + name,
        message: `${PREFIX}${name}: ${error instanceof Error ? error.message : String(error)}`,
      });
      return fallback;
    }
  };
  const settings: ProxySettings = {
    uid: read('proxy-uid', values.uid, integer(1, 2 ** 31 - 1)),
    logLevel: read('proxy-log-level', values.logLevel, logLevel),
    logFormat: read('proxy-log-format', values.logFormat, oneOf(['plain', 'json'])),
    inboundPort: read('inbound-port', values.inboundPort, integer(1, 65_535)),
    outboundPort: read('outbound-port', values.outboundPort, integer(1, 65_535)),
    controlPort: read('control-port', values.controlPort, integer(1, 65_535)),
    adminPort: read('admin-port', values.adminPort, integer(1, 65_535)),
    skipInboundPorts: read('skip-inbound-ports', values.skipInboundPorts, portList),
    skipOutboundPorts: read('skip-outbound-ports', values.skipOutboundPorts, portList),
    opaquePorts: read('opaque-ports', values.opaquePorts, opaquePortList),
    defaultInboundPolicy: read<DefaultInboundPolicy>(
      'default-inbound-policy',
      values.defaultInboundPolicy,
      oneOf(DEFAULT_INBOUND_POLICIES),
    ),
    requireIdentityPorts: read('proxy-require-identity-inbound-ports', '', portList),
    isGateway: read<'true' | 'false'>('enable-gateway', 'false', oneOf(['true', 'false'])) === 'true',
    cpuRequest: read('proxy-cpu-request', values.resources.cpuRequest, quantity),
    cpuLimit: read('proxy-cpu-limit', values.resources.cpuLimit, quantity),
    memoryRequest: read('proxy-memory-request', values.resources.memoryRequest, quantity),
    memoryLimit: read('proxy-memory-limit', values.resources.memoryLimit, quantity),
    skipSubnets: read('skip-subnets', '', subnetList),
    shutdownGracePeriod: read<string | undefined>('shutdown-grace-period', undefined, duration),
    image: read<string | undefined>('proxy-image', undefined, imageName),
  };
  for (const annotation of Object.keys({ ...namespaceAnnotations, ...podAnnotations }).sort()) {
    if (!annotation.startsWith(PREFIX)) continue;
    const message = nameProblem(annotation.slice(PREFIX.length), known, PREFIX);
    if (message !== undefined) problems.push({ annotation, message });
  }
  return { settings, problems };
}

function integer(min: number, max: number): Parser<number> {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text.trim()) || number < min || number > max)
      throw new Error(`"${text}" is not a whole number from ${min} to ${max}`);
    return number;
  };
}

function oneOf<const T extends string>(allowed: readonly T[]): Parser<T> {
  return (text) => {
    const found = allowed.find((value) => value === text);
    if (found === undefined) throw new Error(`"${text}" is not one of ${allowed.join(', ')}`);
    return found;
  };
}

const PORT_ITEM = /^(\d{1,5})(?:-(\d{1,5}))?$/;

/** `25, 3000-3010` -> `25,3000-3010`. Empty text is an empty list. */
function portList(text: string): string {
  return items(text).map(portItem).join(',');
}

/** As `portList`, and names of container ports besides numbers. Source: linkerd2 `config.linkerd.io/opaque-ports`. */
function opaquePortList(text: string): string {
  return items(text)
    .map((item) => (/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/.test(item) && /[a-z]/.test(item) ? item : portItem(item)))
    .join(',');
}

function portItem(item: string): string {
  const match = PORT_ITEM.exec(item);
  const from = Number(match?.[1]);
  const to = match?.[2] === undefined ? from : Number(match[2]);
  if (match === null || from < 1 || to < from || to > 65_535) {
    throw new Error(`"${item}" is not a port: write numbers from 1 to 65535 and ranges, such as 25,3000-3010`);
  }
  return item;
}

function subnetList(text: string): string {
  return items(text)
    .map((item) => {
      const match = /^(?:(\d{1,3}(?:\.\d{1,3}){3})|([0-9a-fA-F:]*:[0-9a-fA-F:.]*))\/(\d{1,3})$/.exec(item);
      const isV4 = match?.[1] !== undefined;
      const isGood =
        match !== null &&
        Number(match[3]) <= (isV4 ? 32 : 128) &&
        (match[1]?.split('.').every((part) => Number(part) <= 255) ?? true);
      if (!isGood) throw new Error(`"${item}" is not a subnet: write CIDRs, such as 10.8.0.0/16`);
      return item;
    })
    .join(',');
}

function items(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** Source: apimachinery `resource.Quantity`. */
function quantity(text: string): string {
  if (!/^\d+(\.\d+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/.test(text.trim())) {
    throw new Error(`"${text}" is not a quantity: write for example 100m, 0.5, 64Mi or 1Gi`);
  }
  return text.trim();
}

function duration(text: string): string {
  parseDurationMs(text);
  return text.trim();
}

/** A level, or Linkerd's filter syntax, of which the proxy uses the level for itself. */
function logLevel(text: string): string {
  if (!/^[a-z0-9_:]+(=[a-z]+)?(,[^\s,]+)*$/i.test(text.trim()))
    throw new Error(`"${text}" is not a log level: write for example info or warn,linkerd=debug`);
  return text.trim();
}

function imageName(text: string): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}$/.test(text.trim())) throw new Error(`"${text}" is not an image name`);
  return text.trim();
}
