import type { JsonObject } from '#k8s/json.ts';
import type { Code } from '../diagnosis/codes.ts';
import { gravestFirst, type Diagnosis } from '../diagnosis/diagnosis.ts';
import { Inventory, type AnalysisContext } from './inventory.ts';
import { externalWorkloadFindings } from './rules/external-workloads.ts';
import { injectionFindings } from './rules/injection.ts';
import { CONFIGURATION_RULES } from './rules/configuration-rules.ts';
import { schemaFindings } from './rules/objects.ts';
import { grantFindings } from './rules/reference-grants.ts';
import { serviceFindings } from './rules/services.ts';
import type { KindSchemas } from './schema.ts';

/**
 * Everything that objects say and that is refused, ignored or without effect, by the code that the control plane reads them with.
 *
 * @param objects  each with apiVersion, kind and metadata; others are left out
 * @param schemas  of the kinds that are installed
 * @returns the gravest first, then by object and field
 */
export function analyze(
  objects: readonly JsonObject[],
  context: AnalysisContext,
  schemas: readonly KindSchemas[],
): readonly Diagnosis[] {
  const inventory = new Inventory(objects, context);
  const found = [
    ...CONFIGURATION_RULES.flatMap((rule) => rule(inventory)),
    ...schemaFindings(inventory, schemas),
    ...grantFindings(inventory),
    ...serviceFindings(inventory),
    ...injectionFindings(inventory),
    ...(context.isWholeCluster ? externalWorkloadFindings(inventory) : []),
  ];
  return gravestFirst(withoutRepeats(found));
}

/** What readers say about a field that they cannot use. */
const REFUSALS: ReadonlySet<Code> = new Set(['TL0001', 'TL0101', 'TL0114', 'TL0403']);

/** What the API server refuses for a field is not told when a reader says it in clearer words. */
function withoutRepeats(found: readonly Diagnosis[]): readonly Diagnosis[] {
  const read = new Set(found.filter(({ code }) => REFUSALS.has(code)).map(fieldOf));
  const seen = new Set<string>();
  return found.filter((one) => {
    if (one.code === 'TL0003' && read.has(fieldOf(one))) return false;
    const key = `${one.code} ${fieldOf(one)} ${one.message}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}

function fieldOf({ kind, group, namespace, name, subject }: Diagnosis): string {
  return JSON.stringify([group, kind, namespace, name, subject]);
}
