import { CelSyntaxError, type Literal } from './syntax.ts';

export type Token =
  | { readonly kind: 'literal'; readonly value: Literal; readonly column: number; readonly text: string }
  | { readonly kind: 'name' | 'symbol' | 'end'; readonly column: number; readonly text: string };

const longestExpression = 64 * 1024; // characters
const symbols = [
  '&&',
  '||',
  '==',
  '!=',
  '<=',
  '>=',
  '<',
  '>',
  '+',
  '-',
  '*',
  '/',
  '%',
  '!',
  '?',
  ':',
  '.',
  ',',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
];

const number = /0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?/y;
const string =
  /([rR]?[bB]?|[bB][rR])("""[\s\S]*?(?<!\\)"""|'''[\s\S]*?(?<!\\)'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')/y;
const rawString = /([rR][bB]?|[bB][rR])("""[\s\S]*?"""|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')/y;
const name = /[A-Za-z_][A-Za-z0-9_]*/y;
const blank = /(?:\s+|\/\/[^\n]*)+/y;

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @throws CelSyntaxError */
export function tokenize(text: string): readonly Token[] {
  if (text.length > longestExpression)
    throw new CelSyntaxError(`expression is longer than ${longestExpression} characters`, 0);
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    at += matchAt(blank, text, at)?.[0].length ?? 0;
    if (at >= text.length) break;
    const token = readToken(text, at);
    tokens.push(token);
    at += token.text.length;
  }
  return [...tokens, { kind: 'end', column: text.length, text: '<EOF>' }];
}

function readToken(text: string, column: number): Token {
  const raw = matchAt(rawString, text, column) ?? matchAt(string, text, column);
  if (raw !== null)
    return { kind: 'literal', value: readString(raw[1] ?? '', raw[2] ?? '', column), column, text: raw[0] };
  const digits = matchAt(number, text, column);
  if (digits !== null) return { kind: 'literal', value: readNumber(digits[0], column), column, text: digits[0] };
  const word = matchAt(name, text, column);
  if (word !== null) return readWord(word[0], column);
  const symbol = symbols.find((candidate) => text.startsWith(candidate, column));
  if (symbol === undefined) throw new CelSyntaxError(`token recognition error at: '${text.charAt(column)}'`, column);
  return { kind: 'symbol', column, text: symbol };
}

function readWord(text: string, column: number): Token {
  switch (text) {
    case 'true':
    case 'false':
      return { kind: 'literal', value: text === 'true', column, text };
    case 'null':
      return { kind: 'literal', value: null, column, text };
    case 'in':
      return { kind: 'symbol', column, text };
    default:
      return { kind: 'name', column, text };
  }
}

function readNumber(text: string, column: number): bigint | number {
  if (/^(?:0[xX]|\d+[uU]?$)/.test(text)) {
    const value = BigInt(text.replace(/[uU]$/, ''));
    if (value > 2n ** 64n - 1n) throw new CelSyntaxError(`invalid int literal ${text}`, column);
    return value;
  }
  return Number(text);
}

function readString(prefix: string, quoted: string, column: number): string | Uint8Array {
  const isTriple = quoted.length >= 6 && (quoted.startsWith('"""') || quoted.startsWith("'''"));
  const body = isTriple ? quoted.slice(3, -3) : quoted.slice(1, -1);
  const isRaw = /r/i.test(prefix);
  const isBytes = /b/i.test(prefix);
  const value = isRaw ? body : unescape(body, column);
  return isBytes ? new TextEncoder().encode(value) : value;
}

const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
  '`': '`',
  '?': '?',
};

function unescape(body: string, column: number): string {
  return body.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([\s\S]?))/g,
    (...parts: unknown[]) => {
      const [, hex, short, long, octal, letter] = parts as (string | undefined)[];
      const digits = hex ?? short ?? long;
      if (digits !== undefined && Number.parseInt(digits, 16) <= 0x10_ffff)
        return String.fromCodePoint(Number.parseInt(digits, 16));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const simple = letter === undefined || !Object.hasOwn(simpleEscapes, letter) ? undefined : simpleEscapes[letter];
      if (simple === undefined) throw new CelSyntaxError('invalid escape sequence', column);
      return simple;
    },
  );
}
