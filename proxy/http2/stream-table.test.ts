import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../test/harness/random.ts';
import { StreamTable } from './stream-table.ts';
import type { Stream } from './stream.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

test(`it holds what a Map holds, with streams that end at once and streams that last (FUZZ_SEED=${seed})`, () => {
  const table = new StreamTable();
  const map = new Map<number, Stream>();
  const random = seededRandom(seed);
  for (let id = 1; id < 20_000; id += 2) {
    const stream = { id } as Stream;
    table.add(stream);
    map.set(id, stream);
    // One in fifty lasts until the end, the others end soon.
    for (const open of map.keys()) {
      if (open % 100 === 1 || random() < 0.8) continue;
      table.delete(open);
      map.delete(open);
    }
    const asked = 1 + 2 * Math.floor(random() * (id / 2));
    assert.equal(table.get(asked), map.get(asked), `stream ${asked}`);
    assert.equal(table.size, map.size);
  }
  const byId = (a: Stream, b: Stream): number => a.id - b.id;
  assert.deepEqual([...table.values()].sort(byId), [...map.values()].sort(byId));
  table.delete(20_001);
  assert.equal(table.size, map.size);
});
