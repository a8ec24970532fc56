/** The part of a pod that decides whether it gets a proxy. */
export type PodFacts = {
  readonly annotations: Readonly<Record<string, string>>;
  readonly isHostNetwork: boolean;
  readonly containerNames: readonly string[]; // init containers and containers
  readonly operatingSystem: string | undefined; // spec.os.name or the node selector's
};

/** Stable identifiers of the reasons for leaving a pod alone. Source: linkerd2 `pkg/inject/report.go`, and our own for Windows. */
export type SkipReason =
  | 'injection_enable_annotation_absent'
  | 'injection_disable_annotation_present'
  | 'invalid_inject_annotation_at_workload'
  | 'invalid_inject_annotation_at_ns'
  | 'host_network_enabled'
  | 'sidecar_already_exists'
  | 'unsupported_operating_system';

export type Decision =
  | { readonly kind: 'inject'; readonly isIngress: boolean }
  | { readonly kind: 'skip'; readonly reason: SkipReason; readonly message: string };

export const INJECT_ANNOTATION = 'linkerd.io/inject';
const SIDECAR_NAMES = new Set(['linkerd-proxy', 'linkerd-init', 'istio-proxy', 'istio-init']);
type InjectValue = 'enabled' | 'ingress' | 'disabled';

/**
 * Whether a pod gets a proxy, and if not why.
 * Source: linkerd2 `pkg/inject`: the pod's annotation wins over the namespace's; an unknown value never injects.
 */
export function decide(pod: PodFacts, namespaceAnnotations: Readonly<Record<string, string>>): Decision {
  const own = pod.annotations[INJECT_ANNOTATION];
  const inherited = namespaceAnnotations[INJECT_ANNOTATION];
  if (own !== undefined && !isInjectValue(own))
    return skip('invalid_inject_annotation_at_workload', badValue('the pod', own));
  if (own === undefined && inherited !== undefined && !isInjectValue(inherited)) {
    return skip('invalid_inject_annotation_at_ns', badValue('the namespace', inherited));
  }
  const value = own ?? inherited;
  if (value === undefined)
    return skip('injection_enable_annotation_absent', `neither the pod nor its namespace has ${INJECT_ANNOTATION}`);
  if (value === 'disabled') return skip('injection_disable_annotation_present', `${INJECT_ANNOTATION} is disabled`);
  if (pod.isHostNetwork) {
    return skip(
      'host_network_enabled',
      'spec.hostNetwork is true: redirecting would catch the traffic of the whole node',
    );
  }
  const sidecar = pod.containerNames.find((name) => SIDECAR_NAMES.has(name));
  if (sidecar !== undefined) return skip('sidecar_already_exists', `the pod has a container named ${sidecar} already`);
  if (pod.operatingSystem !== undefined && pod.operatingSystem !== 'linux') {
    return skip('unsupported_operating_system', `the pod is for ${pod.operatingSystem}; the proxy runs on linux`);
  }
  return { kind: 'inject', isIngress: value === 'ingress' };
}

/** Whether the annotation has one of the values that mean something. */
export function isInjectValue(value: string): value is InjectValue {
  return value === 'enabled' || value === 'ingress' || value === 'disabled';
}

function badValue(where: string, value: string): string {
  return `${INJECT_ANNOTATION} of ${where} is "${value}": use enabled, ingress or disabled`;
}

function skip(reason: SkipReason, message: string): Decision {
  return { kind: 'skip', reason, message };
}
