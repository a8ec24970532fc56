import { nearest } from '#runtime/nearest.ts';

/**
 * Annotations of Linkerd that this version does nothing with. Source: linkerd2 `pkg/inject`, annotation list.
 */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'access-log',
  'close-wait-timeout',
  'debug-image',
  'debug-image-pull-policy',
  'debug-image-version',
  'enable-debug-sidecar',
  'enable-external-profiles',
  'image-pull-policy',
  'init-image',
  'init-image-version',
  'pod-inbound-ports',
  'proxy-additional-env',
  'proxy-admin-shutdown',
  'proxy-await',
  'proxy-cpu-ratio-limit',
  'proxy-disable-inbound-protocol-detect-timeout',
  'proxy-disable-outbound-protocol-detect-timeout',
  'proxy-enable-native-sidecar',
  'proxy-ephemeral-storage-limit',
  'proxy-ephemeral-storage-request',
  'proxy-gid',
  'proxy-inbound-connect-timeout',
  'proxy-inbound-discovery-cache-unused-timeout',
  'proxy-log-http-headers',
  'proxy-metrics-hostname-labels',
  'proxy-outbound-connect-timeout',
  'proxy-outbound-discovery-cache-unused-timeout',
  'proxy-version',
]);

/**
 * What is wrong with the name of an annotation.
 *
 * @param name   without the prefix
 * @param known  names that have an effect
 * @returns undefined when nothing is
 */
export function nameProblem(name: string, known: ReadonlySet<string>, prefix: string): string | undefined {
  if (known.has(name)) return undefined;
  if (WITHOUT_EFFECT.has(name)) return `${prefix}${name} has no effect in this version`;
  const guess = nearest(name, [...known, ...WITHOUT_EFFECT]);
  return `${prefix}${name} is no known annotation${guess === undefined ? '' : `: did you mean ${prefix}${guess}?`}`;
}
