import { applyConflict, badRequest, StatusError, type StatusCause } from '../status-error.ts';
import { modelOfKind } from './builtin-schema.ts';
import { emptySet, fromFields, type FieldSet } from './field-set.ts';
import {
  asObject,
  asString,
  deepEqual,
  field,
  fieldAt,
  isObject,
  withField,
  withFieldAt,
  type JsonObject,
} from './json.ts';
import { identityOf, readManagers, writeManagers, type Manager } from './managed-fields.ts';
import { customNode, modelNode, type MergeNode } from './merge-schema.ts';
import type { TypeName } from './strict-fields.ts';
import {
  compareValues,
  fieldsOf,
  mergeValues,
  MissingKeyError,
  owned,
  removeFields,
  withNamedFields,
} from './typed-value.ts';

/** What both ways of writing need to know. `schema` is the structural schema of a custom resource. */
export type FieldOwner = {
  readonly type: TypeName & { readonly hasStatus: boolean };
  readonly schema?: JsonObject;
  readonly manager: string; // field manager as named by the client
  readonly subresource?: string;
  readonly now: string; // RFC 3339, whole seconds
};

export type ApplyInput = FieldOwner & {
  readonly live: JsonObject | undefined; // undefined: the object does not exist yet
  readonly applied: JsonObject; // decoded, so it holds known fields only
  readonly force: boolean;
};

export type UpdateInput = FieldOwner & { readonly old: JsonObject | undefined; readonly object: JsonObject };

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const beforeFirstApply = 'before-first-apply';

/** Fields of every object that nobody owns: the server fills them in. */
const unowned =
  fromFields({
    'f:apiVersion': {},
    'f:kind': {},
    'f:metadata': {
      '.': {},
      ...Object.fromEntries(
        [
          'name',
          'namespace',
          'creationTimestamp',
          'selfLink',
          'uid',
          'clusterName',
          'generation',
          'managedFields',
          'resourceVersion',
        ].map((name) => [`f:${name}`, {}]),
      ),
    },
    'f:spec': { '.': {} },
    'f:status': { '.': {} },
  }) ?? emptySet;

function nodeOf({ type, schema }: FieldOwner): MergeNode {
  if (schema !== undefined) return customNode(schema);
  const model = modelOfKind(type.group, type.version, type.kind);
  return model === undefined ? { kind: 'untyped' } : modelNode(model);
}

function apiVersionOf({ type }: FieldOwner): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

function managedFieldsOf(object: JsonObject | undefined): unknown {
  return fieldAt(object, 'metadata', 'managedFields');
}

function withoutManagers(object: JsonObject): JsonObject {
  return withFieldAt(object, ['metadata', 'managedFields'], undefined);
}

function withManagers(object: JsonObject, managers: readonly Manager[]): JsonObject {
  const list = writeManagers(managers);
  if (list.length === 0) return withoutManagers(object);
  return deepEqual(managedFieldsOf(object), list) ? object : withFieldAt(object, ['metadata', 'managedFields'], list);
}

/** A list that is there but empty, or holds one empty entry, asks to forget who owned what. */
function isReset(list: unknown): boolean {
  return Array.isArray(list) && (list.length === 0 || (list.length === 1 && deepEqual(list[0], {})));
}

/**
 * Keeps `metadata.managedFields` after a write that was not an apply: the writer owns what it changed, others lose it.
 *
 * @returns the object with its managed fields; those of `old` when nothing changed
 */
export function trackUpdate(input: UpdateInput): JsonObject {
  const { old, object } = input;
  const given = managedFieldsOf(object);
  if (isReset(given)) return withoutManagers(object);
  const own = readManagers(given) ?? [];
  const managers = own.length > 0 && input.subresource === undefined ? own : (readManagers(managedFieldsOf(old)) ?? []);
  const change = compareValues(nodeOf(input), old === undefined ? {} : withoutManagers(old), withoutManagers(object));
  const touched = ownable(change.modified.union(change.added), input);
  const self = {
    name: input.manager,
    operation: 'Update',
    apiVersion: apiVersionOf(input),
    subresource: input.subresource,
  } as const;
  const left = managers.map((manager) => ({
    ...manager,
    fields: manager.fields.difference(touched).difference(change.removed),
  }));
  if (touched.isEmpty()) return withManagers(object, left);
  const previous = managers.find((manager) => identityOf(manager) === identityOf(self));
  const fields = previous === undefined ? touched : previous.fields.difference(change.removed).union(touched);
  const others = left.filter((manager) => identityOf(manager) !== identityOf(self));
  return withManagers(object, [...others, { ...self, time: input.now, fields }]);
}

function ownable(set: FieldSet, { subresource, type }: FieldOwner): FieldSet {
  return owned(set.difference(unowned), subresource, type.hasStatus);
}

/**
 * Server-side apply: lays the configuration over the live object, takes away what this manager applied before and names no
 * longer, and records who owns what.
 *
 * @returns the merged object without defaults; the live object itself when nothing changes
 * @throws StatusError 409 with one cause per field when other managers own fields with other values and `force` is not set
 */
export function serverSideApply(input: ApplyInput): JsonObject {
  const { applied, live } = input;
  checkApplied(input);
  const node = nodeOf(input);
  const before = withoutManagers(live ?? {});
  const managers = live === undefined ? [] : existingManagers(input, node, live);
  const self = {
    name: input.manager,
    operation: 'Apply',
    apiVersion: apiVersionOf(input),
    subresource: input.subresource,
  } as const;
  const last = managers.find((manager) => identityOf(manager) === identityOf(self));
  const config = withLastApplied(input, applied);
  const merged = asObject(mergeApplied(input, node, before, config));
  const fields = ownable(fieldsOf(node, config), input);
  const others = managers.filter((manager) => identityOf(manager) !== identityOf(self));
  const all = fields.union(others.reduce((set, manager) => set.union(manager.fields), emptySet));
  const result = last === undefined ? merged : withoutDropped(node, merged, last.fields, all);
  const change = compareValues(node, before, result);
  const touched = ownable(change.modified.union(change.added), input);
  const conflicts = others
    .map((manager) => ({ manager, fields: manager.fields.intersection(touched) }))
    .filter((item) => !item.fields.isEmpty());
  if (conflicts.length > 0 && !input.force && !isOwnMigration(input, node, conflicts)) throw conflictError(conflicts);
  const left = others.map((manager) => ({
    ...manager,
    fields: manager.fields.difference(touched).difference(change.removed),
  }));
  const isSame = live !== undefined && deepEqual(before, result);
  const time = isSame && last?.fields.equals(fields) === true ? last.time : input.now;
  return withManagers(isSame && live !== undefined ? live : result, [...left, { ...self, time, fields }]);
}

function checkApplied({ applied, type }: ApplyInput): void {
  if (managedFieldsOf(applied) !== undefined) throw badRequest('metadata.managedFields must be nil');
  const expected = type.group === '' ? type.version : `${type.group}/${type.version}`;
  const version = asString(field(applied, 'apiVersion'));
  if (version !== expected) {
    throw badRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${version}, expected: ${expected}`,
    );
  }
}

/** An object that nobody tracked so far: what it has belongs to whoever wrote it before the first apply. */
function existingManagers(input: ApplyInput, node: MergeNode, live: JsonObject): readonly Manager[] {
  const managers = readManagers(managedFieldsOf(live)) ?? [];
  if (managers.length > 0) return managers;
  const fields = compareValues(node, {}, withoutManagers(live)).added.difference(unowned);
  const name = beforeFirstApply;
  return [
    { name, operation: 'Update', apiVersion: apiVersionOf(input), subresource: undefined, time: input.now, fields },
  ];
}

function mergeApplied(input: ApplyInput, node: MergeNode, before: JsonObject, config: JsonObject): unknown {
  try {
    return mergeValues(node, before, config);
  } catch (error) {
    if (!(error instanceof MissingKeyError)) throw error;
    const metadata = field(config, 'metadata');
    const name = `${asString(field(metadata, 'namespace'))}/${asString(field(metadata, 'name'))}`;
    throw badRequest(
      `failed to create typed patch object (${name}; ${apiVersionOf(input)}, Kind=${input.type.kind}): ${error.message}`,
    );
  }
}

/**
 * Takes out of `merged` what was applied last time (`last`) and is owned by nobody now (`all`: everything that any manager
 * owns, this one's new configuration included). Objects and items go only when nothing owned is left in them.
 */
function withoutDropped(node: MergeNode, merged: JsonObject, last: FieldSet, all: FieldSet): JsonObject {
  const named = (value: unknown, set: FieldSet): FieldSet => withNamedFields(node, set, value);
  const everything = named(merged, fieldsOf(node, merged));
  const lastNamed = named(merged, last);
  const pruned = removeFields(node, merged, lastNamed);
  const kept = named(pruned, fieldsOf(node, pruned ?? {})).union(named(merged, all));
  const withOwned = removeFields(node, merged, everything.difference(kept));
  const gone = everything.difference(named(withOwned, fieldsOf(node, withOwned ?? {}))).intersection(lastNamed);
  return asObject(removeFields(node, merged, gone));
}

type Conflict = { readonly manager: Manager; readonly fields: FieldSet };

/** Fields that `kubectl apply` without --server-side wrote, and that are still as it wrote them: no conflict with itself. */
function isOwnMigration(input: ApplyInput, node: MergeNode, conflicts: readonly Conflict[]): boolean {
  const text = fieldAt(input.live, 'metadata', 'annotations', lastApplied);
  if (input.manager !== 'kubectl' || typeof text !== 'string') return false;
  const config = parse(text);
  if (!isObject(config) || field(config, 'apiVersion') !== apiVersionOf(input)) return false;
  const { added, modified, removed } = compareValues(node, config, input.live);
  const mine = fieldsOf(node, config).difference(modified).difference(added).difference(removed);
  mine.at('f:metadata').at('f:annotations').add(`f:${lastApplied}`);
  return conflicts.every(({ fields }) => fields.difference(mine).isEmpty());
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** kubectl's note of what it applied stays true as long as it is there. */
function withLastApplied(input: ApplyInput, applied: JsonObject): JsonObject {
  const path = ['metadata', 'annotations', lastApplied];
  if (
    input.manager !== 'kubectl' ||
    typeof fieldAt(input.live, ...path) !== 'string' ||
    fieldAt(applied, ...path) !== undefined
  )
    return applied;
  return withFieldAt(applied, path, `${JSON.stringify(withField(applied, 'status', undefined))}\n`);
}

function printManager({ name, subresource, operation, apiVersion }: Manager): string {
  const who = `${JSON.stringify(name)}${subresource === undefined ? '' : ` with subresource ${JSON.stringify(subresource)}`}`;
  return operation === 'Apply' ? who : `${who} using ${apiVersion}`;
}

function conflictError(conflicts: readonly Conflict[]): StatusError {
  const named = conflicts.map(({ manager, fields }) => ({
    manager: printManager(manager),
    paths: fields.paths().toSorted(),
  }));
  const causes: StatusCause[] = named.flatMap(({ manager, paths }) =>
    paths.map((path) => ({ reason: 'FieldManagerConflict', message: `conflict with ${manager}`, field: path })),
  );
  if (causes.length === 1) return applyConflict(causes);
  const lines = named
    .toSorted((a, b) => (a.manager < b.manager ? -1 : 1))
    .flatMap(({ manager, paths }) => [`conflicts with ${manager}:`, ...paths.map((path) => `- ${path}`)]);
  return new StatusError(409, 'Conflict', `Apply failed with ${causes.length} conflicts: ${lines.join('\n')}`, {
    causes,
  });
}
