import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Metadata } from '#k8s/resources/metadata.ts';
import type { HttpMatch } from '#model/match.ts';

type Aged = Metadata & { readonly createdAt: string; readonly group?: string };

/**
 * Older objects first, then by namespace and name. Source: Gateway API, conflict resolution. Kinds of two groups can have the same
 * name: Gateway API's comes first.
 */
export function byAge(a: Aged, b: Aged): number {
  return (
    compare(a.createdAt, b.createdAt) ||
    compare(a.namespace, b.namespace) ||
    compare(a.name, b.name) ||
    compare(a.group ?? '', b.group ?? '')
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Routes of a Service that hold for clients of one namespace: those that this namespace made for itself (consumer
 * routes), or else those of the Service's own namespace (producer routes). Source: GEP-1294.
 *
 * @param clientNamespace  absent: not known, then producer routes hold
 */
export function routesForClient<O extends CustomObject>(
  routes: readonly O[],
  serviceNamespace: string,
  clientNamespace: string | undefined,
): readonly O[] {
  const own = routes.filter(({ namespace }) => namespace === clientNamespace && namespace !== serviceNamespace);
  return own.length > 0 ? own : routes.filter(({ namespace }) => namespace === serviceNamespace);
}

/**
 * Puts exact matches of paths in front: a proxy counts matched characters, so that an exact path and a prefix of the same
 * length are equal to it, and takes the first. Gateway API wants the exact one. A route with both is sent in two parts.
 */
export function exactFirst<R extends { readonly matches: readonly HttpMatch[] }, H extends object>(
  routes: readonly (H & { readonly rules: readonly R[] })[],
): readonly (H & { readonly rules: readonly R[] })[] {
  const part = (isExact: boolean): readonly (H & { readonly rules: readonly R[] })[] =>
    routes.flatMap((route) => {
      const rules = route.rules.flatMap((rule) => {
        const matches = rule.matches.filter(({ path }) => (path?.kind === 'exact') === isExact);
        return matches.length > 0 ? [{ ...rule, matches }] : [];
      });
      return rules.length > 0 ? [{ ...route, rules }] : [];
    });
  return [...part(true), ...part(false)];
}
