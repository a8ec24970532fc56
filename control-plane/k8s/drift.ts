import { isNewer } from './held-versions.ts';

/** Versions of all objects of a kind by `namespace/name`, as the API server listed them. */
export type Listed = { readonly versions: ReadonlyMap<string, string>; readonly position: string };

/** An object of which something else is held than what the server has. */
export type Difference = { readonly held: string | undefined; readonly listed: string | undefined };

/**
 * Compares what is held with a list. News that the list does not know yet is no difference; news that is on its way to us
 * is: it takes a second list to tell (`persisting`).
 */
export function differences(held: ReadonlyMap<string, string>, list: Listed): ReadonlyMap<string, Difference> {
  const found = new Map<string, Difference>();
  for (const [key, listed] of list.versions) {
    const own = held.get(key);
    if (own === undefined || isNewer(listed, own)) found.set(key, { held: own, listed });
  }
  for (const [key, own] of held) {
    if (!list.versions.has(key) && !isNewer(own, list.position)) found.set(key, { held: own, listed: undefined });
  }
  return found;
}

/**
 * Of differences that were found a while ago, those that nothing has mended: no event reached us about an object that we
 * hold, or one that we do not hold is listed unchanged.
 *
 * @returns keys, sorted
 */
export function persisting(
  before: ReadonlyMap<string, Difference>,
  now: ReadonlyMap<string, Difference>,
): readonly string[] {
  const isSame = (key: string, old: Difference): boolean => {
    const current = now.get(key);
    if (current === undefined || current.held !== old.held) return false;
    return old.held !== undefined || current.listed === old.listed;
  };
  return [...before]
    .filter(([key, old]) => isSame(key, old))
    .map(([key]) => key)
    .sort();
}
