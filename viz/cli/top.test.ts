import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TapJson } from '../tap/event.ts';
import { topText } from './top.ts';
import { TopTable } from './top-table.ts';

function exchange(stream: number, path: string, status: number, ms: number, source = 'web-1'): readonly TapJson[] {
  const id = { base: 1, stream };
  const common = {
    source: { ip: '10.0.0.1', port: 1, metadata: { pod: source } },
    destination: { ip: '10.0.0.2', port: 80, metadata: {} },
    routeMeta: null,
    proxyDirection: 'INBOUND' as const,
  };
  const took = { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
  return [
    { ...common, requestInitEvent: { id, method: 'GET', scheme: 'HTTP', authority: 'x', path, headers: [] } },
    { ...common, responseInitEvent: { id, sinceRequestInit: took, httpStatus: status, headers: [] } },
    {
      ...common,
      responseEndEvent: { id, sinceRequestInit: took, sinceResponseInit: took, responseBytes: 0, trailers: [] },
    },
  ];
}

test('top counts requests by path, the busiest first, with times and success', () => {
  const table = new TopTable(true);
  const events = [
    ...exchange(1, '/a', 200, 4),
    ...exchange(2, '/b', 200, 1500),
    ...exchange(3, '/a', 503, 0.25),
    ...exchange(4, '/a', 404, 8).slice(0, 2), // not over yet
  ];
  for (const event of events) table.add(event);
  assert.equal(
    topText(table.rows(10), true),
    [
      'Source   Destination   Method   Path   Count    Best   Worst    Last   Success Rate',
      'web-1    10.0.0.2      GET      /a         2   250µs     4ms   250µs         50.00%',
      'web-1    10.0.0.2      GET      /b         1    1.5s    1.5s    1.5s        100.00%',
      '',
    ].join('\n'),
  );
});

test('top counts sources together when they are hidden', () => {
  const table = new TopTable(false);
  for (const event of [...exchange(1, '/a', 200, 1, 'one'), ...exchange(2, '/a', 200, 1, 'two')]) table.add(event);
  assert.deepEqual(
    table.rows(10).map(({ count, source }) => [count, source]),
    [[2, '']],
  );
});
