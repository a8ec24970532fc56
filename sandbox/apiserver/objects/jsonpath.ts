import { asArray, deepEqual, field, isArray, isObject } from './json.ts';

/** One step of a path. `index` may be negative: from the end. */
export type PathStep =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'slice'; readonly from: number | undefined; readonly to: number | undefined }
  | { readonly kind: 'all' }
  | {
      readonly kind: 'filter';
      readonly path: JsonPath;
      readonly operator: FilterOperator | undefined;
      readonly value: unknown;
    };

export type JsonPath = readonly PathStep[];
type FilterOperator = '==' | '!=' | '<' | '<=' | '>' | '>=';

/** The path is no JSONPath that this reads; the message says where. */
export class JsonPathError extends Error {
  override readonly name = 'JsonPathError';
}

const longestPath = 4096; // characters

/**
 * The JSONPath of printer columns, scale paths and selectable fields: `.spec.replicas`, `.metadata.annotations['a/b']`,
 * `.status.conditions[?(@.type=="Ready")].status`, `.spec.ports[*].port`, `[0]`, `[-1]`, `[1:3]`. A leading `$` and
 * surrounding braces are allowed.
 *
 * @throws JsonPathError
 */
export function parsePath(text: string): JsonPath {
  if (text.length > longestPath) throw new JsonPathError(`path is longer than ${longestPath} characters`);
  const bare = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  const steps: PathStep[] = [];
  let at = bare.startsWith('$') || bare.startsWith('@') ? 1 : 0;
  while (at < bare.length) {
    const step = bare[at] === '[' ? readBracket(bare, at) : readField(bare, at);
    if (step.step !== undefined) steps.push(step.step);
    at = step.end;
  }
  return steps;
}

type Read = { readonly step: PathStep | undefined; readonly end: number };

function readField(text: string, at: number): Read {
  const start = text[at] === '.' ? at + 1 : at;
  if (text[at] === '.' && text[start] === '[') return { step: undefined, end: start };
  if (text[start] === '.') throw new JsonPathError(`unexpected '.' at ${start} in ${text}`);
  const [raw = ''] = /^(?:\\[\s\S]|[^.[\]\\])*/.exec(text.slice(start)) ?? [];
  if (raw === '') {
    if (start < text.length) throw new JsonPathError(`unexpected '${text[start]}' at ${start} in ${text}`);
    return { step: undefined, end: start };
  }
  const end = start + raw.length;
  if (raw === '*') return { step: { kind: 'all' }, end };
  return { step: { kind: 'field', name: raw.replace(/\\([\s\S])/g, '$1') }, end };
}

function readBracket(text: string, at: number): Read {
  const end = closing(text, at);
  const inner = text.slice(at + 1, end).trim();
  return { step: bracketStep(inner, text), end: end + 1 };
}

/** Position of the bracket that closes the one at `at`; quoted text and nested brackets are skipped. */
function closing(text: string, at: number): number {
  let depth = 0;
  let quote = '';
  for (let index = at; index < text.length; index += 1) {
    const character = text.charAt(index);
    if (quote !== '') {
      if (character === '\\') index += 1;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '[') depth += 1;
    else if (character === ']' && (depth -= 1) === 0) return index;
  }
  throw new JsonPathError(`unterminated array in ${text}`);
}

function bracketStep(inner: string, text: string): PathStep {
  if (inner === '*') return { kind: 'all' };
  if (/^-?\d{1,9}$/.test(inner)) return { kind: 'index', index: Number(inner) };
  const slice = /^(-?\d{1,9})?:(-?\d{1,9})?$/.exec(inner);
  if (slice !== null) {
    const [, from, to] = slice;
    return {
      kind: 'slice',
      from: from === undefined ? undefined : Number(from),
      to: to === undefined ? undefined : Number(to),
    };
  }
  if (/^'(?:\\.|[^'\\])*'$|^"(?:\\.|[^"\\])*"$/s.test(inner)) return { kind: 'field', name: unquote(inner) };
  const filter = /^\?\(([\s\S]*)\)$/.exec(inner);
  if (filter !== null) return filterStep(filter[1] ?? '', text);
  throw new JsonPathError(`invalid array index ${inner} in ${text}`);
}

function filterStep(condition: string, text: string): PathStep {
  const parts =
    /^\s*@((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'=!<>])*?)\s*(?:(==|!=|<=|>=|<|>)\s*([\s\S]*?))?\s*$/.exec(
      condition,
    );
  if (parts === null) throw new JsonPathError(`invalid filter ${condition} in ${text}`);
  const [, path = '', operator, value] = parts;
  const steps = parsePath(path);
  return { kind: 'filter', path: steps, operator: operator as FilterOperator | undefined, value: literal(value, text) };
}

function literal(value: string | undefined, text: string): unknown {
  if (value === undefined) return undefined;
  if (/^'(?:\\.|[^'\\])*'$|^"(?:\\.|[^"\\])*"$/s.test(value)) return unquote(value);
  if (value === 'true' || value === 'false') return value === 'true';
  if (/^-?\d+(?:\.\d+)?$/.test(value)) return Number(value);
  throw new JsonPathError(`invalid literal ${value} in ${text}`);
}

function unquote(quoted: string): string {
  return quoted.slice(1, -1).replace(/\\([\s\S])/g, '$1');
}

/** All values the path leads to, in document order; empty when nothing is there. */
export function valuesAt(path: JsonPath, root: unknown): readonly unknown[] {
  return path.reduce<readonly unknown[]>((values, step) => values.flatMap((value) => follow(step, value)), [root]);
}

function follow(step: PathStep, value: unknown): readonly unknown[] {
  switch (step.kind) {
    case 'field': {
      const child = field(value, step.name);
      return child === undefined ? [] : [child];
    }
    case 'index': {
      const item = asArray(value).at(step.index);
      return item === undefined ? [] : [item];
    }
    case 'slice':
      return asArray(value).slice(step.from, step.to);
    case 'all':
      return isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    case 'filter':
      return asArray(value).filter((item) => passes(step, item));
  }
}

function passes(step: PathStep & { kind: 'filter' }, item: unknown): boolean {
  const [left] = valuesAt(step.path, item);
  if (step.operator === undefined) return left !== undefined;
  if (left === undefined) return false;
  if (step.operator === '==') return deepEqual(left, step.value);
  if (step.operator === '!=') return !deepEqual(left, step.value);
  return ordered(step.operator, left, step.value);
}

function ordered(operator: FilterOperator, left: unknown, right: unknown): boolean {
  const isComparable =
    (typeof left === 'number' && typeof right === 'number') || (typeof left === 'string' && typeof right === 'string');
  if (!isComparable) return false;
  switch (operator) {
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    default:
      return left >= right;
  }
}

/**
 * A path of plain field names (`.spec.replicas`), as scale subresources and selectable fields require.
 *
 * @returns undefined when the path has any other step
 */
export function fieldNames(text: string): readonly string[] | undefined {
  const path = parsePath(text);
  const names = path.map((step) => (step.kind === 'field' ? step.name : undefined));
  return names.every((name) => name !== undefined) && names.length > 0 ? names : undefined;
}
