// What the tests of validation share: objects go through decoding and defaults before they are checked.
import { applyDefaults } from '../defaults.ts';
import type { FieldCause } from '../field-error.ts';
import type { JsonObject } from '../json.ts';
import { decodeBuiltin, type TypeName } from '../strict-fields.ts';
import { validateObject } from '../validate.ts';

export function typeOf(apiVersion: string, kind: string): TypeName {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return { group: group ?? '', version: version ?? '', kind };
}

export function complete(type: TypeName, object: JsonObject): JsonObject {
  return applyDefaults(type, decodeBuiltin(type, object).object);
}

/** Faults of an object after decoding and defaults, as `field: message`. */
export function faults(type: TypeName, object: JsonObject, old?: JsonObject): string[] {
  return print(validateObject(type, complete(type, object), old === undefined ? undefined : complete(type, old)));
}

function print(causes: readonly FieldCause[]): string[] {
  return causes.map(({ field: name, message }) => `${name}: ${message}`);
}
