import { isDeepStrictEqual } from 'node:util';
import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { keyOf, type Metadata } from '#k8s/resources/metadata.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import type { PolicyStore } from './policy-store.ts';
import type { RouteParent } from './route-index.ts';
import { judgeRoute, judgeRouteOnServers, type RouteCondition, type StatusContext } from './route-status.ts';
import { storedObjects } from './status-objects.ts';
import { CONTROLLER_NAME, dated, type StatusSource } from './status-writer.ts';

/** Conditions of routes on their parents. Entries of other controllers are left alone. Source: Gateway API, RouteStatus. */
export function routeStatusSources(
  context: StatusContext,
  policies: PolicyStore,
  policyContext: PolicyContext,
): readonly StatusSource[] {
  const { services, routes, egress } = context;
  return routes.stores.map((store) => ({
    ...storedObjects(store),
    onChange(listener) {
      storedObjects(store).onChange(listener);
      const ofParent = (parent: RouteParent): void => {
        for (const { namespace, name, uid } of routes.ofParent(parent)) {
          if (store.get(namespace, name)?.uid === uid) listener(keyOf(namespace, name));
        }
      };
      routes.onChange(ofParent);
      policies.onChange((namespace) => {
        for (const { name, uid } of routes.ofServers(namespace)) {
          if (store.get(namespace, name)?.uid === uid) listener(keyOf(namespace, name));
        }
      });
      const ofKind =
        (kind: RouteParent['kind']) =>
        (next: Metadata | undefined, previous: Metadata | undefined): void => {
          const { namespace = '', name = '' } = next ?? previous ?? {};
          ofParent({ kind, namespace, name });
        };
      services.onChange(ofKind('Service'));
      egress.store.onChange(ofKind('EgressNetwork'));
    },
    statusOf(object, now) {
      const verdicts = [...judgeRoute(object, context), ...judgeRouteOnServers(object, policies, policyContext)];
      return { parents: mergeParents(object, verdicts, now) };
    },
  }));
}

/** Entries of others as they are, then ours; the time of a condition is that of its last change of status. */
export function mergeParents(
  object: CustomObject,
  verdicts: readonly { readonly parent: { readonly index: number }; readonly conditions: readonly RouteCondition[] }[],
  now: string,
): readonly unknown[] {
  const current = asList(object.status['parents']).map(asObject);
  const others = current.filter(({ controllerName }) => controllerName !== CONTROLLER_NAME);
  const before = current.filter(({ controllerName }) => controllerName === CONTROLLER_NAME);
  const refs = asList(object.spec['parentRefs']);
  const ours = verdicts.map(({ parent, conditions }) => {
    const parentRef = asObject(refs[parent.index]);
    const earlier = before.find((entry) => isDeepStrictEqual(entry['parentRef'], parentRef));
    return {
      parentRef,
      controllerName: CONTROLLER_NAME,
      conditions: conditions.map((one) => dated(one, object, asList(earlier?.['conditions']), now)),
    };
  });
  return keepsOrder(current, [...others, ...ours]);
}

/** The same entries in the order that they have already, so that nothing is written only for the order. */
function keepsOrder(current: readonly JsonObject[], wanted: readonly JsonObject[]): readonly JsonObject[] {
  const identity = ({ controllerName, parentRef }: JsonObject): string => JSON.stringify([controllerName, parentRef]);
  const order = new Map(current.map((entry, index) => [identity(entry), index]));
  const position = (entry: JsonObject): number => order.get(identity(entry)) ?? current.length;
  return wanted.toSorted((a, b) => position(a) - position(b));
}
