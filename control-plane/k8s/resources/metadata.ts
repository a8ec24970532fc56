import { asObject, asText, asTextMap } from '../json.ts';

/** What every object says about itself. */
export type Metadata = {
  readonly namespace: string; // empty for kinds without namespaces
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

/** @returns nothing when the object has no name */
export function parseMetadata(object: unknown): Metadata | undefined {
  const metadata = asObject(asObject(object)['metadata']);
  const name = asText(metadata['name']);
  if (name === undefined || name === '') return undefined;
  return {
    namespace: asText(metadata['namespace']) ?? '',
    name,
    uid: asText(metadata['uid']) ?? '',
    labels: asTextMap(metadata['labels']),
    annotations: asTextMap(metadata['annotations']),
  };
}

/** Whether an object is being deleted: what goes does not count any more, though it may still be there for minutes. */
export function isTerminating(object: unknown): boolean {
  return asObject(asObject(object)['metadata'])['deletionTimestamp'] !== undefined;
}

/** Key of an object among those of its kind. */
export function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}
