import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable } from './table.ts';

test('columns are as wide as their widest cell, with three spaces between them and none at the end', () => {
  assert.equal(
    formatTable(
      [{ title: 'NAME' }, { title: 'RPS', align: 'right' }, { title: 'NOTE' }],
      [
        ['web', '12.5rps', ''],
        ['catalog', '-', 'slow'],
      ],
    ),
    'NAME          RPS   NOTE\nweb       12.5rps\ncatalog         -   slow\n',
  );
});

test('a table without rows is its titles', () => {
  assert.equal(formatTable([{ title: 'A' }, { title: 'B' }], []), 'A   B\n');
});
