import { networkMatches, type Authorization, type NetworkMatch } from '#model/authorization.ts';
import type { InboundServer } from '#model/inbound.ts';

/** Policies that need no resource. Source: linkerd2-proxy `INBOUND_DEFAULT_POLICY`. */
export const DEFAULT_POLICIES = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-unauthenticated',
  'cluster-authenticated',
  'deny',
  'audit',
] as const;
export type DefaultPolicy = (typeof DEFAULT_POLICIES)[number];

const DETECT_MS = 10_000;

/** How a port is served until the control plane has said something about it. */
export function defaultServer(
  policy: DefaultPolicy,
  isOpaque: boolean,
  clusterNetworks: readonly NetworkMatch[],
): InboundServer {
  return {
    ref: { type: 'default', name: policy },
    protocol: isOpaque ? { kind: 'opaque' } : { kind: 'detect', timeoutMs: DETECT_MS, routes: [] },
    authorizations: authorizations(policy, clusterNetworks),
  };
}

function authorizations(policy: DefaultPolicy, clusterNetworks: readonly NetworkMatch[]): readonly Authorization[] {
  if (policy === 'deny') return [];
  const isAuthenticated = policy === 'all-authenticated' || policy === 'cluster-authenticated';
  return [
    {
      ref: { type: 'default', name: policy },
      networks: policy.startsWith('cluster-') ? clusterNetworks : networkMatches(['0.0.0.0/0', '::/0']),
      authentication: isAuthenticated ? { kind: 'identities', names: [], suffixes: [[]] } : { kind: 'unauthenticated' },
    },
  ];
}
