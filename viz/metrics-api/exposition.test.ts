import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExposition } from './exposition.ts';

const all = (): boolean => true;

test('names, labels with escapes and values are read', () => {
  const page = parseExposition(
    [
      '# HELP request_total requests',
      '# TYPE request_total counter',
      'request_total{direction="inbound",path="a\\"b\\\\c\\nd,e=\\"}",empty=""} 7',
      'up 1 1700000000000',
      'latency_bucket{le="+Inf"} +Inf',
      '',
    ].join('\n'),
    all,
    100,
  );
  assert.equal(page.malformedCount, 0);
  assert.deepEqual({ ...page.samples[0]?.labels }, { direction: 'inbound', path: 'a"b\\c\nd,e="}', empty: '' });
  assert.equal(page.samples[0]?.value, 7);
  assert.deepEqual([page.samples[1]?.name, page.samples[1]?.value], ['up', 1]);
  assert.equal(page.samples[2]?.value, Infinity);
});

test('a bad line is counted and the rest of the page is kept', () => {
  const page = parseExposition('a{x="1" 1\nb{x=1} 2\nc{x="1"}\nd{x="1"} word\nd{="1"} 1\ngood{x="1"} 5', all, 100);
  assert.deepEqual(
    page.samples.map(({ name, value }) => [name, value]),
    [['good', 5]],
  );
  assert.equal(page.malformedCount, 5);
});

test('unwanted metrics cost nothing and samples over the limit are counted', () => {
  const lines = Array.from({ length: 10 }, (_, index) => `wanted{i="${index}"} ${index}\nother{i="${index}"} 1`).join(
    '\n',
  );
  const page = parseExposition(lines, (name) => name === 'wanted', 4);
  assert.equal(page.samples.length, 4);
  assert.equal(page.droppedCount, 6);
});

test('a label named like a property of objects is only a label', () => {
  const page = parseExposition('m{__proto__="x",constructor="y"} 1', all, 10);
  assert.equal(page.samples[0]?.labels['__proto__'], 'x');
  assert.equal(({} as Record<string, unknown>)['x'], undefined);
});
