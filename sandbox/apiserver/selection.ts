import { matchesFields, parseFieldSelector, type FieldSelector } from './objects/field-selectors.ts';
import { matchesLabels, parseLabelSelector, type LabelSelector } from './objects/selectors.ts';
import type { KubeObject } from './object.ts';
import { resourceKey, type ResourceType } from './registry.ts';
import { badRequest } from './status-error.ts';

/** Which objects of a resource a list, watch or deletion of a collection is about. */
export type Selection = {
  readonly namespace?: string;
  readonly labels: LabelSelector;
  readonly fields: FieldSelector;
};

/** @throws StatusError 400 on selectors that cannot be understood */
export function parseSelection(type: ResourceType, namespace: string | undefined, query: URLSearchParams): Selection {
  const labels = query.get('labelSelector') ?? '';
  const fields = query.get('fieldSelector') ?? '';
  return {
    ...(namespace === undefined ? {} : { namespace }),
    labels: parsed(`unable to parse label selector`, () => parseLabelSelector(labels)),
    fields: parseFieldSelector(fields, resourceKey(type), type.custom?.selectableFields),
  };
}

function parsed<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw badRequest(`${what}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

export function isSelected(selection: Selection, object: KubeObject): boolean {
  if (selection.namespace !== undefined && object.metadata.namespace !== selection.namespace) return false;
  return matchesLabels(selection.labels, object.metadata.labels) && matchesFields(selection.fields, object);
}

/** The one name a selection asks for, when it does; authorization treats that as a request for the object. */
export function selectedName(selection: Selection): string | undefined {
  return selection.fields.find(({ field, operator }) => field === 'metadata.name' && operator === '=')?.value;
}
