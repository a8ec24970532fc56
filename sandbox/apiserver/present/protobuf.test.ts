import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { builtinResources } from '../builtin-resources.ts';
import type { JsonObject } from '../object.ts';
import { canonical } from '../objects/json.ts';
import { apiVersionOf } from '../registry.ts';
import { StatusError } from '../status-error.ts';
import type { MessageType } from './message-descriptor.ts';
import { decodableKinds, messageDescriptor, messageOfKind } from './message-descriptor.ts';
import { decodeProtobuf, isProtobuf } from './protobuf.ts';

/** Picked from what `descriptor/generate.sh SEED 9` prints: the same object as Go's two encoders write it. */
type Sample = { readonly protobuf: string; readonly object: JsonObject };
const samples = readFileSync(new URL('./testdata/protobuf-samples.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Sample);

/** Go writes nulls and empty structs where a client that writes JSON by hand would write nothing. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutEmpty(item) ?? null);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  const kept = Object.entries(value).map(([key, item]) => [key, withoutEmpty(item)] as const);
  const object = Object.fromEntries(kept.filter(([, item]) => item !== undefined));
  return Object.keys(object).length === 0 ? undefined : object;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

function bytesField(number: number, content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
}

function body(apiVersion: string, kind: string, raw: Uint8Array): Buffer {
  const meta = Buffer.concat([bytesField(1, apiVersion), bytesField(2, kind)]);
  return Buffer.concat([Buffer.from('k8s\0'), bytesField(1, meta), bytesField(2, raw)]);
}

for (const { protobuf, object } of samples) {
  test(`${String(object['apiVersion'])} ${String(object['kind'])} decodes to what Go writes as JSON`, () => {
    const decoded = decodeProtobuf(Buffer.from(protobuf, 'base64'));
    assert.equal(canonical(withoutEmpty(decoded)), canonical(withoutEmpty(object)));
  });
}

test('every kind that the server stores or reviews can be decoded, and every message it leads to is described', () => {
  for (const type of builtinResources) {
    assert.ok(messageOfKind(apiVersionOf(type), type.kind) !== undefined, `${apiVersionOf(type)} ${type.kind}`);
  }
  const seen = new Set<string>();
  const visit = (type: MessageType): void => {
    if ('of' in type) visit(type.of);
    if (type.kind !== 'message' || seen.has(type.name)) return;
    seen.add(type.name);
    for (const field of messageDescriptor(type.name).values()) visit(field.type);
  };
  for (const kind of decodableKinds()) {
    const cut = kind.lastIndexOf('/');
    visit({ kind: 'message', name: messageOfKind(kind.slice(0, cut), kind.slice(cut + 1)) ?? '' });
  }
  assert.ok(seen.size > 300);
});

test('delete options are the same in every group', () => {
  const decoded = decodeProtobuf(body('demo.io/v1', 'DeleteOptions', Buffer.from([8, 30])));
  assert.deepEqual(decoded, { apiVersion: 'demo.io/v1', kind: 'DeleteOptions', gracePeriodSeconds: 30 });
});

test('zero values are kept for pointers and dropped for optional fields', () => {
  const spec = Buffer.concat([Buffer.from([8, 0]), bytesField(2, '')]); // replicas 0, empty selector
  const decoded = decodeProtobuf(body('apps/v1', 'Deployment', bytesField(2, spec)));
  assert.deepEqual(decoded['spec'], { replicas: 0, selector: {} });
  const meta = Buffer.concat([bytesField(1, 'x'), bytesField(3, ''), bytesField(8, '')]);
  assert.deepEqual(decodeProtobuf(body('v1', 'ConfigMap', bytesField(1, meta)))['metadata'], { name: 'x' });
});

test('fields that a newer client knows are skipped', () => {
  const unknown = Buffer.from([...varint(999 * 8), 1]);
  assert.deepEqual(decodeProtobuf(body('v1', 'ConfigMap', unknown)), { apiVersion: 'v1', kind: 'ConfigMap' });
});

test('keys with a meaning in JavaScript stay ordinary keys', () => {
  const entry = Buffer.concat([bytesField(1, '__proto__'), bytesField(2, 'x')]);
  const { data } = decodeProtobuf(body('v1', 'ConfigMap', bytesField(2, entry))) as { data: object };
  assert.deepEqual(Object.keys(data), ['__proto__']);
  assert.equal(Object.getPrototypeOf(data), Object.prototype);
});

function nestedSchema(levels: number): Buffer {
  let schema: Buffer = Buffer.alloc(0);
  for (let level = 0; level < levels; level += 1) schema = bytesField(28, schema); // not: {not: {...}}
  const version = bytesField(4, bytesField(1, schema));
  return body('apiextensions.k8s.io/v1', 'CustomResourceDefinition', bytesField(2, bytesField(7, version)));
}

const broken: readonly [title: string, code: number, bytes: Uint8Array][] = [
  ['nothing', 400, Buffer.alloc(0)],
  ['JSON', 400, Buffer.from('{"kind":"Pod"}')],
  ['a cut envelope', 400, Buffer.from('k8s\0\x0a\x7f')],
  [
    'a field that is longer than its message',
    400,
    body('v1', 'Pod', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
  ],
  ['an endless varint', 400, body('v1', 'Pod', Buffer.from([0x0a, ...Array.from({ length: 12 }, () => 0xff)]))],
  ['a group', 400, body('v1', 'Pod', Buffer.from([0x0b]))],
  ['field number 0', 400, body('v1', 'Pod', Buffer.from([0x02, 0x00]))],
  ['text that is no UTF-8', 400, body('v1', 'Pod', bytesField(1, bytesField(1, Buffer.from([0xff, 0xfe]))))],
  ['a string where a message should be', 400, body('v1', 'Pod', Buffer.from([0x08, 0x01]))],
  [
    'a time after the year 9999',
    400,
    body('v1', 'Pod', bytesField(1, bytesField(8, Buffer.from([8, ...varint(1e15)])))),
  ],
  ['messages nested without end', 400, nestedSchema(5000)],
  [
    'more values than an object can have',
    400,
    body('v1', 'Pod', bytesField(2, Buffer.alloc(600_000, bytesField(2, '')))),
  ],
  ['too many bytes', 413, Buffer.alloc(4 * 1024 * 1024)],
  ['an unknown kind', 415, body('demo.io/v1', 'Foo', Buffer.alloc(0))],
  ['no kind at all', 415, Buffer.from('k8s\0')],
];

for (const [title, code, bytes] of broken) {
  test(`${title} is refused with ${code}`, () => {
    assert.throws(() => decodeProtobuf(bytes), { name: 'StatusError', code });
  });
}

test('random damage to real bodies ends in an object or a StatusError', () => {
  const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let round = 0; round < 4000; round += 1) {
    const bytes = Buffer.from(samples[random(samples.length)]?.protobuf ?? '', 'base64');
    for (let hits = 1 + random(4); hits > 0; hits -= 1) bytes[4 + random(bytes.length - 4)] = random(256);
    const cut = random(3) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
    try {
      decodeProtobuf(cut);
    } catch (error) {
      assert.ok(error instanceof StatusError, `FUZZ_SEED=${seed} round ${round}: ${String(error)}`);
    }
  }
});

test('the media type is recognised with parameters', () => {
  assert.ok(isProtobuf('application/vnd.kubernetes.protobuf; charset=utf-8'));
  assert.ok(!isProtobuf('application/json') && !isProtobuf(undefined));
});
