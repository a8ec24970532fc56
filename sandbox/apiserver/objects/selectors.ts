import { badRequest } from '../status-error.ts';
import { goStrings, quote } from './go-text.ts';
import { asArray, asObject, asString, field, isObject, type JsonObject } from './json.ts';
import { labelValueFaults, qualifiedNameFaults } from './names.ts';

export type Labels = Readonly<Record<string, string>>;

/** One condition on a label. `values` has one entry for `greater` and `less`, none for `exists` and `absent`. */
export type LabelRequirement = {
  readonly key: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'absent' | 'greater' | 'less';
  readonly values: readonly string[];
};

/** All requirements must hold; an empty list matches everything, `nothing` matches no object. */
export type LabelSelector = readonly LabelRequirement[] | 'nothing';

export function matchesLabels(selector: LabelSelector, labels: unknown): boolean {
  return selector !== 'nothing' && selector.every((requirement) => holds(requirement, field(labels, requirement.key)));
}

function holds(requirement: LabelRequirement, value: unknown): boolean {
  if (typeof value !== 'string') return requirement.operator === 'absent' || requirement.operator === 'not-in';
  switch (requirement.operator) {
    case 'in':
      return requirement.values.includes(value);
    case 'not-in':
      return !requirement.values.includes(value);
    case 'exists':
      return true;
    case 'absent':
      return false;
    case 'greater':
      return compare(value, requirement.values[0]) === 1;
    case 'less':
      return compare(value, requirement.values[0]) === -1;
  }
}

/** Sign of the difference of two decimal texts, undefined when one is no 64-bit integer. */
function compare(a: string, b: string | undefined): -1 | 0 | 1 | undefined {
  if (b === undefined || !isInt64(a) || !isInt64(b)) return undefined;
  const difference = BigInt(a) - BigInt(b);
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}

function isInt64(text: string): boolean {
  return /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

/**
 * A LabelSelector object as a selector. Absent matches nothing, an empty object matches everything, as in the API.
 *
 * @throws StatusError 400 on an unknown operator or a value that cannot be a label
 */
export function labelSelectorOf(object: unknown): LabelSelector {
  if (!isObject(object)) return 'nothing';
  const equalities = Object.entries(asObject(field(object, 'matchLabels'))).map(([key, value]) =>
    checkedRequirement({ key, operator: 'in', values: [asString(value)] }),
  );
  return [...equalities, ...asArray(field(object, 'matchExpressions')).map((item) => expression(asObject(item)))];
}

const operators: Readonly<Record<string, LabelRequirement['operator']>> = {
  In: 'in',
  NotIn: 'not-in',
  Exists: 'exists',
  DoesNotExist: 'absent',
};

function expression(item: JsonObject): LabelRequirement {
  const name = asString(field(item, 'operator'));
  const operator = Object.hasOwn(operators, name) ? operators[name] : undefined;
  if (operator === undefined) throw badRequest(`${quote(name)} is not a valid label selector operator`);
  const values = asArray(field(item, 'values')).map(asString);
  return checkedRequirement({ key: asString(field(item, 'key')), operator, values });
}

/** A map of exact labels (Service.spec.selector) as a selector. An empty or absent map selects nothing here. */
export function selectorOfMap(map: unknown): LabelSelector {
  const entries = Object.entries(asObject(map));
  return entries.length === 0
    ? 'nothing'
    : entries.map(([key, value]) => ({ key, operator: 'in', values: [asString(value)] }));
}

/** The text form, as `Scale.status.selector` and kubectl print it: `app=web,tier in (a,b),!old`. */
export function printLabelSelector(selector: LabelSelector): string {
  if (selector === 'nothing') return '';
  const sorted = [...selector].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return sorted.map(printRequirement).join(',');
}

function printRequirement({ key, operator, values }: LabelRequirement): string {
  const list = [...values].sort().join(',');
  switch (operator) {
    case 'in':
      return values.length === 1 ? `${key}=${list}` : `${key} in (${list})`;
    case 'not-in':
      return values.length === 1 ? `${key}!=${list}` : `${key} notin (${list})`;
    case 'exists':
      return key;
    case 'absent':
      return `!${key}`;
    case 'greater':
      return `${key}>${list}`;
    case 'less':
      return `${key}<${list}`;
  }
}

function checkedRequirement(requirement: LabelRequirement): LabelRequirement {
  const { key, operator, values } = requirement;
  const faults: string[] = [];
  const keyFaults = qualifiedNameFaults(key);
  if (keyFaults.length > 0) faults.push(`key: Invalid value: ${quote(key)}: ${keyFaults.join('; ')}`);
  const list = (detail: string): number => faults.push(`values: Invalid value: ${goStrings(values)}: ${detail}`);
  if ((operator === 'in' || operator === 'not-in') && values.length === 0) {
    list("for 'in', 'notin' operators, values set can't be empty");
  } else if ((operator === 'exists' || operator === 'absent') && values.length > 0) {
    list('values set must be empty for exists and does not exist');
  } else if (operator === 'greater' || operator === 'less') {
    const [value = ''] = values;
    const detail = "for 'Gt', 'Lt' operators, the value must be an integer";
    if (!isInt64(value)) faults.push(`values[0]: Invalid value: ${quote(value)}: ${detail}`);
  }
  for (const [index, value] of values.entries()) {
    const valueFaults = labelValueFaults(value);
    if (valueFaults.length === 0) continue;
    faults.push(`values[${index}][${key}]: Invalid value: ${quote(value)}: ${valueFaults.join('; ')}`);
  }
  const [first] = faults;
  if (first !== undefined) throw badRequest(faults.length === 1 ? first : `[${faults.join(', ')}]`);
  return requirement;
}

const longestSelector = 64 * 1024; // characters; a URL cannot carry more anyway

/**
 * A selector in text form, the `labelSelector` parameter of list and watch: `k=v`, `k==v`, `k!=v`, `k in (a,b)`,
 * `k notin (a)`, `k`, `!k`, `k>1`, `k<1`, separated by commas.
 *
 * @throws StatusError 400 in the words of apimachinery `labels.Parse`
 */
export function parseLabelSelector(text: string): LabelSelector {
  if (text.length > longestSelector) throw badRequest(`label selector is longer than ${longestSelector} characters`);
  return new LabelSelectorParser(text).parse();
}

const binaryOperators = ['=', '==', 'in', 'notin', '!=', '>', '<'];

/** Recursive descent over tokens; the end of the text reads as ''. */
class LabelSelectorParser {
  readonly #tokens: readonly string[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = text.match(/==|!=|[=!(),<>]|[^\s=!(),<>]+/g) ?? [];
  }

  parse(): LabelSelector {
    const requirements: LabelRequirement[] = [];
    while (this.#peek() !== '') {
      const token = this.#peek();
      if (token !== '!' && !isWord(token))
        throw badRequest(`found '${token}', expected: !, identifier, or 'end of string'`);
      requirements.push(this.#requirement());
      const after = this.#take();
      if (after === '') break;
      if (after !== ',') throw badRequest(`found '${after}', expected: ',' or 'end of string'`);
      if (this.#peek() !== '!' && !isWord(this.#peek())) {
        throw badRequest(`found '${this.#peek()}', expected: identifier after ','`);
      }
    }
    return requirements;
  }

  #peek(): string {
    return this.#tokens[this.#next] ?? '';
  }

  #take(): string {
    const token = this.#peek();
    this.#next += 1;
    return token;
  }

  #requirement(): LabelRequirement {
    try {
      return checkedRequirement(this.#uncheckedRequirement());
    } catch (error) {
      throw badRequest(`unable to parse requirement: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #uncheckedRequirement(): LabelRequirement {
    const isAbsent = this.#peek() === '!';
    if (isAbsent) this.#take();
    const key = this.#take();
    if (!isWord(key)) throw badRequest(`found '${key}', expected: identifier`);
    const faults = qualifiedNameFaults(key);
    if (faults.length > 0) throw badRequest(`<nil>: Invalid value: ${quote(key)}: ${faults.join('; ')}`);
    if (isAbsent) return { key, operator: 'absent', values: [] };
    if (this.#peek() === '' || this.#peek() === ',') return { key, operator: 'exists', values: [] };
    const operator = this.#take();
    switch (operator) {
      case '=':
      case '==':
        return { key, operator: 'in', values: [this.#value()] };
      case '!=':
        return { key, operator: 'not-in', values: [this.#value()] };
      case '>':
        return { key, operator: 'greater', values: [this.#value()] };
      case '<':
        return { key, operator: 'less', values: [this.#value()] };
      case 'in':
        return { key, operator: 'in', values: this.#values() };
      case 'notin':
        return { key, operator: 'not-in', values: this.#values() };
      default:
        throw badRequest(`found '${operator}', expected: ${binaryOperators.join(', ')}`);
    }
  }

  #value(): string {
    if (this.#peek() === '' || this.#peek() === ',') return '';
    const token = this.#take();
    if (!isWord(token)) throw badRequest(`found '${token}', expected: identifier`);
    return token;
  }

  /** `(a,,b)`: an empty place is the empty value. */
  #values(): string[] {
    const open = this.#take();
    if (open !== '(') throw badRequest(`found '${open}' expected: '('`);
    const values = new Set<string>();
    for (;;) {
      if (this.#peek() === ',' || this.#peek() === ')') values.add('');
      else {
        const token = this.#take();
        if (!isWord(token)) throw badRequest(`found '${token}', expected: ',', or identifier`);
        values.add(token);
      }
      const separator = this.#take();
      if (separator === ')') return [...values];
      if (separator !== ',') throw badRequest(`found '${separator}', expected: ',' or ')'`);
    }
  }
}

function isWord(token: string): boolean {
  return token !== '' && !/^[=!(),<>]/.test(token);
}
