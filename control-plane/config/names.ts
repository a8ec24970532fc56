import type { Values } from './values.ts';

/** Fixed names of the installation's objects. Linkerd's where other tools look them up. */
export const CONFIG_MAP = 'linkerd-config';
export const TRUST_ROOTS_CONFIG_MAP = 'linkerd-identity-trust-roots';
export const TRUST_ROOTS_KEY = 'ca-bundle.crt';
/** Keys and certificates of the issuer and of the trust anchor; only the identity process can read them. */
export const IDENTITY_ISSUER_SECRET = 'linkerd-identity-issuer';
export const IDENTITY_ANCHOR_SECRET = 'linkerd-identity-anchor';
export const WEBHOOK_CONFIGURATION = 'tulle-injector-webhook-config';
export const POLICY_WEBHOOK_CONFIGURATION = 'tulle-policy-validator-webhook-config';
export const INJECTOR_CERTIFICATE_SECRET = 'tulle-injector-k8s-tls';

export const IDENTITY = 'tulle-identity';
export const DESTINATION = 'tulle-destination';
export const INJECTOR = 'tulle-injector';
/** DaemonSet that redirects pods which may not do it themselves, in a namespace of its own. */
export const CNI = 'tulle-cni';
/** Deployment that runs all three of them, with `singleProcess`. */
export const CONTROL_PLANE = 'tulle-control-plane';

export const IDENTITY_PORT = 8080;
export const DESTINATION_PORT = 8086;
export const POLICY_PORT = 8090;
export const INJECTOR_PORT = 8443;

/** Where the DaemonSet is: it is privileged, which the namespace of the control plane does not allow. */
export function cniNamespace({ namespace }: Pick<Values, 'namespace'>): string {
  return `${namespace}-cni`;
}

/** The Deployments of the control plane. */
export function controlDeployments(values: Pick<Values, 'singleProcess'>): readonly string[] {
  return values.singleProcess ? [CONTROL_PLANE] : [IDENTITY, DESTINATION, INJECTOR];
}

/** The Deployment in which one of the three processes runs. */
export function deploymentOf(values: Pick<Values, 'singleProcess'>, process: string): string {
  return values.singleProcess ? CONTROL_PLANE : process;
}

type Domain = Pick<Values, 'namespace' | 'clusterDomain' | 'identityTrustDomain'>;

/** Where the proxies find the three control APIs: absolute DNS names of headless Services. */
export function controlAddresses(domain: Domain): {
  readonly identity: string;
  readonly destination: string;
  readonly policy: string;
} {
  const at = (service: string, port: number): string =>
    `${service}.${domain.namespace}.svc.${domain.clusterDomain}.:${port}`;
  return {
    identity: at('tulle-identity-headless', IDENTITY_PORT),
    destination: at('tulle-dst-headless', DESTINATION_PORT),
    policy: at('tulle-policy', POLICY_PORT),
  };
}

/** What follows `<service account>.<namespace>.` in every workload identity of the installation. */
export function identitySuffix(domain: Domain): string {
  return `serviceaccount.identity.${domain.namespace}.${domain.identityTrustDomain}`;
}

/** Identity of one of the control plane's own processes. */
export function controlIdentity(domain: Domain, serviceAccount: string): string {
  return `${serviceAccount}.${domain.namespace}.${identitySuffix(domain)}`;
}

/** Lease of the destination process that writes statuses, and EndpointSlices of external workloads. */
export const STATUS_LEASE = 'tulle-policy-status';

/** Lease of the injector process that repairs unmeshed pods. */
export const REPAIR_LEASE = 'tulle-injector-repair';
