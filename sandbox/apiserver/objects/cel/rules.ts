import { asString, deepEqual, field, isArray, isObject, objectsIn, type JsonObject } from '../json.ts';
import { invalid, wholeObject, type CauseReason, type FieldCause } from '../field-error.ts';
import { correlate } from '../schema-lists.ts';
import type { Schema } from '../structural-schema.ts';
import { evaluate } from './evaluate.ts';
import { parseExpression } from './parser.ts';
import { CelSyntaxError, freeNames, type Expression } from './syntax.ts';
import { CelError, CelOptional, CostExceeded, fromJson, type CelValue } from './values.ts';

/** One entry of `x-kubernetes-validations`, ready to run. */
type Rule = {
  readonly text: string;
  readonly expression: Expression;
  readonly message: string;
  readonly messageExpression: Expression | undefined;
  readonly reason: CauseReason;
  readonly fieldPath: string; // appended to the path of the node, '' for none
  readonly isTransition: boolean; // reads oldSelf
  readonly isOptionalOld: boolean;
};

/** Parsed rules by schema node; they live as long as the schema does. */
const compiled = new WeakMap<Schema, readonly Rule[]>();

const withRules = new WeakMap<Schema, boolean>();

/** True when the schema has a rule anywhere. */
export function hasRules(schema: Schema): boolean {
  const known = withRules.get(schema);
  if (known !== undefined) return known;
  const properties = field(schema, 'properties');
  const below = [
    field(schema, 'items'),
    field(schema, 'additionalProperties'),
    ...Object.values(isObject(properties) ? properties : {}),
  ];
  const found = rulesOf(schema).length > 0 || below.some((child) => isObject(child) && hasRules(child));
  withRules.set(schema, found);
  return found;
}

/**
 * Runs the CEL rules of a structural schema on a custom resource that already passed validateBySchema.
 *
 * Parts that an update leaves alone are not checked again. Transition rules (`oldSelf`) run where the old value is known:
 * properties, map values and items of lists of type `map`.
 */
export function celFaults(schema: Schema, object: JsonObject, old?: JsonObject): readonly FieldCause[] {
  const faults: FieldCause[] = [];
  check(schema, object, old, '', faults);
  return faults;
}

function check(schema: Schema, value: unknown, old: unknown, path: string, faults: FieldCause[]): void {
  if (value === null || value === undefined || (old !== undefined && deepEqual(value, old))) return;
  const rules = rulesOf(schema);
  if (rules.length > 0) runRules(rules, schema, value, old, path, faults);
  if (isArray(value)) {
    const items = field(schema, 'items');
    const before = correlate(schema, value, old);
    if (isObject(items))
      for (const [index, item] of value.entries()) check(items, item, before(index), `${path}[${index}]`, faults);
  } else if (isObject(value)) {
    const properties = field(schema, 'properties');
    const additional = field(schema, 'additionalProperties');
    for (const [name, child] of Object.entries(value)) {
      const property = field(properties, name);
      const below = path === '' ? name : `${path}.${name}`;
      if (isObject(property)) check(property, child, field(old, name), below, faults);
      else if (isObject(additional)) check(additional, child, field(old, name), `${path}[${name}]`, faults);
    }
  }
}

const reasons: readonly CauseReason[] = [
  'FieldValueInvalid',
  'FieldValueForbidden',
  'FieldValueRequired',
  'FieldValueDuplicate',
];

function rulesOf(schema: Schema): readonly Rule[] {
  const list = field(schema, 'x-kubernetes-validations');
  if (list === undefined) return [];
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  const rules = objectsIn(list).flatMap((item) => compileRule(item) ?? []);
  compiled.set(schema, rules);
  return rules;
}

/** @returns undefined for a rule that does not parse: the definition's validation refused it, or it is older than that */
function compileRule(item: JsonObject): Rule | undefined {
  const text = asString(field(item, 'rule'));
  const expression = tryParse(text);
  if (expression === undefined) return undefined;
  const message = asString(field(item, 'message')).trim();
  return {
    text,
    expression,
    message: message === '' ? `failed rule: ${text.trim()}` : message,
    messageExpression: tryParse(asString(field(item, 'messageExpression'))),
    reason: reasons.find((reason) => reason === field(item, 'reason')) ?? 'FieldValueInvalid',
    fieldPath: asString(field(item, 'fieldPath')),
    isTransition: freeNames(expression).has('oldSelf'),
    isOptionalOld: field(item, 'optionalOldSelf') === true,
  };
}

function tryParse(text: string): Expression | undefined {
  try {
    return text === '' ? undefined : parseExpression(text);
  } catch (error) {
    if (error instanceof CelSyntaxError) return undefined;
    throw error;
  }
}

/** Complaints about the text of a rule; empty when it parses. Types are not checked before a rule runs. */
export function ruleSyntaxFault(text: string): string | undefined {
  try {
    parseExpression(text);
    return undefined;
  } catch (error) {
    if (error instanceof CelSyntaxError)
      return `compilation failed: ${error.message}\n | ${text}\n | ${'.'.repeat(error.column)}^`;
    throw error;
  }
}

function runRules(
  rules: readonly Rule[],
  schema: Schema,
  value: unknown,
  old: unknown,
  path: string,
  faults: FieldCause[],
): void {
  const self = fromJson(value, schema);
  const before = old === undefined || old === null ? undefined : fromJson(old, schema);
  const type = typeName(schema);
  const at = path === '' ? wholeObject : path;
  for (const rule of rules) {
    if (rule.isTransition && before === undefined && !rule.isOptionalOld) continue;
    const variables = new Map<string, CelValue>([['self', self]]);
    if (rule.isOptionalOld) variables.set('oldSelf', new CelOptional(before));
    else if (before !== undefined) variables.set('oldSelf', before);
    const why = rule.message.startsWith('failed rule: ') ? rule.text.trim() : rule.message;
    try {
      if (evaluate(rule.expression, variables) === true) continue;
      faults.push(
        ruleFault(rule, `${path}${rule.fieldPath}`.replace(/^\./, '') || at, type, messageOf(rule, variables)),
      );
    } catch (error) {
      if (error instanceof CostExceeded) {
        faults.push(
          invalid(
            at,
            type,
            `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${why}`,
          ),
        );
        return;
      }
      if (!(error instanceof CelError)) throw error;
      faults.push(invalid(at, type, evaluationFault(error, why)));
    }
  }
}

function evaluationFault(error: CelError, why: string): string {
  if (!error.message.startsWith('no such overload')) return `${error.message} evaluating rule: ${why}`;
  return `'${error.message}': call arguments did not match a supported operator, function or macro signature for rule: ${why}`;
}

function ruleFault(rule: Rule, path: string, type: string, message: string): FieldCause {
  switch (rule.reason) {
    case 'FieldValueForbidden':
      return { reason: rule.reason, message: `Forbidden: ${message}`, field: path };
    case 'FieldValueRequired':
      return { reason: rule.reason, message: `Required value: ${message}`, field: path };
    case 'FieldValueDuplicate':
      return { reason: rule.reason, message: `Duplicate value: "${type}"`, field: path };
    default:
      return invalid(path, type, message);
  }
}

function messageOf(rule: Rule, variables: ReadonlyMap<string, CelValue>): string {
  if (rule.messageExpression === undefined) return rule.message;
  try {
    const message = evaluate(rule.messageExpression, variables);
    return typeof message === 'string' && message.trim() !== '' && !message.includes('\n') ? message : rule.message;
  } catch (error) {
    if (error instanceof CelError || error instanceof CostExceeded) return rule.message;
    throw error;
  }
}

/** What faults print in place of the value. */
function typeName(schema: Schema): string {
  const type = asString(field(schema, 'type'));
  return type === '' ? 'object' : type;
}
