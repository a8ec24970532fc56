import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '../json.ts';
import { evaluate } from './evaluate.ts';
import { parseExpression } from './parser.ts';
import { celFaults, ruleSyntaxFault } from './rules.ts';
import { fromJson, type CelValue } from './values.ts';

const self = {
  name: 'abc',
  count: 3,
  ratio: 0.5,
  on: true,
  empty: '',
  list: [1, 2, 3],
  names: ['a', 'b'],
  map: { k: 'v' },
  'x-y': 1,
  namespace: 'ns',
  rules: [{ path: '/a', weight: 1 }, { path: '/b' }],
};

function run(text: string): CelValue {
  return evaluate(parseExpression(text), new Map([['self', fromJson(self, undefined)]]));
}

test('expressions have the values the language defines', () => {
  const cases: readonly (readonly [text: string, value: CelValue])[] = [
    ['1 + 2 * 3', 7n],
    ['(1 + 2) * 3', 9n],
    ['-7 / 2', -3n],
    ['7 % 3', 1n],
    ['1.5 + 2.0', 3.5],
    ['1 == 1.0', true],
    ['"a" + \'b\'', 'ab'],
    ['[1] + [2] == [1, 2]', true],
    ['true ? 1 : 2', 1n],
    ['false ? 1 : true ? 2 : 3', 2n],
    ['!true || 1 < 2 && 2 <= 2', true],
    ['self.name == "abc"', true],
    ['has(self.name) && !has(self.nope)', true],
    ['self.name.size() == 3 && size(self.list) == 3', true],
    ['2 in self.list && !(4 in self.list) && "k" in self.map', true],
    ['self.list[0] == 1 && self.map["k"] == "v"', true],
    ['self.x__dash__y == 1 && self.__namespace__ == "ns"', true],
    ['self.list.all(x, x > 0)', true],
    ['self.list.exists(x, x == 2)', true],
    ['self.list.exists_one(x, x > 2)', true],
    ['self.list.filter(x, x > 1).size()', 2n],
    ['self.list.map(x, x * 2) == [2, 4, 6]', true],
    ['self.map.all(k, self.map[k] == "v")', true],
    ['self.rules.all(r, !has(r.weight) || r.weight > 0)', true],
    ['self.rules.all(r, self.rules.exists_one(o, o.path == r.path))', true],
    ['self.name.matches("^a.c$") && self.name.matches(r"^\\w+$")', true],
    ["self.name.matches('(?i)^ABC$')", true],
    ['"a,b".split(",") == self.names', true],
    ['self.names.join("-")', 'a-b'],
    ['"hello".substring(1, 3)', 'el'],
    ['"hello".startsWith("he") && "hello".endsWith("lo") && "hello".contains("ell")', true],
    ['"HeLLo".lowerAscii()', 'hello'],
    ['"a.b".replace(".", "-")', 'a-b'],
    ['"hello".indexOf("l")', 2n],
    ['duration("1h") > duration("59m") && duration("90s") == duration("1m30s")', true],
    ['duration("1h") + duration("1m") == duration("61m")', true],
    ['duration(self.name.size() > 0 ? "0s" : "1s") < duration("1ms")', true],
    ['timestamp("2026-01-01T00:00:00Z") - timestamp("2025-12-31T00:00:00Z") == duration("24h")', true],
    ['isIP("10.0.0.1") && !isIP("10.0.0")', true],
    ['!format.dns1123Label().validate("a-b").hasValue()', true],
    ['format.dns1123Label().validate("A_b").hasValue()', true],
    ['optional.none().orValue(3) + optional.of(4).orValue(0)', 7n],
    ['self.?nope.orValue("x")', 'x'],
    ['self.?map.k.orValue("x")', 'v'],
    ['int("12") + int(3.7)', 15n],
    ['string(12) + string(true)', '12true'],
    ['quantity("1Gi").isGreaterThan(quantity("1M"))', true],
    ['{"a": 1}["a"] // comment', 1n],
    ['self.empty == "" || self.nope == 1', true],
    ['self.nope == 1 || self.on', true],
    ['self.on || self.nope', true],
    ['!(self.nope == 1 && !self.on)', true],
    ['[1, 2, 3].all(x, x > 5 || x < 5)', true],
    ['[0, 2].exists(x, 4 / x == 2)', true],
    ['"""triple "quoted" """.size() > 3', true],
    ['"\\u00e9\\n".size() == 2 && "😀".size() == 1', true],
    ['9223372036854775807 > 9007199254740993', true],
  ];
  for (const [text, value] of cases) assert.deepEqual(run(text), value, text);
});

test('expressions without a value fail with the reason', () => {
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    ['self.nope', /^no such key: nope$/],
    ['self.map["x"]', /^no such key: x$/],
    ['self.list[5]', /^index out of bounds: 5$/],
    ['has(self.nope.deeper)', /^no such key: nope$/],
    ['1 / 0', /^division by zero$/],
    ['1 + "a"', /^no such overload$/],
    ['1 + 1.0', /^no such overload$/],
    ['"a" < 1', /^no such overload$/],
    ['self.name.frobnicate()', /^no such overload: frobnicate$/],
    ['9223372036854775807 * 4', /^integer overflow$/],
    ['duration("soon")', /^invalid duration: soon$/],
    ['"abc".substring(2, 9)', /^index out of range: 9$/],
    ['unknown', /no such attribute/],
    ['self.constructor', /no such key: constructor/],
  ];
  for (const [text, message] of cases) assert.throws(() => run(text), { name: 'CelError', message }, text);
});

test('text that is no expression is refused with its place', () => {
  for (const text of [
    '',
    '1 +',
    'a b',
    '(1',
    '"open',
    'has(1)',
    '[1',
    'self.',
    '1 ? 2',
    'x.all(1, true)',
    '#',
    '"\\q"',
    '('.repeat(5000),
    '!'.repeat(5000),
    `1${'+1'.repeat(5000)}`,
    'a'.repeat(70_000),
  ]) {
    assert.throws(() => parseExpression(text), { name: 'CelSyntaxError' }, text.slice(0, 20));
  }
  assert.match(ruleSyntaxFault('self.a ==') ?? '', /^compilation failed: ERROR: <input>:1:10: Syntax error: /);
  assert.equal(ruleSyntaxFault('self.a == 1'), undefined);
});

test('an expression that takes too long is cut off', () => {
  const list = Array.from({ length: 2000 }, (_, index) => index);
  const variables = new Map([['self', fromJson(list, undefined)]]);
  assert.throws(() => evaluate(parseExpression('self.all(a, self.all(b, self.all(c, true)))'), variables), {
    name: 'CostExceeded',
  });
});

const schema: JsonObject = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      'x-kubernetes-validations': [
        { rule: 'self.min <= self.max', message: 'min must not exceed max' },
        { rule: 'self.max < 100', messageExpression: '"max is " + string(self.max)' },
        {
          rule: '!has(self.a) || !has(self.b)',
          reason: 'FieldValueForbidden',
          message: 'a and b exclude each other',
          fieldPath: '.b',
        },
      ],
      properties: {
        min: { type: 'integer' },
        max: { type: 'integer' },
        a: { type: 'string' },
        b: { type: 'string' },
        mode: {
          type: 'string',
          'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'mode is immutable' }],
        },
        timeout: {
          type: 'string',
          format: 'duration',
          'x-kubernetes-validations': [{ rule: 'self >= duration("1s")' }],
        },
        items: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['id'],
          items: {
            type: 'object',
            properties: {
              id: { type: 'string' },
              value: {
                type: 'integer',
                'x-kubernetes-validations': [{ rule: 'self >= oldSelf', message: 'value must not shrink' }],
              },
            },
          },
        },
      },
    },
  },
};

const spec = { min: 1, max: 2 };
const faults = (value: JsonObject, old?: JsonObject): string[] =>
  celFaults(schema, { spec: value }, old === undefined ? undefined : { spec: old }).map(
    ({ field, reason, message }) => `${field} ${reason} ${message}`,
  );

test('failed rules are faults in the form of the API server', () => {
  assert.deepEqual(faults(spec), []);
  assert.deepEqual(faults({ min: 3, max: 2 }), [
    'spec FieldValueInvalid Invalid value: "object": min must not exceed max',
  ]);
  assert.deepEqual(faults({ min: 3, max: 200 }), ['spec FieldValueInvalid Invalid value: "object": max is 200']);
  assert.deepEqual(faults({ ...spec, a: 'x', b: 'y' }), [
    'spec.b FieldValueForbidden Forbidden: a and b exclude each other',
  ]);
  assert.deepEqual(faults({ min: 1 }), [
    'spec FieldValueInvalid Invalid value: "object": no such key: max evaluating rule: min must not exceed max',
    'spec FieldValueInvalid Invalid value: "object": no such key: max evaluating rule: self.max < 100',
  ]);
  assert.deepEqual(faults({ ...spec, timeout: '100ms' }), [
    'spec.timeout FieldValueInvalid Invalid value: "string": failed rule: self >= duration("1s")',
  ]);
  assert.deepEqual(faults({ ...spec, timeout: '2s' }), []);
});

test('transition rules run on updates, where the old value is known', () => {
  assert.deepEqual(faults({ ...spec, mode: 'a' }), []);
  assert.deepEqual(faults({ ...spec, mode: 'b' }, { ...spec, mode: 'a' }), [
    'spec.mode FieldValueInvalid Invalid value: "string": mode is immutable',
  ]);
  assert.deepEqual(faults({ ...spec, mode: 'b' }, spec), []);
  const items = [
    { id: 'x', value: 5 },
    { id: 'y', value: 1 },
  ];
  assert.deepEqual(
    faults(
      {
        ...spec,
        items: [
          { id: 'y', value: 0 },
          { id: 'x', value: 6 },
          { id: 'z', value: 0 },
        ],
      },
      { ...spec, items },
    ),
    ['spec.items[0].value FieldValueInvalid Invalid value: "integer": value must not shrink'],
  );
});

test('an update forgives rules that its unchanged parts break', () => {
  const broken = { min: 3, max: 2 };
  assert.deepEqual(
    celFaults({ ...schema }, { spec: broken, metadata: { name: 'new' } }, { spec: broken, metadata: {} }),
    [],
  );
});
