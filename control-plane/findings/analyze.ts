import type { JsonObject } from '#k8s/json.ts';
import type { Code } from '../diagnosis/codes.ts';
import { diagnose, gravestFirst, type Diagnosis } from '../diagnosis/diagnosis.ts';
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

/** What the webhook refuses. */
const REFUSALS: ReadonlySet<Code> = new Set(['TL0001', 'TL0403']);
/** What readers say about a field that they cannot use, of an object that they get nevertheless. */
const OF_READERS: ReadonlySet<Code> = new Set(['TL0101', 'TL0114']);

/** What would become of requests, had the object been taken. */
const CONSEQUENCES: ReadonlySet<Code> = new Set(['TL0103']);

/** What the API server refuses for a field is told in the clearer words of a reader, but as what it is: nobody gets the object. */
function withoutRepeats(found: readonly Diagnosis[]): readonly Diagnosis[] {
  const fieldsWith = (isMeant: (code: Code) => boolean): ReadonlySet<string> =>
    new Set(found.filter(({ code }) => isMeant(code)).map(fieldOf));
  const refused = fieldsWith((code) => code === 'TL0003');
  const read = fieldsWith((code) => REFUSALS.has(code) || OF_READERS.has(code));
  const seen = new Set<string>();
  return found.flatMap((each) => {
    const field = fieldOf(each);
    if (each.code === 'TL0003' && read.has(field)) return [];
    if (CONSEQUENCES.has(each.code) && refused.has(field)) return [];
    const isRefused = OF_READERS.has(each.code) && refused.has(field);
    const one = isRefused ? diagnose('TL0003', each, each.subject, each.message) : each;
    const key = `${one.code} ${field} ${one.message}`;
    if (seen.has(key)) return [];
    seen.add(key);
    return [one];
  });
}

function fieldOf({ kind, group, namespace, name, subject }: Diagnosis): string {
  return JSON.stringify([group, kind, namespace, name, subject]);
}
