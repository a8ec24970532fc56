/** Who makes a request, as authentication found out. Source: authentication.k8s.io/v1 `UserInfo`. */
export type User = {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
};

export const AUTHENTICATED = 'system:authenticated';
export const SUPERUSERS = 'system:masters';
const UNAUTHENTICATED = 'system:unauthenticated';
const SERVICE_ACCOUNT_PREFIX = 'system:serviceaccount:';

export const anonymous: User = { username: 'system:anonymous', groups: [UNAUTHENTICATED] };

/** The server itself, for what it does on its own account and for the in-process client. */
export const serverUser: User = { username: 'system:apiserver', groups: [SUPERUSERS, AUTHENTICATED] };

export function serviceAccountName(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;
}

export function serviceAccountGroups(namespace: string): readonly string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, AUTHENTICATED];
}

/** Namespace and name behind the user name of a service account, undefined for any other user. */
export function parseServiceAccount(username: string): { namespace: string; name: string } | undefined {
  if (!username.startsWith(SERVICE_ACCOUNT_PREFIX)) return undefined;
  const [namespace, name, ...rest] = username.slice(SERVICE_ACCOUNT_PREFIX.length).split(':');
  if (namespace === undefined || namespace === '' || name === undefined || name === '' || rest.length > 0) {
    return undefined;
  }
  return { namespace, name };
}
