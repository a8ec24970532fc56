import { asArray, asString, field, isObject, objectsIn, type JsonObject } from '../json.ts';
import { ruleSyntaxFault } from '../cel/rules.ts';
import { goStrings } from '../go-text.ts';
import { compilePattern } from '../re2.ts';
import type { Faults } from './faults.ts';

type Level = 'root' | 'item' | 'field';

const missingType: Readonly<Record<Level, string>> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
};

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const unsupported = ['id', 'additionalItems', 'patternProperties', 'definitions', 'dependencies', '$ref'];
const logic = ['allOf', 'anyOf', 'oneOf'];

/** Checks that the schema of a CustomResourceDefinition version is structural. */
export function checkSchema(faults: Faults, path: string, schema: JsonObject): void {
  if (field(schema, 'nullable') === true) faults.forbidden(`${path}.nullable`, 'nullable cannot be true at the root');
  if (field(schema, 'additionalProperties') !== undefined)
    faults.forbidden(`${path}.additionalProperties`, 'must not be used at the root');
  checkNode(faults, path, schema, 'root');
}

function checkNode(faults: Faults, path: string, schema: JsonObject, level: Level): void {
  checkType(faults, path, schema, level);
  checkKeywords(faults, path, schema);
  checkLists(faults, path, schema);
  checkRules(faults, `${path}.x-kubernetes-validations`, field(schema, 'x-kubernetes-validations'));
  checkLogic(faults, path, schema);
  const items = field(schema, 'items');
  if (isObject(items)) checkNode(faults, `${path}.items`, items, 'item');
  const properties = field(schema, 'properties');
  for (const [name, property] of Object.entries(isObject(properties) ? properties : {})) {
    if (isObject(property)) checkNode(faults, `${path}.properties[${name}]`, property, 'field');
  }
  const additional = field(schema, 'additionalProperties');
  if (isObject(additional)) checkNode(faults, `${path}.additionalProperties`, additional, 'field');
}

function isTrue(schema: JsonObject, name: string): boolean {
  return field(schema, `x-kubernetes-${name}`) === true;
}

function checkType(faults: Faults, path: string, schema: JsonObject, level: Level): void {
  const type = asString(field(schema, 'type'));
  const at = `${path}.type`;
  if (type === 'null') faults.forbidden(at, 'type cannot be set to null, use nullable as an alternative');
  else faults.oneOfOrAbsent(at, type, types);
  if (isTrue(schema, 'embedded-resource') && type !== 'object') {
    const text = 'must be object if x-kubernetes-embedded-resource is true';
    if (type === '') faults.required(at, text);
    else faults.invalid(at, type, text);
  } else if (type === '' && !isTrue(schema, 'int-or-string') && !isTrue(schema, 'preserve-unknown-fields')) {
    faults.required(at, missingType[level]);
  }
  if (level === 'root' && type !== '' && type !== 'object') faults.invalid(at, type, 'must be object at the root');
  if (type === 'array' && field(schema, 'items') === undefined) faults.required(`${path}.items`, 'must be specified');
  if (Array.isArray(field(schema, 'items')))
    faults.forbidden(`${path}.items`, 'items must be a schema object and not an array');
}

function checkKeywords(faults: Faults, path: string, schema: JsonObject): void {
  for (const name of unsupported)
    if (field(schema, name) !== undefined) faults.forbidden(`${path}.${name}`, `${name} is not supported`);
  if (field(schema, 'uniqueItems') === true) {
    faults.forbidden(
      `${path}.uniqueItems`,
      'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
    );
  }
  const additional = field(schema, 'additionalProperties');
  if (additional !== undefined && isObject(field(schema, 'properties'))) {
    faults.forbidden(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive');
  }
  if (additional === false)
    faults.forbidden(`${path}.additionalProperties`, 'additionalProperties cannot be set to false');
  if (field(schema, 'x-kubernetes-preserve-unknown-fields') === false) {
    faults.invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined');
  }
  const pattern = asString(field(schema, 'pattern'));
  if (pattern !== '' && compilePattern(pattern) === undefined) {
    faults.invalid(
      `${path}.pattern`,
      pattern,
      `must be a valid regular expression, but isn't: error parsing regexp: \`${pattern}\``,
    );
  }
}

function checkLists(faults: Faults, path: string, schema: JsonObject): void {
  const type = field(schema, 'x-kubernetes-list-type');
  const mapType = field(schema, 'x-kubernetes-map-type');
  const keys = asArray(field(schema, 'x-kubernetes-list-map-keys')).map(asString);
  faults.oneOfOrAbsent(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']);
  faults.oneOfOrAbsent(`${path}.x-kubernetes-list-type`, type, ['atomic', 'map', 'set']);
  if (mapType !== undefined && field(schema, 'type') !== 'object') {
    faults.invalid(`${path}.type`, field(schema, 'type') ?? '', 'must be object if x-kubernetes-map-type is specified');
  }
  if (type !== undefined && field(schema, 'type') !== 'array') {
    faults.invalid(`${path}.type`, field(schema, 'type') ?? '', 'must be array if x-kubernetes-list-type is specified');
  }
  if (type !== 'map') {
    if (keys.length > 0)
      faults.required(`${path}.x-kubernetes-list-type`, 'must be map if x-kubernetes-list-map-keys is non-empty');
    return;
  }
  if (keys.length === 0)
    faults.required(`${path}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map');
  checkKeys(faults, path, field(schema, 'items'), keys);
}

function checkKeys(faults: Faults, path: string, items: unknown, keys: readonly string[]): void {
  if (!isObject(items)) {
    faults.required(`${path}.items`, 'must have a schema if x-kubernetes-list-type is map');
    return;
  }
  const required = asArray(field(items, 'required'));
  for (const key of keys) {
    const property = field(field(items, 'properties'), key);
    if (!isObject(property)) {
      faults.invalidPrinted(
        `${path}.x-kubernetes-list-map-keys`,
        goStrings(keys),
        'entries must all be names of item properties',
      );
    } else if (!required.includes(key) && field(property, 'default') === undefined) {
      const text =
        'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property';
      faults.required(`${path}.items.properties[${key}].default`, text);
    }
  }
  if (new Set(keys).size < keys.length) {
    faults.invalidPrinted(`${path}.x-kubernetes-list-map-keys`, goStrings(keys), 'must not contain duplicate entries');
  }
}

function checkRules(faults: Faults, path: string, rules: unknown): void {
  for (const [index, rule] of objectsIn(rules).entries()) {
    const at = `${path}[${index}]`;
    const text = asString(field(rule, 'rule'));
    const message = field(rule, 'message');
    const syntax = text.trim() === '' ? undefined : ruleSyntaxFault(text);
    if (text.trim() === '') faults.required(`${at}.rule`, 'rule is not specified');
    if (syntax !== undefined) faults.invalid(`${at}.rule`, text, syntax);
    if (typeof message === 'string' && message.trim() === '')
      faults.invalid(`${at}.message`, message, 'message must be non-empty if specified');
    if (typeof message === 'string' && message.trim().includes('\n'))
      faults.invalid(`${at}.message`, message, 'message must not contain line breaks');
    if (text.trim().includes('\n') && message === undefined && field(rule, 'messageExpression') === undefined) {
      faults.required(`${at}.message`, 'message must be specified if rule contains line breaks');
    }
  }
}

/** Keywords that shape data may not stand inside allOf, anyOf, oneOf and not: those only restrict it. */
const forbiddenInLogic: readonly (readonly [name: string, text: string])[] = [
  ['additionalProperties', 'must be undefined to be structural'],
  ['default', 'must be undefined to be structural'],
  ['title', 'must be empty to be structural'],
  ['description', 'must be empty to be structural'],
  ['nullable', 'must be false to be structural'],
  ['x-kubernetes-preserve-unknown-fields', 'must be false to be structural'],
  ['x-kubernetes-embedded-resource', 'must be false to be structural'],
  ['x-kubernetes-int-or-string', 'must be false to be structural'],
  ['x-kubernetes-list-map-keys', 'must be empty to be structural'],
  ['x-kubernetes-list-type', 'must be undefined to be structural'],
  ['x-kubernetes-map-type', 'must be undefined to be structural'],
];

function checkLogic(faults: Faults, path: string, schema: JsonObject): void {
  const isEither = isTrue(schema, 'int-or-string');
  for (const keyword of logic) {
    for (const [index, part] of objectsIn(field(schema, keyword)).entries()) {
      checkRestriction(faults, `${path}.${keyword}[${index}]`, part, isEither);
    }
  }
  const not = field(schema, 'not');
  if (isObject(not)) checkRestriction(faults, `${path}.not`, not, isEither);
}

/** @param mayHaveType  int-or-string writes its two types as an anyOf */
function checkRestriction(faults: Faults, path: string, schema: JsonObject, mayHaveType: boolean): void {
  if (asString(field(schema, 'type')) !== '' && !mayHaveType)
    faults.forbidden(`${path}.type`, 'must be empty to be structural');
  for (const [name, text] of forbiddenInLogic)
    if (field(schema, name) !== undefined) faults.forbidden(`${path}.${name}`, text);
  checkLogic(faults, path, { ...schema, 'x-kubernetes-int-or-string': mayHaveType });
  const items = field(schema, 'items');
  if (isObject(items)) checkRestriction(faults, `${path}.items`, items, false);
  const properties = field(schema, 'properties');
  for (const [name, property] of Object.entries(isObject(properties) ? properties : {})) {
    if (isObject(property)) checkRestriction(faults, `${path}.properties[${name}]`, property, false);
  }
}
