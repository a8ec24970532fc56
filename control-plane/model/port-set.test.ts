import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasPort, parsePortSet } from './port-set.ts';

test('a list of ports holds numbers, ranges and names', () => {
  const { ports, unknown } = parsePortSet(' 25, 3000-3010 ,redis,', (name) => (name === 'redis' ? 6379 : undefined));
  assert.deepEqual(unknown, []);
  for (const port of [25, 3000, 3010, 6379]) assert.equal(hasPort(ports, port), true);
  for (const port of [24, 2999, 3011]) assert.equal(hasPort(ports, port), false);
});

test('parts that are nonsense are reported and change nothing else', () => {
  const { ports, unknown } = parsePortSet('80,0,9-8,70000,x,1-2-3');
  assert.deepEqual(unknown, ['0', '9-8', '70000', 'x', '1-2-3']);
  assert.deepEqual(ports.ranges, [[80, 80]]);
});
