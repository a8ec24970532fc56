import { isMeshField } from './field-text.ts';

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// eslint-disable-next-line no-control-regex -- these are what is looked for
const ILLEGAL_VALUE = /[\0-\x08\x0a-\x1f\x7f]/;

/** What a field means to a proxy. */
export type FieldKind =
  | 'plain'
  | 'pseudo'
  | 'illegal' // no token in lower case
  | 'connection' // belongs to one HTTP/1 connection; RFC 9113 section 8.2.2 makes a message with one malformed
  | 'mesh' // l5d-*
  | 'cookie'
  | 'te'
  | 'host'
  | 'content-length';

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ['connection', 'connection'],
  ['keep-alive', 'connection'],
  ['proxy-connection', 'connection'],
  ['transfer-encoding', 'connection'],
  ['upgrade', 'connection'],
  ['cookie', 'cookie'],
  ['te', 'te'],
  ['host', 'host'],
  ['content-length', 'content-length'],
]);

/**
 * A header field. Those in a table of HPACK come again and again as the same object, so what is found out about one is kept.
 */
export class Field {
  readonly name: string; // in lower case if it is legal
  readonly value: string;
  #kind: FieldKind | undefined;
  #isLegalValue: boolean | undefined;
  #text: string | undefined;
  #line: string | undefined;

  constructor(name: string, value: string) {
    this.name = name;
    this.value = value;
  }

  get kind(): FieldKind {
    return (this.#kind ??= kindOf(this.name));
  }

  /** Without control characters. */
  get isLegalValue(): boolean {
    return (this.#isLegalValue ??= !ILLEGAL_VALUE.test(this.value));
  }

  /** As in HTTP/1. */
  get text(): string {
    return (this.#text ??= `${this.name}: ${this.value}`);
  }

  /** As in HTTP/1, with its CRLF. */
  get line(): string {
    return (this.#line ??= `${this.name}: ${this.value}\r\n`);
  }
}

function kindOf(name: string): FieldKind {
  if (name.startsWith(':')) return 'pseudo';
  if (!NAME.test(name)) return 'illegal';
  return KINDS.get(name) ?? (isMeshField(name) ? 'mesh' : 'plain');
}
