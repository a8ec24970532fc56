import { canonical, field } from './json.ts';

/**
 * Puts the items of a merged list in order: those named in `order` by that order, the others by their place on the server, and
 * the two sequences interleaved so that an unnamed item stays before a named one only if it stood before it on the server.
 * Source: apimachinery `strategicpatch.normalizeElementOrder`.
 *
 * @param order     items of the patch or of `$setElementOrder`
 * @param server    the list before the patch
 * @param mergeKey  field that identifies an item; undefined for scalars
 */
export function orderLike(
  merged: readonly unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const identity = (item: unknown): string => canonical(mergeKey === undefined ? item : field(item, mergeKey));
  const wanted = places(order.map(identity));
  const onServer = places(server.map(identity));
  const placeIn = (map: ReadonlyMap<string, number>, item: unknown): number =>
    map.get(identity(item)) ?? Number.MAX_SAFE_INTEGER;
  const byPlace = (map: ReadonlyMap<string, number>) => (a: unknown, b: unknown) => placeIn(map, a) - placeIn(map, b);
  const named = merged.filter((item) => wanted.has(identity(item))).sort(byPlace(wanted));
  const others = merged.filter((item) => !wanted.has(identity(item))).sort(byPlace(onServer));
  const result: unknown[] = [];
  let next = 0;
  for (const item of named) {
    const place = onServer.get(identity(item)) ?? -1;
    while (next < others.length && placeIn(onServer, others[next]) < place) {
      result.push(others[next]);
      next += 1;
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}

function places(identities: readonly string[]): ReadonlyMap<string, number> {
  const map = new Map<string, number>();
  for (const [index, identity] of identities.entries()) if (!map.has(identity)) map.set(identity, index);
  return map;
}
