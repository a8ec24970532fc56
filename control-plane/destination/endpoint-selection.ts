import type { SliceEndpoint } from '#k8s/resources/endpoint-slice.ts';

/** One address of an endpoint of a slice. */
export type Candidate = { readonly endpoint: SliceEndpoint; readonly address: string };

/** What the choice depends on besides the endpoints themselves. */
export type Selection = {
  readonly hostname?: string; // only this instance
  readonly isLocalOnly: boolean; // the Service's internalTrafficPolicy is Local
  readonly nodeName?: string; // of who asks
  readonly zone?: string;
};

/**
 * Chooses the endpoints that a consumer should use: those that are ready, on its node where the Service demands that, of one
 * family for each pod, and near to it where hints say so. Source: linkerd2 `endpoint_translator.go`; readiness and hints for
 * nodes as kube-proxy has them (KEP-1669, KEP-3015).
 */
export function selectEndpoints<C extends Candidate>(all: readonly C[], selection: Selection): readonly C[] {
  const { hostname, isLocalOnly, nodeName, zone } = selection;
  const named = hostname === undefined ? all : all.filter(({ endpoint }) => endpoint.hostname === hostname);
  const allowed = isLocalOnly
    ? named.filter(({ endpoint }) => nodeName !== undefined && endpoint.nodeName === nodeName)
    : named;
  const usable = oneFamily(ready(allowed));
  if (isLocalOnly) return usable;
  return (
    hinted(usable, nodeName, ({ forNodes }) => forNodes) ?? hinted(usable, zone, ({ forZones }) => forZones) ?? usable
  );
}

/** Pods that are about to go, and can still answer, are better than nothing. */
function ready<C extends Candidate>(candidates: readonly C[]): readonly C[] {
  const isReady = candidates.filter(({ endpoint }) => endpoint.isReady);
  return isReady.length > 0 ? isReady : candidates.filter(({ endpoint }) => endpoint.isServingToTheEnd);
}

/** Of what has addresses of both families only those of IPv4: otherwise it would count twice. */
function oneFamily<C extends Candidate>(candidates: readonly C[]): readonly C[] {
  const withV4 = new Set(candidates.filter(({ address }) => !isV6(address)).map(({ endpoint }) => targetKey(endpoint)));
  return candidates.filter(({ address, endpoint }) => !isV6(address) || !withV4.has(targetKey(endpoint)));
}

/** Addresses that stand for nothing known are taken for those of one target. */
function targetKey({ target }: SliceEndpoint): string {
  return target === undefined ? '' : `${target.kind} ${target.namespace}/${target.name}`;
}

function isV6(address: string): boolean {
  return address.includes(':');
}

/** @returns nothing when an endpoint has no hint, as long as they are being given out, or when none is for this place */
function hinted<C extends Candidate>(
  candidates: readonly C[],
  place: string | undefined,
  hintsOf: (endpoint: SliceEndpoint) => readonly string[],
): readonly C[] | undefined {
  if (place === undefined || candidates.some(({ endpoint }) => hintsOf(endpoint).length === 0)) return undefined;
  const near = candidates.filter(({ endpoint }) => hintsOf(endpoint).includes(place));
  return near.length > 0 ? near : undefined;
}
