import { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import { findingsOf, POLICY_KINDS, type PolicyKind } from '../dialects/linkerd-servers.ts';
import { PolicyStore } from '../policy/policy-store.ts';
import { ROUTE_KINDS, RouteIndex } from '../policy/route-index.ts';
import { findingAbout, type Finding } from '../diagnosis/finding.ts';
import { listKind, type ObjectReader } from './reader.ts';

/** What authorization objects say and what has no effect, by the code that the destination process reads them with. */
export async function ineffectiveAuthorizations(
  reader: ObjectReader,
  context: PolicyContext,
  namespace: string | undefined,
): Promise<readonly Finding[]> {
  const routes = new RouteIndex(new ResourceStore<Service>());
  const store = new PolicyStore(routes);
  const all: (readonly [PolicyKind, CustomObject])[] = [];
  await Promise.all([
    ...ROUTE_KINDS.map(async (kind, nth) => {
      for (const route of await listKind(reader, kind)) routes.stores[nth]?.apply(route);
    }),
    ...store.kinds.map(async (kind) => {
      const objects = await listKind(reader, kind); // of all namespaces: references cross them
      kind.index.reset(objects);
      const policyKind = POLICY_KINDS.find((name) => name === kind.kind);
      if (policyKind !== undefined) for (const object of objects) all.push([policyKind, object]);
    }),
  ]);
  return all
    .filter(([, object]) => namespace === undefined || object.namespace === namespace)
    .sort(([a], [b]) => POLICY_KINDS.indexOf(a) - POLICY_KINDS.indexOf(b))
    .flatMap(([kind, object]) =>
      findingsOf(kind, object, store, context).map(({ field, message }) => findingAbout(object, field, message)),
    );
}
