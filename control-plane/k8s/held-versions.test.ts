import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldVersions, isNewer } from './held-versions.ts';

function heldAt(position: string, ...objects: readonly [string, string][]): HeldVersions {
  const held = new HeldVersions();
  held.reset(new Map(objects), position);
  return held;
}

test('versions are numbers of any length', () => {
  assert.ok(isNewer('10', '9'));
  assert.ok(isNewer('18446744073709551617', '18446744073709551616'));
  assert.ok(!isNewer('9', '10'));
  assert.ok(!isNewer('9', '9'));
  assert.ok(isNewer('abc', 'abd'), 'what cannot be ordered is news');
  assert.ok(!isNewer('abc', 'abc'));
});

test('what comes again or is older than what is held is skipped, what came late is taken', () => {
  const held = heldAt('10', ['ns/a', '4'], ['ns/b', '9']);
  assert.equal(held.take('ns/a', '12', false), 'apply');
  assert.equal(held.take('ns/a', '12', false), 'skip', 'again');
  assert.equal(held.take('ns/a', '4', true), 'skip', 'an earlier life');
  assert.equal(held.take('ns/b', '11', false), 'apply', 'overtaken by another object');
  assert.equal(held.position, '12');
  assert.equal(held.take('ns/b', '13', true), 'apply');
  assert.equal(held.take('ns/b', '13', true), 'skip');
  assert.deepEqual([...held.byKey], [['ns/a', '12']]);
});

test('a late change of something that is not there may be one before or after its end: lost', () => {
  const held = heldAt('10');
  assert.equal(held.take('ns/a', '9', false), 'lost');
  assert.equal(held.take('ns/a', '11', false), 'apply');
  held.losePosition();
  assert.equal(held.position, undefined);
});

test('an older bookmark does not lead back', () => {
  const held = heldAt('10');
  held.advance('7');
  assert.equal(held.position, '10');
  held.advance('11');
  assert.equal(held.position, '11');
});

test('any order and any repetition of changes ends in the truth, or is noticed', () => {
  let seed = 7;
  const random = (max: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * max);
  };
  let noticed = 0;
  for (let round = 0; round < 2_000; round += 1) {
    const truth = new Map<string, string>();
    const events: { key: string; version: string; isDeleted: boolean }[] = [];
    for (let version = 95; version < 105; version += 1) {
      const key = `ns/${random(3)}`;
      const isDeleted = truth.has(key) && random(3) === 0;
      if (isDeleted) truth.delete(key);
      else truth.set(key, String(version));
      events.push({ key, version: String(version), isDeleted });
    }
    for (let times = random(4); times > 0; times -= 1) {
      const [from, to] = [random(events.length), random(events.length)];
      const [moved] = random(2) === 0 ? events.splice(from, 1) : events.slice(from, from + 1);
      if (moved !== undefined) events.splice(to, 0, moved);
    }
    const held = heldAt('94');
    const isLost = events.some((event) => held.take(event.key, event.version, event.isDeleted) === 'lost');
    if (isLost) noticed += 1;
    else assert.deepEqual(new Map(held.byKey), truth, JSON.stringify(events));
  }
  assert.ok(noticed > 10 && noticed < 1_500, `${noticed} of 2000 rounds were noticed`);
});
