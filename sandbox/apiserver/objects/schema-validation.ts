import {
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
  typeInvalid,
  wholeObject,
  type FieldCause,
} from './field-error.ts';
import { canonical, deepEqual, field, isArray, isObject, objectsIn, type JsonObject } from './json.ts';
import { compilePattern } from './re2.ts';
import { hasFormat } from './schema-formats.ts';
import { listFaults, correlate } from './schema-lists.ts';
import type { Schema } from './structural-schema.ts';

/**
 * Validates a custom resource (pruned and with defaults) by the OpenAPI part of its schema, in the words of the API server.
 * CEL rules are evaluated by cel/rules.ts.
 *
 * @param old  the object before an update: faults in parts that did not change are forgiven
 */
export function validateBySchema(schema: Schema, object: JsonObject, old?: JsonObject): readonly FieldCause[] {
  return [...new Validation().value(schema, object, '', old).causes, ...listFaults(schema, object, '', old)].slice(
    0,
    maxCauses,
  );
}

const maxCauses = 1000;

/** `matches` counts what was right: of several failing alternatives the one with most matches explains itself. */
type Outcome = { readonly causes: readonly FieldCause[]; readonly matches: number };

const fine: Outcome = { causes: [], matches: 1 };

function wrong(cause: FieldCause): Outcome {
  return { causes: [cause], matches: 0 };
}

function merge(outcomes: readonly Outcome[]): Outcome {
  return {
    causes: outcomes.flatMap(({ causes }) => causes),
    matches: outcomes.reduce((sum, { matches }) => sum + matches, 0),
  };
}

function isValid(outcome: Outcome): boolean {
  return outcome.causes.length === 0;
}

function numberIn(schema: Schema, keyword: string): number | undefined {
  const value = field(schema, keyword);
  return typeof value === 'number' ? value : undefined;
}

/** The error text names the path once more and says it is "in body". */
function inBody(path: string): string {
  return `${path} in body`;
}

function at(path: string): string {
  return path === '' ? wholeObject : path;
}

class Validation {
  value(schema: Schema, value: unknown, path: string, old: unknown): Outcome {
    if (old !== undefined && deepEqual(value, old)) return fine;
    const type = this.#type(schema, value, path);
    if (!isValid(type) || value === null) return type;
    const outcomes = [type, this.#enumeration(schema, value, path), this.#logic(schema, value, path)];
    if (typeof value === 'string') outcomes.push(this.#string(schema, value, path));
    if (typeof value === 'number') outcomes.push(this.#number(schema, value, path));
    if (isArray(value)) outcomes.push(this.#list(schema, value, path, old));
    if (isObject(value)) outcomes.push(this.#object(schema, value, path, old));
    return merge(outcomes);
  }

  #type(schema: Schema, value: unknown, path: string): Outcome {
    const isEither = field(schema, 'x-kubernetes-int-or-string') === true;
    const type = isEither ? 'integer,string' : field(schema, 'type');
    if (typeof type !== 'string' || type === '') return fine;
    if (value === null && field(schema, 'nullable') === true) return fine;
    const found = typeOf(value);
    const isRight = type.split(',').includes(found) || (type === 'number' && found === 'integer');
    return isRight ? fine : wrong(typeInvalid(at(path), found, `${inBody(path)} must be of type ${type}: "${found}"`));
  }

  #enumeration(schema: Schema, value: unknown, path: string): Outcome {
    const allowed = field(schema, 'enum');
    if (!isArray(allowed) || allowed.some((item) => deepEqual(item, value))) return fine;
    const texts = allowed.map((item) => (typeof item === 'string' ? item : canonical(item)));
    return wrong(notSupported(at(path), value, texts));
  }

  #string(schema: Schema, value: string, path: string): Outcome {
    const outcomes: Outcome[] = [];
    const max = numberIn(schema, 'maxLength');
    const min = numberIn(schema, 'minLength');
    const length = max === undefined && min === undefined ? 0 : Array.from(value).length;
    const isTooLong = max !== undefined && length > max;
    if (isTooLong) outcomes.push(wrong(tooLong(at(path), max)));
    if (min !== undefined && length < min) {
      outcomes.push(wrong(invalid(at(path), value, `${inBody(path)} should be at least ${min} chars long`)));
    }
    // A pattern is not tried on text that is too long anyway: unlike RE2, JavaScript's expressions can take very long.
    if (!isTooLong) outcomes.push(this.#pattern(schema, value, path));
    const format = field(schema, 'format');
    if (typeof format === 'string' && !hasFormat(format, value)) {
      outcomes.push(
        wrong(typeInvalid(at(path), value, `${inBody(path)} must be of type ${format}: ${JSON.stringify(value)}`)),
      );
    }
    return merge(outcomes);
  }

  #pattern(schema: Schema, value: string, path: string): Outcome {
    const pattern = field(schema, 'pattern');
    if (typeof pattern !== 'string' || pattern === '') return fine;
    const expression = compilePattern(pattern);
    if (expression?.test(value) === true) return fine;
    const text = expression === undefined ? `${pattern}, but pattern is invalid` : pattern;
    return wrong(invalid(at(path), value, `${inBody(path)} should match '${text}'`));
  }

  #number(schema: Schema, value: number, path: string): Outcome {
    const faults: string[] = [];
    const max = numberIn(schema, 'maximum');
    const min = numberIn(schema, 'minimum');
    const multiple = numberIn(schema, 'multipleOf');
    const isBelow = field(schema, 'exclusiveMaximum') === true;
    const isAbove = field(schema, 'exclusiveMinimum') === true;
    if (max !== undefined && (isBelow ? value >= max : value > max)) {
      faults.push(`should be less than ${isBelow ? '' : 'or equal to '}${max}`);
    }
    if (min !== undefined && (isAbove ? value <= min : value < min)) {
      faults.push(`should be greater than ${isAbove ? '' : 'or equal to '}${min}`);
    }
    if (
      multiple !== undefined &&
      multiple > 0 &&
      !Number.isInteger(multiple < 1 ? value * (1 / multiple) : value / multiple)
    ) {
      faults.push(`should be a multiple of ${multiple}`);
    }
    return { causes: faults.map((fault) => invalid(at(path), value, `${inBody(path)} ${fault}`)), matches: 1 };
  }

  #list(schema: Schema, list: readonly unknown[], path: string, old: unknown): Outcome {
    const items = field(schema, 'items');
    const before = correlate(schema, list, old);
    const outcomes = isObject(items)
      ? list.map((item, index) => this.value(items, item, `${path}[${index}]`, before(index)))
      : [];
    const min = numberIn(schema, 'minItems');
    const max = numberIn(schema, 'maxItems');
    if (min !== undefined && list.length < min) {
      outcomes.push(wrong(invalid(at(path), list.length, `${inBody(path)} should have at least ${min} items`)));
    }
    if (max !== undefined && list.length > max) outcomes.push(wrong(tooMany(at(path), list.length, max)));
    if (field(schema, 'uniqueItems') === true && new Set(list.map(canonical)).size < list.length) {
      outcomes.push(wrong(invalid(at(path), '', `${inBody(path)} shouldn't contain duplicates`)));
    }
    return merge(outcomes);
  }

  #object(schema: Schema, object: JsonObject, path: string, old: unknown): Outcome {
    const outcomes: Outcome[] = [];
    const size = Object.keys(object).length;
    const min = numberIn(schema, 'minProperties');
    const max = numberIn(schema, 'maxProperties');
    if (min !== undefined && size < min) {
      outcomes.push(wrong(invalid(at(path), size, `${inBody(path)} should have at least ${min} properties`)));
    }
    if (max !== undefined && size > max) outcomes.push(wrong(tooMany(at(path), size, max)));
    const additional = field(schema, 'additionalProperties');
    for (const [name, value] of Object.entries(object)) {
      const property = field(field(schema, 'properties'), name) ?? additional;
      const below = path === '' ? name : `${path}.${name}`;
      if (isObject(property)) outcomes.push(this.value(property, value, below, field(old, name)));
      else if (property === false)
        outcomes.push(wrong(invalid(at(path), name, `${path}.${name} in body is a forbidden property`)));
    }
    const names = field(schema, 'required');
    for (const name of isArray(names) ? names : []) {
      if (typeof name === 'string' && !Object.hasOwn(object, name))
        outcomes.push(wrong(required(path === '' ? name : `${path}.${name}`)));
    }
    return merge(outcomes);
  }

  #logic(schema: Schema, value: unknown, path: string): Outcome {
    const each = (keyword: string): readonly Outcome[] =>
      objectsIn(field(schema, keyword)).map((alternative) => this.value(alternative, value, path, undefined));
    const outcomes = [anyOf(each('anyOf'), path), oneOf(each('oneOf'), path), allOf(each('allOf'), path)];
    const not = field(schema, 'not');
    if (isObject(not) && isValid(this.value(not, value, path, undefined)))
      outcomes.push(logical(path, 'must not validate the schema (not)'));
    return merge(outcomes);
  }
}

function logical(path: string, text: string): Outcome {
  return wrong(invalid(wholeObject, '', `"${path}" ${text}`));
}

function best(outcomes: readonly Outcome[]): Outcome {
  return outcomes.reduce((a, b) => (b.matches > a.matches ? b : a));
}

function anyOf(outcomes: readonly Outcome[], path: string): Outcome {
  const right = outcomes.find(isValid);
  if (outcomes.length === 0 || right !== undefined) return right ?? fine;
  return merge([logical(path, 'must validate at least one schema (anyOf)'), best(outcomes)]);
}

function oneOf(outcomes: readonly Outcome[], path: string): Outcome {
  const right = outcomes.filter(isValid);
  if (outcomes.length === 0 || right.length === 1) return right[0] ?? fine;
  const text = 'must validate one and only one schema (oneOf).';
  if (right.length > 1) return logical(path, `${text} Found ${right.length} valid alternatives`);
  return merge([logical(path, `${text} Found none valid`), best(outcomes)]);
}

function allOf(outcomes: readonly Outcome[], path: string): Outcome {
  const rightCount = outcomes.filter(isValid).length;
  if (rightCount === outcomes.length) return fine;
  return merge([
    ...outcomes,
    logical(path, `must validate all the schemas (allOf)${rightCount === 0 ? '. None validated' : ''}`),
  ]);
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}
