import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TapJson } from '../tap/event.ts';
import { Requests } from './tap-requests.js';

function begin(stream: number, path: string): TapJson {
  const id = { base: 1, stream };
  return { ...common, requestInitEvent: { id, method: 'GET', scheme: 'HTTP', authority: 'web', path, headers: [] } };
}
const common = {
  source: { ip: '10.0.0.1', port: 1, metadata: { pod: 'load-1', tls: 'true' } },
  destination: { ip: '10.0.0.2', port: 80, metadata: {} },
  routeMeta: null,
  proxyDirection: 'INBOUND' as const,
};
const took = { seconds: 0, nanos: 2_500_000 };
const answer = (stream: number, httpStatus: number): TapJson => ({
  ...common,
  responseInitEvent: { id: { base: 1, stream }, sinceRequestInit: took, httpStatus, headers: [] },
});
const end = (stream: number, how: object = {}): TapJson => ({
  ...common,
  responseEndEvent: {
    id: { base: 1, stream },
    sinceRequestInit: took,
    sinceResponseInit: took,
    responseBytes: 0,
    trailers: [],
    ...how,
  },
});

test('events become requests, the newest first, with what came of them', () => {
  const requests = new Requests();
  for (const event of [begin(1, '/a'), begin(2, '/b'), begin(3, '/c'), begin(4, '/d'), begin(5, '/e')])
    requests.add(event);
  for (const event of [answer(1, 200), end(1), answer(2, 503), answer(3, 200), end(3, { grpcStatusCode: 14 })])
    requests.add(event);
  for (const event of [end(4, { resetErrorCode: 8 }), answer(9, 200), end(9)]) requests.add(event); // 9 began before
  assert.deepEqual(
    requests.rows.map(({ path, status, outcome, latencyMs }) => [path, status, outcome, latencyMs]),
    [
      ['/e', '…', 'open', undefined],
      ['/d', 'reset', 'bad', undefined],
      ['/c', 'gRPC 14', 'bad', 2.5],
      ['/b', '503', 'bad', 2.5],
      ['/a', '200', 'good', 2.5],
    ],
  );
  const [row] = requests.rows;
  assert.deepEqual([row?.source, row?.destination, row?.isSecured], ['load-1', '10.0.0.2', true]);
});

test('no more rows are kept than a person can look at', () => {
  const requests = new Requests();
  for (let stream = 0; stream < 1000; stream += 1) requests.add(begin(stream, `/${stream}`));
  assert.deepEqual([requests.total, requests.rows.length, requests.rows[0]?.path], [1000, 200, '/999']);
});
