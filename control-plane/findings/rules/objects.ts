import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import { ignoredFieldsOf, refusalsOf } from '../../diagnosis/own-problems.ts';
import type { Configuration } from '../configuration.ts';
import type { GivenObject, Inventory } from '../inventory.ts';
import { checkSchema, type KindSchemas } from '../schema.ts';

/** Groups whose kinds are all ours, or of which only what is installed is served. */
const GROUPS: ReadonlySet<string> = new Set([
  'policy.linkerd.io',
  'linkerd.io',
  'split.smi-spec.io',
  'workload.linkerd.io',
  'gateway.networking.k8s.io',
]);
/** Of Gateway API, and not read by a mesh. */
const FOREIGN: ReadonlySet<string> = new Set(['Gateway', 'GatewayClass']);
/** Of its experimental group, and about what a mesh would do: session persistence and retry budgets. */
const EXPERIMENTAL = 'XBackendTrafficPolicy';

/** What is wrong with objects by themselves: what the webhook says. */
export function ownFindings({ custom, context }: Configuration): readonly Diagnosis[] {
  return custom.flatMap((object) =>
    [...refusalsOf(object, context.policy), ...ignoredFieldsOf(object)].map(({ code, field, message }) =>
      diagnose(code, object, field, message),
    ),
  );
}

/** What the API server says to objects, each by itself. */
export function schemaFindings({ given }: Inventory, schemas: readonly KindSchemas[]): readonly Diagnosis[] {
  return [...given.flatMap((one) => againstSchema(one, schemas)), ...duplicates(given)];
}

function againstSchema(one: GivenObject, schemas: readonly KindSchemas[]): readonly Diagnosis[] {
  const { group, kind, apiVersion, object } = one;
  if ((!GROUPS.has(group) && kind !== EXPERIMENTAL) || FOREIGN.has(kind)) return [];
  const known = schemas.find((schema) => schema.group === group && schema.kind === kind);
  if (known === undefined) {
    const others = schemas.filter((schema) => schema.group === group).map((schema) => schema.kind);
    const hint = others.length === 0 ? '' : `: the kinds of ${group} are ${others.join(', ')}`;
    return [diagnose('TL0002', one, 'kind', `${kind} has no effect in this version${hint}`)];
  }
  const version = apiVersion.slice(group.length + 1);
  const schema = known.versions.get(version);
  if (schema === undefined) {
    if (known.versions.size === 0)
      return [diagnose('TL0002', one, 'kind', `${kind} of ${group} is not installed in the cluster`)];
    const served = [...known.versions.keys()].join(', ');
    return [diagnose('TL0002', one, 'apiVersion', `${version} of ${kind} is not served: use one of ${served}`)];
  }
  const { unknown, wrong } = checkSchema(object, schema);
  return [
    ...wrong.map(({ field, message }) => diagnose('TL0003', one, field, message)),
    ...unknown.map(({ field, message }) => diagnose('TL0004', one, field, `${message}${channelHint(one, field)}`)),
  ];
}

/** Fields that other definitions of the same kind have. */
function channelHint({ group, kind }: GivenObject, field: string): string {
  const isExperimental =
    group === 'gateway.networking.k8s.io' &&
    (kind === 'HTTPRoute' || kind === 'GRPCRoute') &&
    /^spec\.rules\[\d+\]\.sessionPersistence$/.test(field);
  return isExperimental ? ' in these definitions: it is in those of the experimental channel of Gateway API' : '';
}

function duplicates(given: readonly GivenObject[]): readonly Diagnosis[] {
  const seen = new Set<string>();
  return given.flatMap((one) => {
    const key = JSON.stringify([one.group, one.kind, one.namespace, one.name]);
    if (seen.has(key)) return [diagnose('TL0005', one, 'metadata.name', 'an object of this kind and name came before')];
    seen.add(key);
    return [];
  });
}

/** Whether an object can be used by itself; what else it would do does not matter otherwise. */
export function isUsable(object: CustomObject, { context }: Configuration): boolean {
  return refusalsOf(object, context.policy).length === 0;
}
