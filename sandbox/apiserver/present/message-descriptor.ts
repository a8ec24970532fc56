import { readFileSync } from 'node:fs';

/** How a protobuf field becomes JSON. `items` is a message that only wraps a list. */
export type MessageType =
  | { readonly kind: 'string' | 'boolean' | 'integer' | 'double' | 'bytes' }
  | { readonly kind: 'time' | 'micro-time' | 'quantity' | 'int-or-string' | 'raw-json' }
  | { readonly kind: 'message'; readonly name: string }
  | { readonly kind: 'list' | 'items'; readonly of: MessageType }
  | { readonly kind: 'map'; readonly of: MessageType }
  | { readonly kind: 'schema-or'; readonly other: 'boolean' | 'list' | 'strings' };

export type MessageField = {
  readonly name: string; // in JSON; '' when inline
  readonly type: MessageType;
  readonly omitsEmpty: boolean;
  readonly isInline: boolean;
};

/** Fields of one message by their number. */
export type MessageDescriptor = ReadonlyMap<number, MessageField>;

type Source = {
  readonly kinds: Readonly<Record<string, string>>;
  readonly messages: Readonly<Record<string, readonly string[]>>;
};

// Read once per process from a file that is part of the program; parsed message by message when first used.
let source: Source | undefined;
const parsed = new Map<string, MessageDescriptor>();

function load(): Source {
  const file = new URL('./descriptor/messages.json', import.meta.url);
  source ??= JSON.parse(readFileSync(file, 'utf8')) as Source;
  return source;
}

/** Name of the message that holds a kind, undefined for kinds without one. */
export function messageOfKind(apiVersion: string, kind: string): string | undefined {
  const { kinds } = load();
  const key = `${apiVersion}/${kind}`;
  if (Object.hasOwn(kinds, key)) return kinds[key];
  return kind === 'DeleteOptions' ? kinds['v1/DeleteOptions'] : undefined; // the same in every group
}

/** Every `apiVersion/Kind` that can be decoded. */
export function decodableKinds(): readonly string[] {
  return Object.keys(load().kinds);
}

/** The message, which must exist because a kind or a field refers to it. */
export function messageDescriptor(name: string): MessageDescriptor {
  let descriptor = parsed.get(name);
  if (descriptor === undefined) {
    const fields = load().messages[name];
    if (fields === undefined) throw new Error(`messages.json has no message ${name}`);
    descriptor = new Map(fields.map(parseField));
    parsed.set(name, descriptor);
  }
  return descriptor;
}

/** `<number><flags> <json name> <type>`; the letters are explained in descriptor/generate.go. */
function parseField(text: string): [number, MessageField] {
  const [, number, flags = '', name = '', code = ''] = /^(\d+)([?^]*) (\S*) (\S+)$/.exec(text) ?? [];
  const field = { name, type: parseType(code), omitsEmpty: flags.includes('?'), isInline: flags.includes('^') };
  return [Number(number), field];
}

const scalars: Readonly<Record<string, MessageType>> = {
  s: { kind: 'string' },
  b: { kind: 'boolean' },
  i: { kind: 'integer' },
  d: { kind: 'double' },
  B: { kind: 'bytes' },
  T: { kind: 'time' },
  M: { kind: 'micro-time' },
  Q: { kind: 'quantity' },
  I: { kind: 'int-or-string' },
  R: { kind: 'raw-json' },
  '|bool': { kind: 'schema-or', other: 'boolean' },
  '|array': { kind: 'schema-or', other: 'list' },
  '|strings': { kind: 'schema-or', other: 'strings' },
};

function parseType(code: string): MessageType {
  if (code.startsWith('@')) return { kind: 'message', name: code.slice(1) };
  if (code.startsWith('{}')) return { kind: 'map', of: parseType(code.slice(2)) };
  if (code.startsWith('=[]')) return { kind: 'items', of: parseType(code.slice(3)) };
  if (code.startsWith('[]')) return { kind: 'list', of: parseType(code.slice(2)) };
  const scalar = scalars[code];
  if (scalar === undefined) throw new Error(`messages.json has an unknown type ${code}`);
  return scalar;
}
