import { CelSyntaxError, type BinaryOperator, type Expression, type Macro } from './syntax.ts';
import { tokenize, type Token } from './tokens.ts';

const deepest = 200; // levels of nesting; the real parser stops at 250

/** @throws CelSyntaxError */
export function parseExpression(text: string): Expression {
  return new Parser(tokenize(text)).parse();
}

const macros = ['all', 'exists', 'exists_one', 'existsOne', 'filter', 'map'];
const relations = ['==', '!=', '<', '<=', '>', '>=', 'in'];

/** Recursive descent, one method per level of precedence. */
class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parse(): Expression {
    const expression = this.#expression();
    const rest = this.#peek();
    if (rest.kind !== 'end') throw unexpected(rest);
    return expression;
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', column: 0, text: '<EOF>' };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next += 1;
    return token;
  }

  #accept(...symbols: readonly string[]): string | undefined {
    const token = this.#peek();
    if (token.kind !== 'symbol' || !symbols.includes(token.text)) return undefined;
    this.#next += 1;
    return token.text;
  }

  #expect(symbol: string): void {
    if (this.#accept(symbol) === undefined) throw unexpected(this.#peek(), symbol);
  }

  #expression(): Expression {
    this.#depth += 1;
    if (this.#depth > deepest) throw new CelSyntaxError('expression recursion limit exceeded', this.#peek().column);
    const test = this.#or();
    let result = test;
    if (this.#accept('?') !== undefined) {
      const yes = this.#or();
      this.#expect(':');
      result = { kind: 'conditional', test, yes, no: this.#expression() };
    }
    this.#depth -= 1;
    return result;
  }

  #or(): Expression {
    return this.#binary(['||'], () => this.#and());
  }

  #and(): Expression {
    return this.#binary(['&&'], () => this.#relation());
  }

  #relation(): Expression {
    return this.#binary(relations, () => this.#sum());
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#product());
  }

  #product(): Expression {
    return this.#binary(['*', '/', '%'], () => this.#unary());
  }

  /** Left-associative operators of one level. */
  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    let chain = 0;
    for (let operator = this.#accept(...operators); operator !== undefined; operator = this.#accept(...operators)) {
      chain += 1;
      if (chain > deepest) throw new CelSyntaxError('expression recursion limit exceeded', this.#peek().column);
      left = { kind: 'binary', operator: operator as BinaryOperator, left, right: operand() };
    }
    return left;
  }

  #unary(): Expression {
    const prefixes: ('not' | 'negative')[] = [];
    for (let prefix = this.#accept('!', '-'); prefix !== undefined; prefix = this.#accept('!', '-')) {
      if (prefixes.length > deepest)
        throw new CelSyntaxError('expression recursion limit exceeded', this.#peek().column);
      prefixes.push(prefix === '!' ? 'not' : 'negative');
    }
    return prefixes.reduceRight<Expression>((of, kind) => ({ kind, of }), this.#member());
  }

  #member(): Expression {
    let of = this.#primary();
    for (let length = 0; ; length += 1) {
      if (length > deepest) throw new CelSyntaxError('expression recursion limit exceeded', this.#peek().column);
      const symbol = this.#accept('.', '[');
      if (symbol === undefined) return of;
      const isOptional = this.#accept('?') !== undefined;
      of = symbol === '.' ? this.#selection(of, isOptional) : this.#index(of, isOptional);
    }
  }

  #index(of: Expression, isOptional: boolean): Expression {
    const index = this.#expression();
    this.#expect(']');
    return { kind: 'index', of, index, isOptional };
  }

  #selection(of: Expression, isOptional: boolean): Expression {
    const token = this.#take();
    if (token.kind !== 'name' && !(token.kind === 'symbol' && token.text === 'in'))
      throw unexpected(token, 'IDENTIFIER');
    if (isOptional || this.#accept('(') === undefined)
      return { kind: 'select', of, field: token.text, isTest: false, isOptional };
    const args = this.#list(')');
    return macros.includes(token.text) ? macroCall(token, of, args) : { kind: 'call', on: of, name: token.text, args };
  }

  #primary(): Expression {
    const token = this.#take();
    if (token.kind === 'literal') return { kind: 'literal', value: token.value };
    if (token.kind === 'name') return this.#nameOrCall(token);
    if (token.kind === 'symbol' && token.text === '(') {
      const inner = this.#expression();
      this.#expect(')');
      return inner;
    }
    if (token.kind === 'symbol' && token.text === '[') return { kind: 'list', items: this.#list(']') };
    if (token.kind === 'symbol' && token.text === '{') return this.#map();
    throw unexpected(token);
  }

  #nameOrCall(token: Token): Expression {
    if (this.#accept('(') === undefined) return { kind: 'name', name: token.text };
    const args = this.#list(')');
    if (token.text !== 'has') return { kind: 'call', on: undefined, name: token.text, args };
    const [of] = args;
    if (args.length !== 1 || of?.kind !== 'select')
      throw new CelSyntaxError('invalid argument to has() macro', token.column);
    return { ...of, isTest: true };
  }

  #list(end: string): Expression[] {
    const items: Expression[] = [];
    while (this.#accept(end) === undefined) {
      if (items.length > 0) {
        this.#expect(',');
        if (this.#accept(end) !== undefined) break;
      }
      items.push(this.#expression());
    }
    return items;
  }

  #map(): Expression {
    const entries: (readonly [Expression, Expression])[] = [];
    while (this.#accept('}') === undefined) {
      if (entries.length > 0) {
        this.#expect(',');
        if (this.#accept('}') !== undefined) break;
      }
      const key = this.#expression();
      this.#expect(':');
      entries.push([key, this.#expression()]);
    }
    return { kind: 'map', entries };
  }
}

function macroCall(token: Token, of: Expression, args: readonly Expression[]): Expression {
  const [variable, ...rest] = args;
  const macro = token.text === 'existsOne' ? 'exists_one' : token.text;
  const isRight = rest.length === 1 || (macro === 'map' && rest.length === 2);
  if (!isRight) return { kind: 'call', on: of, name: token.text, args };
  if (variable?.kind !== 'name') throw new CelSyntaxError('argument must be a simple name', token.column);
  return { kind: 'macro', macro: macro as Macro, of, variable: variable.name, args: rest };
}

function unexpected(token: Token, wanted?: string): CelSyntaxError {
  const text = token.kind === 'end' ? "mismatched input '<EOF>'" : `mismatched input '${token.text}'`;
  return new CelSyntaxError(
    wanted === undefined ? `${text} expecting an expression` : `${text} expecting '${wanted}'`,
    token.column,
  );
}
