import { goValue, quote } from './go-text.ts';

/** One entry of `Status.details.causes`. Message texts are those of apimachinery `field.Error`. */
export type FieldCause = {
  readonly reason: CauseReason;
  readonly message: string;
  readonly field: string; // `spec.containers[0].name`, `metadata.labels[a/b]`, `<nil>` for the object itself
};

export type CauseReason =
  | 'FieldValueInvalid'
  | 'FieldValueRequired'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueDuplicate'
  | 'FieldValueNotFound'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid'
  | 'FieldManagerConflict';

/** The `field` of a fault that concerns the whole object. */
export const wholeObject = '<nil>';

function detailed(text: string, detail: string): string {
  return detail === '' ? text : `${text}: ${detail}`;
}

export function required(field: string, detail = ''): FieldCause {
  return { reason: 'FieldValueRequired', message: detailed('Required value', detail), field };
}

export function invalid(field: string, value: unknown, detail: string): FieldCause {
  return { reason: 'FieldValueInvalid', message: detailed(`Invalid value: ${goValue(value)}`, detail), field };
}

/** Like `invalid`, for values that Go prints in a way only the caller knows. */
export function invalidPrinted(field: string, printed: string, detail: string): FieldCause {
  return { reason: 'FieldValueInvalid', message: detailed(`Invalid value: ${printed}`, detail), field };
}

export function typeInvalid(field: string, value: unknown, detail: string): FieldCause {
  return { reason: 'FieldValueTypeInvalid', message: detailed(`Invalid value: ${goValue(value)}`, detail), field };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldCause {
  const detail = supported.length === 0 ? '' : `supported values: ${supported.map(quote).join(', ')}`;
  return { reason: 'FieldValueNotSupported', message: detailed(`Unsupported value: ${goValue(value)}`, detail), field };
}

export function forbidden(field: string, detail: string): FieldCause {
  return { reason: 'FieldValueForbidden', message: detailed('Forbidden', detail), field };
}

export function duplicate(field: string, value: unknown): FieldCause {
  return { reason: 'FieldValueDuplicate', message: `Duplicate value: ${goValue(value)}`, field };
}

export function notFound(field: string, value: unknown): FieldCause {
  return { reason: 'FieldValueNotFound', message: `Not found: ${goValue(value)}`, field };
}

export function tooLong(field: string, maxBytes: number): FieldCause {
  return { reason: 'FieldValueTooLong', message: `Too long: may not be more than ${maxBytes} bytes`, field };
}

export function tooMany(field: string, actual: number, max: number): FieldCause {
  return { reason: 'FieldValueTooMany', message: `Too many: ${actual}: must have at most ${max} items`, field };
}

/** All causes in one line, as the message of a 422 ends: `a: Required value` or `[a: Required value, b: ...]`. */
export function summary(causes: readonly FieldCause[]): string {
  const texts = [...new Set(causes.map((cause) => `${cause.field}: ${cause.message}`))];
  return texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`;
}
