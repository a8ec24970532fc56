import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Inventory } from '../inventory.ts';

/**
 * Backends in other namespaces. In a mesh they need no ReferenceGrant (GEP-1294): nothing is reached that could not be reached
 * anyway. Gateways and some other meshes want one, so whoever shares the route is told, and nothing is refused.
 */
export function grantFindings(inventory: Inventory): readonly Diagnosis[] {
  return inventory.custom
    .filter(({ group, kind }) => group === 'gateway.networking.k8s.io' && kind !== 'ReferenceGrant')
    .flatMap((route) => ofRoute(route, inventory));
}

function ofRoute(route: CustomObject, { given }: Inventory): readonly Diagnosis[] {
  const grants = given.filter(({ kind }) => kind === 'ReferenceGrant');
  const isGranted = (namespace: string, service: string): boolean =>
    grants.some((grant) => {
      const { from, to } = asObject(grant.object['spec']);
      const isFrom = asList(from)
        .map(asObject)
        .some(
          (one) => one['group'] === route.group && one['kind'] === route.kind && one['namespace'] === route.namespace,
        );
      const isTo = asList(to)
        .map(asObject)
        .some((one) => one['kind'] === 'Service' && (one['name'] === undefined || one['name'] === service));
      return grant.namespace === namespace && isFrom && isTo;
    });
  return asList(route.spec['rules']).flatMap((rule, nth) =>
    asList(asObject(rule)['backendRefs']).flatMap((value, index) => {
      const { namespace, name, kind = 'Service' } = asObject(value);
      const [there, service] = [asText(namespace), asText(name) ?? ''];
      if (there === undefined || kind !== 'Service') return [];
      if (there === route.namespace || isGranted(there, service)) return [];
      const message = `Service ${there}/${service} is used without a ReferenceGrant in ${there}`;
      return [diagnose('TL0108', route, `spec.rules[${nth}].backendRefs[${index}]`, message)];
    }),
  );
}
