import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSelector, SelectorError, selects } from './selector.ts';

test('a selector chooses as kubectl does', () => {
  const labels = { app: 'web', 'app.kubernetes.io/part-of': 'shop', track: 'canary' };
  const cases: readonly (readonly [string, boolean])[] = [
    ['', true],
    ['app=web', true],
    ['app==web,track=canary', true],
    ['app!=web', false],
    ['missing!=x', true],
    ['track in (stable, canary),app', true],
    ['track notin (canary)', false],
    ['!legacy', true],
    ['!app', false],
    ['app.kubernetes.io/part-of = shop', true],
    ['app=', false],
  ];
  for (const [text, isSelected] of cases) assert.equal(selects(parseSelector(text), labels), isSelected, text);
});

test('what is no selector is named', () => {
  for (const text of ['a b', 'app in web', '=x', '!', 'app=web,$x'])
    assert.throws(() => parseSelector(text), SelectorError, text);
});
