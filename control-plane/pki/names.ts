/** Which installation a workload belongs to. */
export type TrustDomain = {
  readonly controlPlaneNamespace: string;
  readonly trustDomain: string; // DNS name, as `cluster.local`
};

/** A Kubernetes service account, what an identity is made of. */
export type ServiceAccount = { readonly namespace: string; readonly name: string };

/** What follows `<service account>.<namespace>.` in every workload identity. */
export function identitySuffix(domain: TrustDomain): string {
  return `serviceaccount.identity.${domain.controlPlaneNamespace}.${domain.trustDomain}`;
}

/** DNS-like name of a workload: `web.shop.serviceaccount.identity.tulle.cluster.local`. */
export function workloadIdentity(account: ServiceAccount, domain: TrustDomain): string {
  return `${account.name}.${account.namespace}.${identitySuffix(domain)}`;
}

/** The same workload as a SPIFFE id: `spiffe://cluster.local/ns/shop/sa/web`. Source: Istio's and SPIRE's form. */
export function spiffeId(account: ServiceAccount, domain: TrustDomain): string {
  return `spiffe://${domain.trustDomain}/ns/${account.namespace}/sa/${account.name}`;
}

/** @returns nothing when the name is not of this installation. Names of service accounts may contain dots. */
export function parseWorkloadIdentity(name: string, domain: TrustDomain): ServiceAccount | undefined {
  const suffix = `.${identitySuffix(domain)}`;
  if (!name.endsWith(suffix)) return undefined;
  const subject = name.slice(0, -suffix.length);
  const dot = subject.lastIndexOf('.');
  if (dot <= 0 || dot === subject.length - 1) return undefined;
  return { name: subject.slice(0, dot), namespace: subject.slice(dot + 1) };
}

/** @returns nothing when the name of a Kubernetes user is not that of a service account */
export function parseServiceAccountUser(username: string): ServiceAccount | undefined {
  const [system, kind, namespace, name, ...rest] = username.split(':');
  if (system !== 'system' || kind !== 'serviceaccount' || rest.length > 0) return undefined;
  return namespace && name ? { namespace, name } : undefined;
}

const DNS_NAME_MAX = 253;

/** Whether the text is a DNS name in lower case without a dot at its end. Source: RFC 1123. */
export function isDnsName(text: string): boolean {
  if (text.length === 0 || text.length > DNS_NAME_MAX) return false;
  return text.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
}
