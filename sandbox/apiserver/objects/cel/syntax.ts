/** An expression of the Common Expression Language, parsed. `select` with `isTest` is `has(a.b)`. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: Literal }
  | { readonly kind: 'name'; readonly name: string }
  | {
      readonly kind: 'select';
      readonly of: Expression;
      readonly field: string;
      readonly isTest: boolean;
      readonly isOptional: boolean;
    }
  | { readonly kind: 'index'; readonly of: Expression; readonly index: Expression; readonly isOptional: boolean }
  | {
      readonly kind: 'call';
      readonly on: Expression | undefined;
      readonly name: string;
      readonly args: readonly Expression[];
    }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [key: Expression, value: Expression])[] }
  | { readonly kind: 'not' | 'negative'; readonly of: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: 'conditional';
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    }
  | {
      readonly kind: 'macro';
      readonly macro: Macro;
      readonly of: Expression;
      readonly variable: string;
      readonly args: readonly Expression[];
    };

export type Literal = null | boolean | bigint | number | string | Uint8Array;
export type BinaryOperator = '||' | '&&' | '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | '+' | '-' | '*' | '/' | '%';
export type Macro = 'all' | 'exists' | 'exists_one' | 'filter' | 'map';

/** The text is no expression; `column` counts from 0. */
export class CelSyntaxError extends Error {
  override readonly name = 'CelSyntaxError';
  readonly column: number;

  constructor(message: string, column: number) {
    super(`ERROR: <input>:1:${column + 1}: Syntax error: ${message}`);
    this.column = column;
  }
}

/** Names that the expression reads and does not bind itself. */
export function freeNames(expression: Expression, bound: readonly string[] = []): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (part: Expression, known: readonly string[]): void => {
    if (part.kind === 'name' && !known.includes(part.name)) names.add(part.name);
    if (part.kind !== 'macro') {
      for (const child of childrenOf(part)) visit(child, known);
      return;
    }
    visit(part.of, known);
    for (const child of part.args) visit(child, [...known, part.variable]);
  };
  visit(expression, bound);
  return names;
}

function childrenOf(part: Exclude<Expression, { kind: 'macro' }>): readonly Expression[] {
  switch (part.kind) {
    case 'literal':
    case 'name':
      return [];
    case 'select':
    case 'not':
    case 'negative':
      return [part.of];
    case 'index':
      return [part.of, part.index];
    case 'call':
      return part.on === undefined ? part.args : [part.on, ...part.args];
    case 'list':
      return part.items;
    case 'map':
      return part.entries.flat();
    case 'binary':
      return [part.left, part.right];
    case 'conditional':
      return [part.test, part.yes, part.no];
  }
}
