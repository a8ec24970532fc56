import {
  containsAddress,
  containsNetwork,
  parseAddress,
  parseNetwork,
  type IpAddress,
  type Network,
} from './address.ts';
import type { ResourceRef } from './resource-ref.ts';

/** Lets a set of clients in. Authorizations only ever grant; one that holds is enough. Source: `inbound.Authz`. */
export type Authorization = {
  readonly ref: ResourceRef;
  readonly networks: readonly NetworkMatch[]; // one must hold the client's address
  readonly authentication: Authentication;
};

export type NetworkMatch = { readonly network: Network; readonly except: readonly Network[] };

export type Authentication =
  | { readonly kind: 'unauthenticated' }
  | { readonly kind: 'mesh-tls' } // TLS terminated by this proxy, with or without a client certificate
  | {
      readonly kind: 'identities';
      readonly names: readonly string[]; // exact, DNS or URI
      readonly suffixes: readonly (readonly string[])[]; // DNS labels; an empty list matches every DNS identity
    };

/** Who is asking. */
export type Client = {
  readonly address: string; // IP text
  /** How the connection reached this proxy. `identity` is there when the client showed a certificate of the mesh. */
  readonly tls: { readonly kind: 'none' } | { readonly kind: 'mesh'; readonly identity?: string };
};

/** A decision and the object that made it. */
export type Verdict =
  | { readonly isAllowed: true; readonly authorization: ResourceRef; readonly isAudited: boolean }
  | Denial;
export type Denial = { readonly isAllowed: false; readonly server: ResourceRef; readonly reason: string };

/** Always there: the application's own pod, and probes that a proxy makes from loopback. */
const LOCALHOST: Authorization = {
  ref: { type: 'default', name: 'localhost' },
  networks: networkMatches(['127.0.0.1/32', '::1/128']),
  authentication: { kind: 'unauthenticated' },
};

/** Network matches without exceptions. @throws when one is not a network, which is a bug of the caller */
export function networkMatches(networks: readonly string[]): readonly NetworkMatch[] {
  return networks.map((text) => {
    const parsed = parseNetwork(text);
    if (parsed === undefined) throw new TypeError(`"${text}" is not a network`);
    return { network: parsed, except: [] };
  });
}

/**
 * Decides whether a client may use something.
 *
 * @param server          what denies when nothing allows
 * @param authorizations  lists, looked at in order; the first that holds is named in the verdict
 */
export function authorize(
  server: ResourceRef,
  authorizations: readonly (readonly Authorization[])[],
  client: Client,
): Verdict {
  const address = parseAddress(client.address);
  if (address === undefined) return deny(server, `"${client.address}" is not an address`);
  const holds = (authorization: Authorization): boolean =>
    isInNetworks(authorization.networks, address) && isAuthenticated(authorization.authentication, client);
  for (const list of authorizations) {
    const found = list.find(holds);
    if (found !== undefined) return allow(found.ref);
  }
  return holds(LOCALHOST) ? allow(LOCALHOST.ref) : deny(server, `no authorization lets ${describe(client)} in`);
}

/** Whether one lets in everybody whom another lets in, by asking less of who they are: the other restricts nothing then. */
export function isMoreOpen(one: Authorization, other: Authorization): boolean {
  const isWider = other.networks.every(({ network: inner }) =>
    one.networks.some(({ network: outer, except }) => except.length === 0 && containsNetwork(outer, inner)),
  );
  return isWider && asksLess(one.authentication, other.authentication);
}

function asksLess(one: Authentication, other: Authentication): boolean {
  switch (one.kind) {
    case 'unauthenticated':
      return other.kind !== 'unauthenticated';
    case 'mesh-tls':
      return other.kind === 'identities';
    case 'identities':
      return other.kind === 'identities' && isEveryName(one) && !isEveryName(other) && !other.names.some(isUri);
  }
}

function isEveryName({ suffixes }: Extract<Authentication, { readonly kind: 'identities' }>): boolean {
  return suffixes.some((parts) => parts.length === 0);
}

function isUri(identity: string): boolean {
  return identity.includes('://');
}

function allow(authorization: ResourceRef): Verdict {
  return {
    isAllowed: true,
    authorization,
    isAudited: authorization.type === 'default' && authorization.name === 'audit',
  };
}

function deny(server: ResourceRef, reason: string): Verdict {
  return { isAllowed: false, server, reason };
}

function describe(client: Client): string {
  if (client.tls.kind === 'none') return `${client.address} (no mesh TLS)`;
  return `${client.address} (${client.tls.identity ?? 'no client certificate'})`;
}

function isInNetworks(matches: readonly NetworkMatch[], address: IpAddress): boolean {
  return matches.some(
    ({ network, except }) =>
      containsAddress(network, address) && !except.some((hole) => containsAddress(hole, address)),
  );
}

function isAuthenticated(authentication: Authentication, client: Client): boolean {
  switch (authentication.kind) {
    case 'unauthenticated':
      return true;
    case 'mesh-tls':
      return client.tls.kind === 'mesh';
    case 'identities': {
      if (client.tls.kind !== 'mesh' || client.tls.identity === undefined) return false;
      const { identity } = client.tls;
      return (
        authentication.names.includes(identity) || authentication.suffixes.some((parts) => hasSuffix(identity, parts))
      );
    }
  }
}

function hasSuffix(identity: string, parts: readonly string[]): boolean {
  if (isUri(identity)) return false; // URI identities match exactly or not at all
  return parts.length === 0 || identity.endsWith(`.${parts.join('.')}`);
}
