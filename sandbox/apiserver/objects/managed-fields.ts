import { fromFields, toFields, type FieldSet } from './field-set.ts';
import { asString, canonical, field, isArray, isObject, type JsonObject } from './json.ts';

/** Who owns which fields of an object: one entry of `metadata.managedFields`. */
export type Manager = {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string | undefined;
  readonly time: string | undefined; // RFC 3339, of the last change by this manager
  readonly fields: FieldSet;
};

/** Managers that write with `Update` are kept apart up to this number; older ones are put together. */
const maxUpdaters = 10;
const oldUpdaters = 'ancient-changes';

/** Two entries with the same identity are one manager. */
export function identityOf(manager: Omit<Manager, 'fields' | 'time'>): string {
  const version = manager.operation === 'Apply' ? '' : manager.apiVersion;
  return canonical([manager.name, manager.operation, version, manager.subresource ?? '']);
}

/** @returns undefined when the list is malformed, as after a client's careless write */
export function readManagers(list: unknown): readonly Manager[] | undefined {
  if (list === undefined || list === null) return [];
  if (!isArray(list)) return undefined;
  const managers = list.map(readManager);
  return managers.every((manager) => manager !== undefined) ? managers : undefined;
}

function readManager(entry: unknown): Manager | undefined {
  const operation = field(entry, 'operation');
  if (!isObject(entry) || (operation !== 'Apply' && operation !== 'Update')) return undefined;
  const fields = fromFields(field(entry, 'fieldsV1') ?? {});
  if (fields === undefined) return undefined;
  return {
    name: asString(field(entry, 'manager')),
    operation,
    apiVersion: asString(field(entry, 'apiVersion')),
    subresource: asString(field(entry, 'subresource')) || undefined,
    time: asString(field(entry, 'time')) || undefined,
    fields,
  };
}

/** The list as stored: managers without fields are gone, the rest is sorted by operation, time and name. */
export function writeManagers(managers: readonly Manager[]): readonly JsonObject[] {
  const key = (manager: Manager): string =>
    [manager.operation, manager.time ?? '', manager.name, manager.apiVersion, manager.subresource ?? ''].join('\n');
  return capUpdaters(managers.filter((manager) => !manager.fields.isEmpty()))
    .toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
    .map((manager) => ({
      manager: manager.name,
      operation: manager.operation,
      apiVersion: manager.apiVersion,
      ...(manager.time === undefined ? {} : { time: manager.time }),
      fieldsType: 'FieldsV1',
      fieldsV1: toFields(manager.fields),
      ...(manager.subresource === undefined ? {} : { subresource: manager.subresource }),
    }));
}

function capUpdaters(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers.filter((manager) => manager.operation === 'Update');
  const surplus = updaters.length - maxUpdaters;
  if (surplus <= 0) return managers;
  const oldest = updaters.toSorted((a, b) => ((a.time ?? '') < (b.time ?? '') ? -1 : 1)).slice(0, surplus + 1);
  const bucket = oldest.reduce((a, b) => ({
    ...b,
    name: oldUpdaters,
    subresource: undefined,
    fields: a.fields.union(b.fields),
  }));
  return [...managers.filter((manager) => !oldest.includes(manager)), bucket];
}
