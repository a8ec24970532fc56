import { allContainers, type Pod } from './pod.ts';

/** What the namespace of a pod says. */
export type NamespaceFacts = {
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
};

/**
 * Stable identifiers of the reasons for leaving a pod alone. Source: linkerd2 `pkg/inject/report.go`; the last three are
 * our own.
 */
export type SkipReason =
  | 'injection_enable_annotation_absent'
  | 'injection_disable_annotation_present'
  | 'invalid_inject_annotation_at_workload'
  | 'invalid_inject_annotation_at_ns'
  | 'host_network_enabled'
  | 'sidecar_already_exists'
  | 'unsupported_operating_system'
  | 'pod_security_forbids_redirect'
  | 'volume_name_taken';

export type Decision =
  | { readonly kind: 'inject'; readonly isIngress: boolean }
  | { readonly kind: 'skip'; readonly reason: SkipReason; readonly message: string };

export const INJECT_ANNOTATION = 'linkerd.io/inject';
export const IDENTITY_VOLUME = 'linkerd-identity-end-entity';
export const TOKEN_VOLUME = 'linkerd-identity-token';
/** Names of the containers that injection adds. Source: Linkerd's. */
export const PROXY_CONTAINER = 'linkerd-proxy';
export const INIT_CONTAINER = 'linkerd-init';
export const VALIDATOR_CONTAINER = 'linkerd-network-validator';
export const ADDED_CONTAINERS: ReadonlySet<string> = new Set([PROXY_CONTAINER, INIT_CONTAINER, VALIDATOR_CONTAINER]);
const SIDECAR_NAMES: ReadonlySet<string> = new Set([...ADDED_CONTAINERS, 'istio-proxy', 'istio-init']);
const VOLUME_NAMES: ReadonlySet<string | undefined> = new Set([IDENTITY_VOLUME, TOKEN_VOLUME]);
const POD_SECURITY = 'pod-security.kubernetes.io/enforce';
/** Pod Security levels that refuse NET_ADMIN, which the redirect needs. */
const FORBIDDING_LEVELS: ReadonlySet<string | undefined> = new Set(['baseline', 'restricted']);
type InjectValue = 'enabled' | 'ingress' | 'disabled';

/**
 * Whether a pod gets a proxy, and if not why.
 * Source: linkerd2 `pkg/inject`: the pod's annotation wins over the namespace's; an unknown value never injects.
 *
 * @param isRedirectedByNode  whether an agent on the node redirects pods, so that they need no capability
 */
export function decide(pod: Pod, namespace: NamespaceFacts, isRedirectedByNode: boolean): Decision {
  const own = pod.metadata?.annotations?.[INJECT_ANNOTATION];
  const inherited = namespace.annotations[INJECT_ANNOTATION];
  if (own !== undefined && !isInjectValue(own))
    return skip('invalid_inject_annotation_at_workload', badValue('the pod', own));
  if (own === undefined && inherited !== undefined && !isInjectValue(inherited)) {
    return skip('invalid_inject_annotation_at_ns', badValue('the namespace', inherited));
  }
  const value = own ?? inherited;
  if (value === undefined)
    return skip('injection_enable_annotation_absent', `neither the pod nor its namespace has ${INJECT_ANNOTATION}`);
  if (value === 'disabled') return skip('injection_disable_annotation_present', `${INJECT_ANNOTATION} is disabled`);
  return obstacle(pod, namespace, isRedirectedByNode) ?? { kind: 'inject', isIngress: value === 'ingress' };
}

/** Why a pod that wants a proxy cannot have one. */
function obstacle(pod: Pod, namespace: NamespaceFacts, isRedirectedByNode: boolean): Decision | undefined {
  if (pod.spec?.hostNetwork === true) {
    return skip(
      'host_network_enabled',
      'spec.hostNetwork is true: redirecting would catch the traffic of the whole node',
    );
  }
  const sidecar = allContainers(pod).find(({ name }) => SIDECAR_NAMES.has(name));
  if (sidecar !== undefined) {
    return skip('sidecar_already_exists', `the pod has a container named ${sidecar.name} already`);
  }
  const system = pod.spec?.os?.name ?? pod.spec?.nodeSelector?.['kubernetes.io/os'];
  if (system !== undefined && system !== 'linux') {
    return skip('unsupported_operating_system', `the pod is for ${system}; the proxy runs on linux`);
  }
  const level = namespace.labels[POD_SECURITY];
  if (!isRedirectedByNode && FORBIDDING_LEVELS.has(level)) {
    return skip(
      'pod_security_forbids_redirect',
      `the namespace has ${POD_SECURITY}=${level}, which refuses the capability NET_ADMIN of the init container that redirects traffic: let the nodes redirect it (\`tulle upgrade --linkerd-cni-enabled\`), or label the namespace ${POD_SECURITY}=privileged, and keep ${level} for warn and audit`,
    );
  }
  const volume = pod.spec?.volumes?.find(({ name }) => VOLUME_NAMES.has(name));
  if (volume !== undefined) {
    return skip('volume_name_taken', `the pod has a volume named ${volume.name} already: give it another name`);
  }
  return undefined;
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
