import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meshOutcomes, shortcomings } from './outcomes.ts';

const OUTPUT = `=== RUN   TestConformance
    --- PASS: TestConformance/MeshBasic (0.31s)
        --- PASS: TestConformance/MeshBasic/Send_to_service (0.30s)
    --- SKIP: TestConformance/MeshPorts (0.00s)
    --- SKIP: TestConformance/HTTPRouteWeight (0.00s)
    --- FAIL: TestConformance/MeshHTTPRouteWeight (30.02s)
        --- FAIL: TestConformance/MeshHTTPRouteWeight/Requests (30.01s)
--- FAIL: TestConformance (33.10s)
`;

test('mesh tests are read, their parts and tests of gateways are not', () => {
  assert.deepEqual(meshOutcomes(OUTPUT), [
    { test: 'MeshBasic', result: 'PASS' },
    { test: 'MeshPorts', result: 'SKIP' },
    { test: 'MeshHTTPRouteWeight', result: 'FAIL' },
  ]);
});

test('a failed, a skipped and a lost test are each a shortcoming', () => {
  assert.deepEqual(shortcomings(meshOutcomes(OUTPUT), 4), [
    'MeshPorts was skipped',
    'MeshHTTPRouteWeight failed',
    '3 mesh tests are in the output instead of 4',
  ]);
  assert.deepEqual(shortcomings([{ test: 'MeshBasic', result: 'PASS' }], 1), []);
  assert.deepEqual(shortcomings([], 22), ['0 mesh tests are in the output instead of 22']);
});
