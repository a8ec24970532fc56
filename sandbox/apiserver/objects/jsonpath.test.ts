import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldNames, parsePath, valuesAt } from './jsonpath.ts';

const object = {
  metadata: { name: 'x', annotations: { 'a.b/c': 'note' } },
  spec: { replicas: 3, ports: [{ port: 80 }, { port: 443, name: 'https' }], list: [1, 2, 3, 4] },
  status: {
    conditions: [
      { type: 'Ready', status: 'True', weight: 2 },
      { type: 'It\'s "odd]"', status: 'Unknown' },
    ],
  },
};

test('paths lead to all values in document order', () => {
  const cases: readonly (readonly [path: string, values: unknown[]])[] = [
    ['.spec.replicas', [3]],
    ['{.spec.replicas}', [3]],
    ['$.spec.replicas', [3]],
    ['spec.replicas', [3]],
    ['.spec.ports[0].port', [80]],
    ['.spec.ports[-1].port', [443]],
    ['.spec.ports[*].port', [80, 443]],
    ['.spec.list[1:3]', [2, 3]],
    ['.spec.list[:2]', [1, 2]],
    [".metadata.annotations['a.b/c']", ['note']],
    ['.metadata.annotations.a\\.b/c', ['note']],
    ['.status.conditions[?(@.type=="Ready")].status', ['True']],
    [".status.conditions[?(@.type=='Ready')].status", ['True']],
    ['.status.conditions[?(@.type == "It\'s \\"odd]\\"")].status', ['Unknown']],
    ['.status.conditions[?(@.weight>1)].type', ['Ready']],
    ['.status.conditions[?(@.weight)].type', ['Ready']],
    ['.status.conditions[?(@.type!="Ready")].status', ['Unknown']],
    ['.missing.deep', []],
    ['.spec.ports.port', []],
    ['.spec.replicas[0]', []],
    ['.__proto__', []],
    ['.constructor.name', []],
    ['', [object]],
  ];
  for (const [path, values] of cases) assert.deepEqual(valuesAt(parsePath(path), object), values, path);
});

test('text that is no path is refused with its place', () => {
  for (const path of ['.a[', '.a[?(@.b==c)]', '.a..b', '.a[x]', '.a[?(@.b=="c)]', `.a${'.b'.repeat(4000)}`]) {
    assert.throws(() => parsePath(path), { name: 'JsonPathError' }, path);
  }
});

test('plain field paths give their names, others none', () => {
  assert.deepEqual(fieldNames('.spec.replicas'), ['spec', 'replicas']);
  assert.equal(fieldNames('.spec.list[0]'), undefined);
  assert.equal(fieldNames('.'), undefined);
});
