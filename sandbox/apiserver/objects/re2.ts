/** Compiled patterns, bounded: the schemas of all CRDs of a mesh have a few hundred different ones. */
const compiled = new Map<string, RegExp | undefined>();
const maxCompiled = 2000;

/**
 * A pattern in RE2 syntax as a JavaScript expression. Unlike RE2, JavaScript may take very long on some patterns: bound the
 * length of what is matched.
 *
 * @returns undefined when it is no valid pattern
 */
export function compilePattern(pattern: string): RegExp | undefined {
  if (compiled.has(pattern)) return compiled.get(pattern);
  const expression = translate(pattern);
  if (compiled.size >= maxCompiled) compiled.clear();
  compiled.set(pattern, expression);
  return expression;
}

const posixClasses: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7F',
  blank: '\\t ',
  cntrl: '\\x00-\\x1F\\x7F',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};

function translate(pattern: string): RegExp | undefined {
  const unicode = /\\[pP]\{|\\x\{/.test(pattern) ? 'u' : '';
  try {
    return new RegExp(translateGroups(pattern), unicode);
  } catch {
    return undefined;
  }
}

/**
 * RE2 differs in flags that hold up to the end of a group (`^(?i)abc`), which become groups of their own here, in named groups,
 * POSIX classes, and the anchors \A and \z.
 */
function translateGroups(pattern: string): string {
  const flags: string[][] = [[]]; // per open group: flags that were switched on in it
  const top = (): string[] => flags.at(-1) ?? [];
  const piece = /\\[\s\S]?|\[\^?\]?(?:\\[\s\S]|\[:\^?\w+:\]|[^\]\\])*\]|\(\?[imsU-]+\)|\(\?P<|\(|\)|\||[\s\S]/g;
  const pieces = [...pattern.matchAll(piece)].map(([text]) => {
    if (text.startsWith('\\')) return translateEscape(text);
    if (text.length > 1 && text.startsWith('[')) return translateClass(text);
    if (/^\(\?[imsU-]+\)$/.test(text)) {
      top().push(text.slice(2, -1));
      return `(?${text.slice(2, -1)}:`;
    }
    switch (text) {
      case '(?P<':
      case '(':
        flags.push([]);
        return text === '(' ? '(' : '(?<';
      case ')':
        return `${')'.repeat(flags.pop()?.length ?? 0)})`;
      case '|':
        return `${')'.repeat(top().length)}|${top()
          .map((letters) => `(?${letters}:`)
          .join('')}`;
      default:
        return text;
    }
  });
  return `${pieces.join('')}${')'.repeat(top().length)}`;
}

function translateEscape(escape: string): string {
  if (escape === '\\A') return '^';
  return escape === '\\z' ? '$' : escape === '\\x' ? '\\u' : escape;
}

function translateClass(text: string): string {
  const opened = text.replace(/^(\[\^?)\]/, '$1\\]'); // a bracket that comes first stands for itself
  return opened.replace(/\[:(\w+):\]/g, (found, name: string) => posixClasses[name] ?? found);
}
