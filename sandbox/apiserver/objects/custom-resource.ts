import { celFaults, hasRules } from './cel/rules.ts';
import { invalid, wholeObject, type CauseReason, type FieldCause } from './field-error.ts';
import type { JsonObject } from './json.ts';
import { validateBySchema } from './schema-validation.ts';
import type { Schema } from './structural-schema.ts';

/** Faults after which rules are not evaluated: the object does not have the shape they were written for. */
const blocking: readonly CauseReason[] = [
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
];

const unchecked =
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';

/**
 * Checks a custom resource (decoded, with defaults) by its whole schema: OpenAPI keywords, then the CEL rules. Metadata is
 * checked by validateObject.
 *
 * @param old  the object before an update; undefined for a new one
 */
export function validateCustom(schema: Schema, object: JsonObject, old?: JsonObject): readonly FieldCause[] {
  const faults = validateBySchema(schema, object, old);
  if (!hasRules(schema)) return faults;
  if (faults.some(({ reason }) => blocking.includes(reason))) return [...faults, invalid(wholeObject, null, unchecked)];
  return [...faults, ...celFaults(schema, object, old)];
}
