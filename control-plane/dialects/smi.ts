import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { WeightedTarget } from '#model/profile.ts';
import { Problems, type Problem } from './problem.ts';
import { quantityWeight } from './service-profile.ts';

/** What a TrafficSplit says: how the connections and requests to one Service of its namespace are shared out. */
export type CompiledSplit = {
  readonly service: string; // name of the Service that clients ask for; empty: none
  readonly targets: readonly WeightedTarget[]; // empty: the split is not used
  readonly problems: readonly Problem[];
};

/** Name of the Service that a TrafficSplit is about. Names in full are cut: a split acts in its own namespace. */
export function splitService({ spec }: CustomObject): string {
  return shortName(asText(spec['service']));
}

function shortName(name: string | undefined): string {
  return name?.split('.', 1)[0] ?? '';
}

/**
 * Reads a TrafficSplit of any version. Source: SMI `split.smi-spec.io`; weights are relative, and quantities in v1alpha1.
 *
 * @param port           of the Service that was asked for; its backends are asked for the same one
 * @param clusterDomain  DNS domain of Services
 */
export function compileTrafficSplit(object: CustomObject, port: number, clusterDomain: string): CompiledSplit {
  const problems = new Problems();
  const { spec, namespace } = object;
  const service = splitService(object);
  if (service === '') problems.add('spec.service', 'is missing');
  const isMatching = asList(spec['matches']).length > 0;
  if (isMatching) problems.add('spec.matches', 'is not supported: use an HTTPRoute');
  const targets = asList(spec['backends']).flatMap((value, index): readonly WeightedTarget[] => {
    const fields = asObject(value);
    const name = shortName(asText(fields['service']));
    const weight = quantityWeight(fields['weight']);
    if (name === '') problems.add(`spec.backends[${index}].service`, 'is missing');
    if (weight === undefined) problems.add(`spec.backends[${index}].weight`, 'is not a number, such as 90 or 500m');
    if (name === '' || weight === undefined) return [];
    const ref = { type: 'resource', group: 'core', kind: 'Service', name, namespace, port } as const;
    return [{ authority: `${name}.${namespace}.svc.${clusterDomain}:${port}`, weight, ref }];
  });
  if (targets.length === 0) problems.add('spec.backends', 'is empty');
  if (targets.length > 0 && targets.every(({ weight }) => weight === 0)) {
    problems.add('spec.backends', 'all weights are 0');
  }
  // A split of which a part is missing would send traffic elsewhere than its author wants.
  return { service, targets: problems.found.length > 0 ? [] : targets, problems: problems.found };
}
