import { asObject, asText, type JsonObject } from '#k8s/json.ts';
import { nearest } from '#runtime/nearest.ts';
import { UsageError } from './command.ts';

/**
 * @param flag  that names it, such as `--namespace`
 * @throws UsageError  when no object is the Namespace of that name: a mistyped one is not taken for an empty one
 */
export function refuseUnknownNamespace(flag: string, name: string, objects: readonly JsonObject[]): void {
  const known = objects
    .filter(({ kind }) => kind === 'Namespace')
    .map(({ metadata }) => asText(asObject(metadata)['name']) ?? '');
  if (known.includes(name)) return;
  const guess = nearest(name, known);
  throw new UsageError(
    `${flag} is "${name}", and there is no such namespace${guess === undefined ? ' (`kubectl get namespaces` lists them)' : `: did you mean ${guess}?`}`,
  );
}
