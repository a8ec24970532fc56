import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, persisting, type Listed } from './drift.ts';

const held = (...objects: readonly [string, string][]): ReadonlyMap<string, string> => new Map(objects);
const list = (position: string, ...objects: readonly [string, string][]): Listed => ({
  versions: new Map(objects),
  position,
});

test('lost additions, changes and deletions are differences; what the list does not know yet is none', () => {
  const found = differences(
    held(['ns/changed', '3'], ['ns/gone', '4'], ['ns/newer', '12'], ['ns/added-since', '13'], ['ns/same', '5']),
    list('10', ['ns/changed', '8'], ['ns/new', '9'], ['ns/newer', '7'], ['ns/same', '5']),
  );
  assert.deepEqual(Object.fromEntries(found), {
    'ns/changed': { held: '3', listed: '8' },
    'ns/new': { held: undefined, listed: '9' },
    'ns/gone': { held: '4', listed: undefined },
  });
});

test('what arrives between two looks is no drift; what stays is, also when the object changes on', () => {
  const before = differences(
    held(['ns/late', '3'], ['ns/lost', '4'], ['ns/gone', '5'], ['ns/deleted', '6']),
    list('10', ['ns/late', '8'], ['ns/lost', '9'], ['ns/missing', '7'], ['ns/short', '7'], ['ns/deleted', '8']),
  );
  const now = differences(
    held(['ns/late', '8'], ['ns/lost', '4'], ['ns/gone', '5']),
    list('20', ['ns/late', '8'], ['ns/lost', '19'], ['ns/missing', '7'], ['ns/short', '18']),
  );
  assert.deepEqual(persisting(before, now), ['ns/gone', 'ns/lost', 'ns/missing']);
});
