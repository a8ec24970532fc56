import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../status-error.ts';
import type { JsonObject } from './json.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';

/** The examples of RFC 6902 appendix A, and corner cases after them. */
const applied: readonly (readonly [name: string, document: JsonObject, patch: unknown, result: JsonObject])[] = [
  ['A.1 add a member', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
  [
    'A.2 insert an element',
    { foo: ['bar', 'baz'] },
    [{ op: 'add', path: '/foo/1', value: 'qux' }],
    { foo: ['bar', 'qux', 'baz'] },
  ],
  ['A.3 remove a member', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
  [
    'A.4 remove an element',
    { foo: ['bar', 'qux', 'baz'] },
    [{ op: 'remove', path: '/foo/1' }],
    { foo: ['bar', 'baz'] },
  ],
  [
    'A.5 replace',
    { baz: 'qux', foo: 'bar' },
    [{ op: 'replace', path: '/baz', value: 'boo' }],
    { baz: 'boo', foo: 'bar' },
  ],
  [
    'A.6 move a value',
    { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
  ],
  [
    'A.7 move an element',
    { foo: ['a', 'g', 'c', 'e'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['a', 'c', 'e', 'g'] },
  ],
  [
    'A.8 test',
    { baz: 'qux', foo: ['a', 2] },
    [
      { op: 'test', path: '/baz', value: 'qux' },
      { op: 'test', path: '/foo/1', value: 2 },
    ],
    { baz: 'qux', foo: ['a', 2] },
  ],
  [
    'A.10 add a nested member',
    { foo: 'bar' },
    [{ op: 'add', path: '/child', value: { grandchild: {} } }],
    { foo: 'bar', child: { grandchild: {} } },
  ],
  [
    'A.11 unknown members are ignored',
    { foo: 'bar' },
    [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }],
    { foo: 'bar', baz: 'qux' },
  ],
  ['A.14 escapes', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
  ['A.16 append', { foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: ['abc'] }], { foo: ['bar', ['abc']] }],
  ['copy', { a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }], { a: { b: 1 }, c: { b: 1 } }],
  ['a null value is a value', { a: 1 }, [{ op: 'replace', path: '/a', value: null }], { a: null }],
  ['test for null holds where nothing is', {}, [{ op: 'test', path: '/a', value: null }], {}],
  ['replace the whole document', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
  ['move onto itself', { a: 1 }, [{ op: 'move', from: '/a', path: '/a' }], { a: 1 }],
  [
    'annotation key with slash',
    { m: {} },
    [{ op: 'add', path: '/m/linkerd.io~1inject', value: 'on' }],
    { m: { 'linkerd.io/inject': 'on' } },
  ],
];

test('JSON patches apply as RFC 6902 shows and leave their input alone', () => {
  for (const [name, document, patch, result] of applied) {
    const before = structuredClone(document);
    assert.deepEqual(applyJsonPatch(document, patch), result, name);
    assert.deepEqual(document, before, name);
  }
});

test('a JSON patch that does not apply is Invalid with the generic message', () => {
  const document = { a: { b: 1 }, list: [1], text: 'x' };
  const patches: readonly (readonly object[])[] = [
    [{ op: 'test', path: '/a/b', value: 2 }],
    [{ op: 'test', path: '/a', value: { b: '1' } }],
    [{ op: 'remove', path: '/missing' }],
    [{ op: 'replace', path: '/missing', value: 1 }],
    [{ op: 'add', path: '/missing/deep', value: 1 }],
    [{ op: 'add', path: '/list/2', value: 1 }],
    [{ op: 'add', path: '/list/01', value: 1 }],
    [{ op: 'add', path: '/list/-1', value: 1 }],
    [{ op: 'remove', path: '/list/-' }],
    [{ op: 'add', path: '/text/x', value: 1 }],
    [{ op: 'add', path: '/a' }],
    [{ op: 'add', value: 1 }],
    [{ op: 'add', path: 'a', value: 1 }],
    [{ op: 'move', path: '/c', from: '/missing' }],
    [{ op: 'move', path: '/a/b/c', from: '/a' }],
    [{ op: 'copy', path: '/c' }],
    [{ op: 'frobnicate', path: '/a' }],
    [{ path: '/a' }],
    [{ op: 'remove', path: '' }],
    [{ op: 'replace', path: '', value: [] }],
    [{ op: 'remove', path: '/__proto__' }],
    [{ op: 'replace', path: '/constructor/prototype', value: 1 }],
  ];
  for (const patch of patches) {
    assert.throws(
      () => applyJsonPatch(document, patch),
      (error) =>
        error instanceof StatusError &&
        error.code === 422 &&
        error.message === 'the server rejected our request due to an error in our request',
      JSON.stringify(patch),
    );
  }
});

test('what is no list of operations, or too long a list, is a bad request', () => {
  for (const patch of [{}, null, 'x', Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: {} }))]) {
    assert.throws(
      () => applyJsonPatch({}, patch),
      (error) => error instanceof StatusError && error.code === 400,
    );
  }
});

test('copies that double the document stop at a bound', () => {
  const patch = Array.from({ length: 100 }, (_, index) => ({ op: 'copy', from: '/a', path: `/a/${index}` }));
  assert.throws(
    () => applyJsonPatch({ a: { text: 'x'.repeat(1000) } }, patch),
    (error) => error instanceof StatusError && error.code === 413,
  );
});

test('__proto__ is an ordinary key in patches', () => {
  const byOperations = applyJsonPatch({}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }]);
  const merged = applyMergePatch(
    {},
    JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}'),
  );
  for (const result of [byOperations, merged]) {
    assert.equal(Object.getPrototypeOf(result), Object.prototype);
    assert.ok(Object.hasOwn(result, '__proto__'));
  }
  assert.equal((Object.prototype as { polluted?: boolean }).polluted, undefined);
});

/** The test cases of RFC 7386 appendix A whose result is an object. */
const merges: readonly (readonly [document: JsonObject, patch: JsonObject, result: JsonObject])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  [{ a: 'text' }, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
];

test('merge patches apply as RFC 7386 shows and leave their input alone', () => {
  for (const [document, patch, result] of merges) {
    const before = structuredClone([document, patch]);
    assert.deepEqual(applyMergePatch(document, patch), result);
    assert.deepEqual([document, patch], before);
  }
});

test('a merge patch that is no object is a bad request', () => {
  for (const patch of [[], 'x', null, 3]) {
    assert.throws(
      () => applyMergePatch({}, patch),
      (error) => error instanceof StatusError && error.code === 400,
    );
  }
});
