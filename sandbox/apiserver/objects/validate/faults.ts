import * as cause from '../field-error.ts';
import type { FieldCause } from '../field-error.ts';
import { goStrings, quote } from '../go-text.ts';
import { asArray, asObject, asString, canonical, deepEqual, field, objectsIn, type JsonObject } from '../json.ts';
import { labelValueFaults, qualifiedNameFaults } from '../names.ts';
import { quantityOf } from '../quantity.ts';

/** Collects what is wrong with one object. Paths are those of the API: `spec.containers[0].name`. */
export class Faults {
  readonly causes: FieldCause[] = [];

  add(...causes: readonly FieldCause[]): void {
    this.causes.push(...causes);
  }

  required(path: string, detail = ''): void {
    this.add(cause.required(path, detail));
  }

  invalid(path: string, value: unknown, detail: string): void {
    this.add(cause.invalid(path, value, detail));
  }

  /** For values that Go prints in its own way. */
  invalidPrinted(path: string, printed: string, detail: string): void {
    this.add(cause.invalidPrinted(path, printed, detail));
  }

  forbidden(path: string, detail: string): void {
    this.add(cause.forbidden(path, detail));
  }

  duplicate(path: string, value: unknown): void {
    this.add(cause.duplicate(path, value));
  }

  /** Checks the value by rules of names.ts; each complaint is one fault. */
  named(path: string, value: string, rule: (value: string) => readonly string[]): void {
    for (const fault of rule(value)) this.invalid(path, value, fault);
  }

  /** A name that must be there. */
  requiredName(path: string, value: unknown, rule: (value: string) => readonly string[]): void {
    if (asString(value) === '') this.required(path);
    else this.named(path, asString(value), rule);
  }

  oneOf(path: string, value: unknown, supported: readonly string[]): void {
    if (value === undefined || value === '') this.required(path);
    else this.oneOfOrAbsent(path, value, supported);
  }

  oneOfOrAbsent(path: string, value: unknown, supported: readonly string[]): void {
    if (value === undefined || value === '' || supported.includes(asString(value))) return;
    this.add(cause.notSupported(path, value, [...supported].sort()));
  }

  nonNegative(path: string, value: unknown): void {
    if (typeof value === 'number' && value < 0) this.invalid(path, value, 'must be greater than or equal to 0');
  }

  immutable(path: string, value: unknown, old: unknown, printed?: string): void {
    if (deepEqual(value, old)) return;
    if (printed === undefined) this.invalid(path, value, 'field is immutable');
    else this.invalidPrinted(path, printed, 'field is immutable');
  }

  labels(path: string, labels: unknown): void {
    for (const [key, value] of Object.entries(asObject(labels))) {
      this.named(path, key, qualifiedNameFaults);
      this.named(path, asString(value), labelValueFaults);
    }
  }

  labelSelector(path: string, selector: unknown): void {
    this.labels(`${path}.matchLabels`, field(selector, 'matchLabels'));
    for (const [index, item] of objectsIn(field(selector, 'matchExpressions')).entries()) {
      this.#expression(`${path}.matchExpressions[${index}]`, item);
    }
  }

  #expression(path: string, item: JsonObject): void {
    const operator = asString(field(item, 'operator'));
    const values = asArray(field(item, 'values')).map(asString);
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0) this.required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0)
        this.forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else this.invalid(`${path}.operator`, operator, 'not a valid selector operator');
    this.named(`${path}.key`, asString(field(item, 'key')), qualifiedNameFaults);
    for (const [index, value] of values.entries()) this.named(`${path}.values[${index}]`, value, labelValueFaults);
  }

  /** IntOrString that is a count or a share: `3`, `25%`. */
  countOrPercent(path: string, value: unknown): void {
    if (typeof value === 'string' && !/^\d+%$/.test(value)) {
      const detail =
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
      this.invalid(path, value, detail);
    } else this.nonNegative(path, value);
  }

  atMost100Percent(path: string, value: unknown): void {
    if (typeof value === 'string' && /^\d+%$/.test(value) && Number.parseInt(value, 10) > 100)
      this.invalid(path, value, 'must not be greater than 100%');
  }

  quantity(path: string, value: unknown): void {
    const quantity = quantityOf(value);
    if (quantity !== undefined && quantity.nano < 0n) this.invalid(path, value, 'must be greater than or equal to 0');
  }
}

/** A map of strings as Go prints it. */
export function goStringMap(map: unknown): string {
  const entries = Object.entries(asObject(map)).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return 'map[string]string(nil)';
  return `map[string]string{${entries.map(([key, value]) => `${quote(key)}:${quote(asString(value))}`).join(', ')}}`;
}

/** A LabelSelector as Go prints it. */
export function goLabelSelector(selector: unknown): string {
  const expressions = objectsIn(field(selector, 'matchExpressions')).map((item) => {
    const values = asArray(field(item, 'values')).map(asString);
    const list = values.length === 0 ? '[]string(nil)' : goStrings(values);
    return `v1.LabelSelectorRequirement{Key:${quote(asString(field(item, 'key')))}, Operator:${quote(asString(field(item, 'operator')))}, Values:${list}}`;
  });
  const list = expressions.length === 0 ? '(nil)' : `{${expressions.join(', ')}}`;
  return `v1.LabelSelector{MatchLabels:${goStringMap(field(selector, 'matchLabels'))}, MatchExpressions:[]v1.LabelSelectorRequirement${list}}`;
}

/** Indexes of values that occurred before; empty texts are no values. */
export function repeatedIndexes(values: readonly unknown[]): readonly number[] {
  const seen = new Set<string>();
  return values.flatMap((value, index) => {
    const key = canonical(value);
    if (value === '' || value === undefined || !seen.has(key)) {
      seen.add(key);
      return [];
    }
    return [index];
  });
}
