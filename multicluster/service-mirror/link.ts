import { isIP } from 'node:net';
import { asList, asObject, asText, asTextMap } from '#k8s/json.ts';
import type { ResourceKind } from '#k8s/resource-index.ts';
import { parseMetadata, type Metadata } from '#k8s/resources/metadata.ts';
import { DurationError, parseDurationMs } from '#runtime/duration.ts';
import { LINKS_PATH } from '../names.ts';

/** A linked cluster, as far as mirroring needs it. Source: `Link` multicluster.linkerd.io/v1alpha2. */
export type Link = Metadata & {
  readonly cluster: string;
  readonly domain: string;
  readonly controlNamespace: string; // of the target's control plane
  readonly credentialsSecret: string;
  readonly gatewayAddresses: readonly string[]; // IPs and DNS names
  readonly gatewayPort: number;
  readonly gatewayIdentity: string;
  readonly probe: {
    readonly path: string;
    readonly port: number;
    readonly periodMs: number;
    readonly timeoutMs: number;
    readonly failureThreshold: number;
  };
  readonly selector: string | undefined; // as a query; absent: nothing is mirrored
  /** What makes the Link useless; empty when nothing does. */
  readonly problems: readonly string[];
};

export const LINKS: ResourceKind<Link> = {
  plural: 'links',
  apiPath: LINKS_PATH,
  isNamespaced: true,
  parse(object) {
    const metadata = parseMetadata(object);
    return metadata === undefined ? undefined : { ...metadata, ...parseSpec(asObject(asObject(object)['spec'])) };
  },
};

function parseSpec(spec: Readonly<Record<string, unknown>>): Omit<Link, keyof Metadata> {
  const problems: string[] = [];
  const text = (field: string, fallback?: string): string => {
    const value = asText(spec[field]) || fallback;
    if (value === undefined) problems.push(`spec.${field} is missing`);
    return value ?? '';
  };
  const number = (value: unknown, field: string, fallback: string): number => {
    const found = Number(asText(value) ?? fallback);
    if (Number.isInteger(found) && found >= 1 && found <= 65_535) return found;
    problems.push(`${field} is "${String(value)}": use a number from 1 to 65535`);
    return Number(fallback);
  };
  const probe = asObject(spec['probeSpec']);
  const duration = (field: string, fallback: string): number => {
    try {
      return Math.max(100, parseDurationMs(asText(probe[field]) ?? fallback));
    } catch (error) {
      if (!(error instanceof DurationError)) throw error;
      problems.push(`spec.probeSpec.${field}: ${error.message}`);
      return parseDurationMs(fallback);
    }
  };
  const gatewayAddresses = text('gatewayAddress')
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  const wrong = gatewayAddresses.find(
    (address) => isIP(address) === 0 && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(address),
  );
  if (wrong !== undefined) problems.push(`spec.gatewayAddress: "${wrong}" is neither an IP address nor a DNS name`);
  return {
    cluster: text('targetClusterName'),
    domain: text('targetClusterDomain', 'cluster.local'),
    controlNamespace: text('targetClusterLinkerdNamespace', 'tulle'),
    credentialsSecret: text('clusterCredentialsSecret'),
    gatewayAddresses,
    gatewayPort: number(spec['gatewayPort'], 'spec.gatewayPort', '4143'),
    gatewayIdentity: text('gatewayIdentity'),
    probe: {
      path: asText(probe['path']) ?? '/ready',
      port: number(probe['port'], 'spec.probeSpec.port', '4191'),
      periodMs: duration('period', '3s'),
      timeoutMs: duration('timeout', '30s'),
      failureThreshold: number(probe['failureThreshold'], 'spec.probeSpec.failureThreshold', '3'),
    },
    selector: selectorQuery(spec['selector']),
    problems,
  };
}

/** A LabelSelector as the query parameter; absent and empty ones match nothing. Source: linkerd2 service-mirror. */
export function selectorQuery(value: unknown): string | undefined {
  const { matchLabels, matchExpressions } = asObject(value);
  const parts = Object.entries(asTextMap(matchLabels)).map(([key, wanted]) => `${key}=${wanted}`);
  for (const item of asList(matchExpressions)) {
    const { key, operator, values } = asObject(item);
    const list = asList(values).map(String).join(',');
    if (typeof key !== 'string') continue;
    if (operator === 'In') parts.push(`${key} in (${list})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${list})`);
    else if (operator === 'Exists') parts.push(key);
    else if (operator === 'DoesNotExist') parts.push(`!${key}`);
  }
  return parts.length === 0 ? undefined : parts.join(',');
}
