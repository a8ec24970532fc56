import type { JsonObject, KubeObject } from './object.ts';
import type { ResourceType } from './registry.ts';
import { badRequest, StatusError, type StatusCause } from './status-error.ts';
import type { WriteOptions } from './write-options.ts';
import { isJsonObject } from './object.ts';
import { celFaults } from './objects/cel/rules.ts';
import { applyDefaults } from './objects/defaults.ts';
import { applySchemaDefaults, decodeCustom } from './objects/structural-schema.ts';
import { trackUpdate } from './objects/server-side-apply.ts';
import { timestamp } from './object-meta.ts';
import { validateBySchema } from './objects/schema-validation.ts';
import { validateObject } from './objects/validate.ts';
import { decodeBuiltin, strictDecodingError } from './objects/strict-fields.ts';

/** A request body: as decoded, and as text where duplicate keys can still be seen in it. */
export type Body = { readonly value: unknown; readonly text?: string };

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

/**
 * The body as an object of this kind: unknown fields are dropped, and reported as the client asked for.
 *
 * @throws StatusError 400 on values of the wrong type, and on unknown or duplicate fields when validation is strict
 */
export function decodeObject(type: ResourceType, body: Body, options: WriteOptions): JsonObject {
  if (!isJsonObject(body.value)) throw badRequest(`the body is not a ${type.kind} but ${describeJson(body.value)}`);
  const { object, problems } =
    type.custom === undefined
      ? decodeBuiltin(type, body.value, body.text)
      : decodeCustom(type.custom.schema, body.value, body.text);
  report(type, problems, options);
  return object;
}

/** The same for an object that came out of a patch; kube-apiserver words the refusal of unknown fields differently there. */
export function decodePatched(type: ResourceType, patched: JsonObject, options: WriteOptions): JsonObject {
  const problems: string[] = [];
  const warn = (problem: string): void => void problems.push(problem);
  const object = decodeObject(type, { value: patched }, { ...options, fieldValidation: 'Warn', warn });
  if (problems.length > 0 && options.fieldValidation === 'Strict') {
    const detail = `Invalid value: ${JSON.stringify(JSON.stringify(patched))}: strict decoding error: ${problems.join(', ')}`;
    const causes = [{ reason: 'FieldValueInvalid', message: detail, field: 'patch' }];
    throw new StatusError(422, 'Invalid', ` "" is invalid: patch: ${detail}`, { causes });
  }
  report(type, problems, options);
  return object;
}

function report(type: ResourceType, problems: readonly string[], options: WriteOptions): void {
  if (problems.length === 0 || options.fieldValidation === 'Ignore') return;
  if (options.fieldValidation === 'Strict') throw strictDecodingError(type, problems);
  for (const problem of problems) options.warn(problem);
}

function describeJson(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

/** The object with everything filled in that its kind prescribes and the client left out. */
export function withDefaults(type: ResourceType, object: JsonObject): JsonObject {
  return type.custom === undefined ? applyDefaults(type, object) : applySchemaDefaults(type.custom.schema, object);
}

/** What is wrong with an object, each with the path of its field; empty when it may be stored. */
export function validationCauses(
  type: ResourceType,
  object: KubeObject,
  current: KubeObject | undefined,
  subresource: string | undefined,
): readonly StatusCause[] {
  const causes = validateObject(type, object, current, subresource);
  if (type.custom === undefined || subresource === 'scale') return causes;
  const { schema } = type.custom;
  const faults = [...causes, ...validateBySchema(schema, object, current)];
  // Rules may count on values of the types that the schema prescribes.
  return faults.length > 0 ? faults : celFaults(schema, object, current);
}

/** Notes in managedFields who changed what, for later server-side applies. */
export function withManagers(
  type: ResourceType,
  object: KubeObject,
  current: KubeObject | undefined,
  options: WriteOptions,
  subresource: string | undefined,
  nowMs: number,
): KubeObject {
  if (options.isApply === true) return object;
  return trackUpdate({
    type,
    ...(type.custom === undefined ? {} : { schema: type.custom.schema }),
    manager: options.fieldManager,
    ...(subresource === undefined ? {} : { subresource }),
    now: timestamp(nowMs),
    old: current,
    object,
  }) as KubeObject;
}
