/** One requirement of a label selector. */
type Requirement = {
  readonly key: string;
  readonly operator: 'in' | 'notin' | 'exists' | 'absent';
  readonly values: readonly string[];
};

export type Selector = readonly Requirement[];

/** A selector that cannot be read; the message names the part. */
export class SelectorError extends Error {
  override readonly name = 'SelectorError';
}

const KEY = /^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$/;
const SET = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/;
const EQUALITY = /^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$/;

/**
 * Reads a label selector in kubectl's form: `app=web,tier!=test,track in (a, b),canary,!legacy`.
 *
 * @throws SelectorError
 */
export function parseSelector(text: string): Selector {
  // Commas inside of parentheses separate values, not requirements.
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseRequirement);
}

function parseRequirement(part: string): Requirement {
  const set = SET.exec(part);
  const equality = EQUALITY.exec(part);
  const [, key = '', operator = '', values = ''] = set ?? equality ?? [];
  const plain = part.replace(/^!/, '');
  if (!KEY.test(set === null && equality === null ? plain : key))
    throw new SelectorError(`"${part}" is not a requirement: write key=value, key!=value, key in (a,b), key or !key`);
  if (set !== null)
    return { key, operator: operator as 'in' | 'notin', values: values.split(',').map((value) => value.trim()) };
  if (equality !== null) return { key, operator: operator === '!=' ? 'notin' : 'in', values: [values] };
  return { key: plain, operator: part.startsWith('!') ? 'absent' : 'exists', values: [] };
}

/** Whether labels meet every requirement. As in Kubernetes, `notin` also holds without the label. */
export function selects(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every(({ key, operator, values }) => {
    const value = labels[key];
    if (operator === 'exists') return value !== undefined;
    if (operator === 'absent') return value === undefined;
    if (operator === 'in') return value !== undefined && values.includes(value);
    return value === undefined || !values.includes(value);
  });
}
