import { nearest } from '#runtime/nearest.ts';

/** Prefixes of the annotations that configure a proxy. */
export const GENERAL = 'config.linkerd.io/';
export const BETA = 'config.beta.linkerd.io/';
export const ALPHA = 'config.alpha.linkerd.io/';

/** @param fine  the value that asks for what happens anyway */
type WithoutEffect = { readonly why: string; readonly fine?: string };

const NO_DEBUG: WithoutEffect = { why: 'there is no debug sidecar: use `kubectl debug`', fine: 'false' };
const ONE_IMAGE: WithoutEffect = { why: 'the redirect runs from the image of the proxy: use proxy-image' };

/** Annotations of Linkerd that this version does nothing with, and why. Source: linkerd2 `pkg/inject`, annotation list. */
export const WITHOUT_EFFECT: ReadonlyMap<string, WithoutEffect> = new Map(
  Object.entries({
    [`${GENERAL}close-wait-timeout`]: { why: 'the redirect changes no connection tracking of the kernel' },
    [`${GENERAL}debug-image`]: NO_DEBUG,
    [`${GENERAL}debug-image-pull-policy`]: NO_DEBUG,
    [`${GENERAL}debug-image-version`]: NO_DEBUG,
    [`${GENERAL}enable-debug-sidecar`]: NO_DEBUG,
    [`${GENERAL}enable-external-profiles`]: { why: 'ServiceProfiles apply to names of the cluster', fine: 'false' },
    [`${GENERAL}init-image`]: ONE_IMAGE,
    [`${GENERAL}init-image-version`]: ONE_IMAGE,
    [`${GENERAL}pod-inbound-ports`]: { why: 'the ports are read from the containers' },
    [`${GENERAL}proxy-admin-shutdown`]: {
      why: 'the admin port changes nothing: a native sidecar ends by itself when the pod is done',
      fine: 'disabled',
    },
    [`${GENERAL}proxy-cpu-ratio-limit`]: { why: 'the proxy has one thread: use proxy-cpu-limit' },
    [`${GENERAL}proxy-log-http-headers`]: { why: 'headers are never logged: use `tulle viz tap`', fine: 'off' },
    [`${GENERAL}proxy-metrics-hostname-labels`]: { why: 'metrics have no label for host names', fine: 'false' },
  }),
);

/**
 * What is wrong with an annotation that nothing reads.
 *
 * @param known  names that have an effect, with their prefixes
 * @returns undefined when nothing is
 */
export function nameProblem(annotation: string, value: string, known: ReadonlySet<string>): string | undefined {
  const without = WITHOUT_EFFECT.get(annotation);
  if (without?.fine === value.trim()) return undefined;
  if (without !== undefined) return `${annotation} has no effect in this version: ${without.why}`;
  const guess = nearest(annotation, [...known, ...WITHOUT_EFFECT.keys()]);
  return `${annotation} is no known annotation${guess === undefined ? '' : `: did you mean ${guess}?`}`;
}
