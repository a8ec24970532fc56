import { sameJson } from '../json.ts';
import type { EndpointSlice, SliceEndpoint, SlicePort } from '../resources.ts';
import { portsKey, type PortGroup } from './service-endpoints.ts';

export const ENDPOINTS_PER_SLICE_MAX = 100;

type Content = { readonly ports: readonly SlicePort[]; readonly endpoints: readonly SliceEndpoint[] };

/** What has to be written so that the slices hold exactly the endpoints of the groups. */
export type SlicePlan = {
  readonly create: readonly Content[];
  readonly update: readonly (Content & { readonly slice: EndpointSlice })[];
  readonly keep: readonly EndpointSlice[]; // content is right already
  readonly delete: readonly EndpointSlice[];
};

/**
 * Moves as few endpoints as possible: each stays in the slice that has it, new ones fill the slices that have room, and
 * slices that become empty go. A Service without endpoints keeps one slice with neither endpoints nor ports.
 */
export function planSlices(existing: readonly EndpointSlice[], groups: readonly PortGroup[]): SlicePlan {
  const wanted = groups.length === 0 ? [{ ports: [], endpoints: [] }] : groups;
  const create: Content[] = [];
  const update: (Content & { slice: EndpointSlice })[] = [];
  const keep: EndpointSlice[] = [];
  const unused = new Set(existing);
  for (const group of wanted) {
    const key = portsKey(group.ports);
    const slices = existing.filter((slice) => unused.has(slice) && portsKey(slice.ports ?? []) === key);
    const left = new Map(group.endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
    const filled = slices.map((slice) => {
      const endpoints = (slice.endpoints ?? []).flatMap((old) => {
        const now = left.get(endpointKey(old));
        left.delete(endpointKey(old));
        return now === undefined ? [] : [now];
      });
      return { slice, endpoints };
    });
    const fresh = [...left.values()];
    for (const { endpoints } of filled) {
      endpoints.push(...fresh.splice(0, Math.max(0, ENDPOINTS_PER_SLICE_MAX - endpoints.length)));
    }
    while (fresh.length > 0) create.push({ ports: group.ports, endpoints: fresh.splice(0, ENDPOINTS_PER_SLICE_MAX) });
    const isPlaceholder = group.endpoints.length === 0;
    for (const { slice, endpoints } of filled) {
      const isFirst = isPlaceholder && slice === slices[0];
      if (endpoints.length === 0 && !isFirst) continue;
      unused.delete(slice);
      if (sameJson(slice.endpoints ?? [], endpoints)) keep.push(slice);
      else update.push({ slice, ports: group.ports, endpoints });
    }
    if (isPlaceholder && slices.length === 0) create.push({ ports: [], endpoints: [] });
  }
  // A slice that has to go anyway may as well become one that has to be made.
  for (const slice of unused) {
    const content = create.shift();
    if (content === undefined) break;
    unused.delete(slice);
    update.push({ slice, ...content });
  }
  return { create, update, keep, delete: [...unused] };
}

function endpointKey(endpoint: SliceEndpoint): string {
  return `${endpoint.targetRef?.uid ?? ''} ${endpoint.addresses.join(' ')}`;
}
