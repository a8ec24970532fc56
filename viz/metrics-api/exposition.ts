/** One line of a metrics page. Labels are sorted by nothing: two pages of one proxy list them in the same order. */
export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly key: string;
  readonly value: number;
};

export type Page = {
  readonly samples: readonly Sample[];
  readonly droppedCount: number; // samples over the limit
  readonly malformedCount: number; // lines that could not be read
};

const MAX_LINE_LENGTH = 16_384;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)/y;

/**
 * Reads a page in Prometheus's text format, version 0.0.4, and keeps the metrics that are wanted.
 * A bad line is counted and left out; it never spoils the rest of the page.
 *
 * @param isWanted  by metric name
 * @param limit     most samples to keep
 */
export function parseExposition(text: string, isWanted: (name: string) => boolean, limit: number): Page {
  const samples: Sample[] = [];
  let droppedCount = 0;
  let malformedCount = 0;
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    const line = text.slice(start, end);
    start = end + 1;
    if (line === '' || line.startsWith('#')) continue;
    const nameEnd = line.search(/[{ \t]/);
    const name = nameEnd === -1 ? line : line.slice(0, nameEnd);
    if (!isWanted(name)) continue;
    const sample = line.length > MAX_LINE_LENGTH ? undefined : parseLine(line, name);
    if (sample === undefined) malformedCount += 1;
    else if (samples.length >= limit) droppedCount += 1;
    else samples.push(sample);
  }
  return { samples, droppedCount, malformedCount };
}

function parseLine(line: string, name: string): Sample | undefined {
  const open = name.length;
  if (line[open] !== '{') return withValue(name, {}, name, line.slice(open));
  const close = line.lastIndexOf('}');
  if (close < open) return undefined;
  const body = line.slice(open + 1, close);
  const labels: Record<string, string> = Object.create(null) as Record<string, string>;
  LABEL.lastIndex = 0;
  let at = 0;
  while (at < body.length) {
    LABEL.lastIndex = at;
    const match = LABEL.exec(body);
    if (match === null) return undefined;
    labels[match[1] ?? ''] = unescapeLabel(match[2] ?? '');
    at = LABEL.lastIndex;
  }
  return withValue(name, labels, line.slice(0, close + 1), line.slice(close + 1));
}

function withValue(
  name: string,
  labels: Readonly<Record<string, string>>,
  key: string,
  rest: string,
): Sample | undefined {
  const [text = ''] = rest.trim().split(/\s+/, 1);
  const value = text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
  return text === '' || Number.isNaN(value) ? undefined : { name, labels, key, value };
}

function unescapeLabel(text: string): string {
  return text.includes('\\') ? text.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char)) : text;
}
