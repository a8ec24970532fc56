import { globalNamed, methodNamed, namespaced } from './functions.ts';
import type { BinaryOperator, Expression } from './syntax.ts';
import {
  celCompare,
  celEquals,
  CelError,
  CelOptional,
  CelTime,
  CostExceeded,
  int64,
  isList,
  isMap,
  isNumber,
  noOverload,
  type CelKey,
  type CelValue,
} from './values.ts';

const stepsMax = 1_000_000; // per expression

/**
 * Runs an expression.
 *
 * @throws CelError when it has no value, CostExceeded when it takes too long
 */
export function evaluate(expression: Expression, variables: ReadonlyMap<string, CelValue>): CelValue {
  return new Evaluation().run(expression, variables);
}

type Scope = ReadonlyMap<string, CelValue>;

/** An error that another operand may make irrelevant. */
type Outcome = { readonly value: CelValue } | { readonly error: CelError };

class Evaluation {
  #steps = 0;

  run(part: Expression, scope: Scope): CelValue {
    this.#steps += 1;
    if (this.#steps > stepsMax) throw new CostExceeded('operation cancelled: actual cost limit exceeded');
    switch (part.kind) {
      case 'literal':
        return part.value;
      case 'name': {
        const value = scope.get(part.name);
        if (value === undefined) throw new CelError(`no such attribute(s): ${part.name}`);
        return value;
      }
      case 'select':
        return this.#select(part, scope);
      case 'index':
        return this.#index(part, scope);
      case 'call':
        return this.#call(part, scope);
      case 'list':
        return part.items.map((item) => this.run(item, scope));
      case 'map':
        return new Map(part.entries.map(([key, value]) => [keyOf(this.run(key, scope)), this.run(value, scope)]));
      case 'not': {
        const value = this.run(part.of, scope);
        if (typeof value !== 'boolean') throw noOverload();
        return !value;
      }
      case 'negative':
        return negative(this.run(part.of, scope));
      case 'binary':
        return this.#binary(part, scope);
      case 'conditional': {
        const test = this.run(part.test, scope);
        if (typeof test !== 'boolean') throw noOverload();
        return this.run(test ? part.yes : part.no, scope);
      }
      case 'macro':
        return this.#macro(part, scope);
    }
  }

  #try(part: Expression, scope: Scope): Outcome {
    try {
      return { value: this.run(part, scope) };
    } catch (error) {
      if (error instanceof CelError) return { error };
      throw error;
    }
  }

  #select(part: Expression & { kind: 'select' }, scope: Scope): CelValue {
    const given = this.run(part.of, scope);
    const isOptional = part.isOptional || given instanceof CelOptional;
    const of = given instanceof CelOptional ? given.value : given;
    if (of === undefined) return part.isTest ? false : new CelOptional(undefined);
    if (!isMap(of)) throw noOverload();
    const value = of.get(part.field) ?? of.get(unescapeName(part.field));
    if (part.isTest) return value !== undefined;
    if (isOptional) return new CelOptional(value);
    if (value === undefined) throw new CelError(`no such key: ${part.field}`);
    return value;
  }

  #index(part: Expression & { kind: 'index' }, scope: Scope): CelValue {
    const given = this.run(part.of, scope);
    const isOptional = part.isOptional || given instanceof CelOptional;
    const of = given instanceof CelOptional ? given.value : given;
    if (of === undefined) return new CelOptional(undefined);
    const index = this.run(part.index, scope);
    const found = lookUp(of, index);
    if (isOptional) return new CelOptional(found);
    if (found === undefined)
      throw new CelError(`${isList(of) ? 'index out of bounds' : 'no such key'}: ${printKey(index)}`);
    return found;
  }

  #call(part: Expression & { kind: 'call' }, scope: Scope): CelValue {
    const space =
      part.on?.kind === 'name' && !scope.has(part.on.name) ? namespaced(part.on.name, part.name) : undefined;
    const call = space ?? (part.on === undefined ? globalNamed(part.name) : methodNamed(part.name));
    if (call === undefined) throw new CelError(`no such overload: ${part.name}`);
    const args = part.args.map((arg) => this.run(arg, scope));
    return space !== undefined || part.on === undefined ? call(...args) : call(this.run(part.on, scope), ...args);
  }

  #binary({ operator, left, right }: Expression & { kind: 'binary' }, scope: Scope): CelValue {
    if (operator === '||' || operator === '&&') return this.#logic(left, right, scope, operator === '||');
    return applyOperator(operator, this.run(left, scope), this.run(right, scope));
  }

  /** Either operand alone may decide, whatever the other does. */
  #logic(left: Expression, right: Expression, scope: Scope, decisive: boolean): boolean {
    const first = this.#try(left, scope);
    if ('value' in first && first.value === decisive) return decisive;
    const second = this.#try(right, scope);
    if ('value' in second && second.value === decisive) return decisive;
    if ('error' in first) throw first.error;
    if ('error' in second) throw second.error;
    if (typeof first.value !== 'boolean' || typeof second.value !== 'boolean') throw noOverload();
    return !decisive;
  }

  #macro(part: Expression & { kind: 'macro' }, scope: Scope): CelValue {
    const of = this.run(part.of, scope);
    const items = isList(of) ? of : isMap(of) ? [...of.keys()] : undefined;
    const [first, second] = part.args;
    if (items === undefined || first === undefined) throw noOverload();
    const within = (item: CelValue): Scope => new Map(scope).set(part.variable, item);
    switch (part.macro) {
      case 'all':
        return this.#quantify(
          items.map((item) => () => this.#try(first, within(item))),
          false,
        );
      case 'exists':
        return this.#quantify(
          items.map((item) => () => this.#try(first, within(item))),
          true,
        );
      case 'exists_one':
        return items.filter((item) => this.#isTrue(first, within(item))).length === 1;
      case 'filter':
        return items.filter((item) => this.#isTrue(first, within(item)));
      case 'map':
        if (second === undefined) return items.map((item) => this.run(first, within(item)));
        return items.filter((item) => this.#isTrue(first, within(item))).map((item) => this.run(second, within(item)));
    }
  }

  #isTrue(part: Expression, scope: Scope): boolean {
    const value = this.run(part, scope);
    if (typeof value !== 'boolean') throw noOverload();
    return value;
  }

  /** `all` is decided by one false, `exists` by one true; an error counts only when nothing decides. */
  #quantify(tests: readonly (() => Outcome)[], decisive: boolean): boolean {
    let error: CelError | undefined;
    for (const test of tests) {
      const outcome = test();
      if ('error' in outcome) error = outcome.error;
      else if (outcome.value === decisive) return decisive;
      else if (typeof outcome.value !== 'boolean') error = noOverload();
    }
    if (error !== undefined) throw error;
    return !decisive;
  }
}

function keyOf(value: CelValue): CelKey {
  if (typeof value === 'string' || typeof value === 'bigint' || typeof value === 'boolean' || typeof value === 'number')
    return value;
  throw new CelError('unsupported key type');
}

function printKey(value: CelValue): string {
  return typeof value === 'string' || typeof value === 'bigint' ? String(value) : typeof value;
}

function lookUp(of: CelValue, index: CelValue): CelValue | undefined {
  if (isMap(of)) return of.get(keyOf(index));
  if (!isList(of)) throw noOverload();
  if (typeof index !== 'bigint' && !(typeof index === 'number' && Number.isInteger(index))) throw noOverload();
  return index < 0 ? undefined : of[Number(index)];
}

/** Property names that are no identifiers are written `x__dash__y`, `__namespace__`. */
function unescapeName(name: string): string {
  const reserved = /^__([a-z]+)__$/.exec(name)?.[1];
  if (reserved !== undefined) return reserved;
  return name
    .replaceAll('__dot__', '.')
    .replaceAll('__dash__', '-')
    .replaceAll('__slash__', '/')
    .replaceAll('__underscores__', '__');
}

function negative(value: CelValue): CelValue {
  if (typeof value === 'bigint') return int64(-value);
  if (typeof value === 'number') return -value;
  throw noOverload();
}

function applyOperator(operator: Exclude<BinaryOperator, '||' | '&&'>, left: CelValue, right: CelValue): CelValue {
  switch (operator) {
    case '==':
      return celEquals(left, right);
    case '!=':
      return !celEquals(left, right);
    case '<':
      return celCompare(left, right) < 0;
    case '<=':
      return celCompare(left, right) <= 0;
    case '>':
      return celCompare(left, right) > 0;
    case '>=':
      return celCompare(left, right) >= 0;
    case 'in':
      if (isList(right)) return right.some((item) => celEquals(item, left));
      if (isMap(right)) return right.has(keyOf(left));
      throw noOverload();
    case '+':
      return add(left, right);
    default:
      return arithmetic(operator, left, right);
  }
}

const longest = 10_000_000; // characters or items that an addition may make

function add(left: CelValue, right: CelValue): CelValue {
  if (typeof left === 'string' && typeof right === 'string') {
    if (left.length + right.length > longest) throw new CostExceeded('operation cancelled: actual cost limit exceeded');
    return left + right;
  }
  if (isList(left) && isList(right)) {
    if (left.length + right.length > longest) throw new CostExceeded('operation cancelled: actual cost limit exceeded');
    return [...left, ...right];
  }
  if (
    left instanceof CelTime &&
    right instanceof CelTime &&
    !(left.kind === 'timestamp' && right.kind === 'timestamp')
  ) {
    const kind = left.kind === 'timestamp' || right.kind === 'timestamp' ? 'timestamp' : 'duration';
    return new CelTime(kind, left.nanos + right.nanos);
  }
  return arithmetic('+', left, right);
}

function arithmetic(operator: '+' | '-' | '*' | '/' | '%', left: CelValue, right: CelValue): CelValue {
  if (typeof left === 'bigint' && typeof right === 'bigint') return integers(operator, left, right);
  if (typeof left === 'number' && typeof right === 'number') return doubles(operator, left, right);
  if (
    operator === '-' &&
    left instanceof CelTime &&
    right instanceof CelTime &&
    (left.kind === 'timestamp' || right.kind === 'duration')
  ) {
    return new CelTime(left.kind === right.kind ? 'duration' : 'timestamp', left.nanos - right.nanos);
  }
  if (isNumber(left) && isNumber(right)) throw noOverload(); // an int and a double do not mix
  throw noOverload();
}

function integers(operator: '+' | '-' | '*' | '/' | '%', left: bigint, right: bigint): bigint {
  switch (operator) {
    case '+':
      return int64(left + right);
    case '-':
      return int64(left - right);
    case '*':
      return int64(left * right);
    case '/':
      if (right === 0n) throw new CelError('division by zero');
      return int64(left / right);
    case '%':
      if (right === 0n) throw new CelError('modulus by zero');
      return left % right;
  }
}

function doubles(operator: '+' | '-' | '*' | '/' | '%', left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '%':
      throw noOverload();
  }
}
