import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TapJson } from '../tap/event.ts';
import { tapLine } from './tap.ts';

const id = { base: 3, stream: 1 };
const base = {
  source: { ip: '10.42.0.9', port: 51612, metadata: { tls: 'true', pod: 'web-1' } },
  destination: { ip: '10.42.0.17', port: 8080, metadata: {} },
  routeMeta: null,
  proxyDirection: 'INBOUND',
} as const;

test('tap prints a line for each event in the form of linkerd viz tap', () => {
  const head = 'id=3:1 proxy=in  src=10.42.0.9:51612 dst=10.42.0.17:8080 tls=true';
  const cases: readonly (readonly [Partial<TapJson>, string])[] = [
    [
      { requestInitEvent: { id, method: 'GET', scheme: 'HTTP', authority: 'cart:8080', path: '/items', headers: [] } },
      `req ${head} :method=GET :authority=cart:8080 :path=/items\n`,
    ],
    [
      {
        responseInitEvent: { id, httpStatus: 200, sinceRequestInit: { seconds: 0, nanos: 1_843_000 }, headers: [] },
      },
      `rsp ${head} :status=200 latency=1843µs\n`,
    ],
    [
      {
        responseInitEvent: {
          id,
          httpStatus: 403,
          sinceRequestInit: { seconds: 0, nanos: 0 },
          headers: [{ name: 'l5d-proxy-error', valueStr: 'unauthorized: server/web denies the request' }],
        },
      },
      `rsp ${head} :status=403 latency=0µs error="unauthorized: server/web denies the request"\n`,
    ],
    [
      {
        responseEndEvent: {
          id,
          sinceRequestInit: { seconds: 0, nanos: 0 },
          sinceResponseInit: { seconds: 0, nanos: 21_000 },
          responseBytes: 512,
          trailers: [],
        },
      },
      `end ${head} duration=21µs response-length=512B\n`,
    ],
    [
      {
        responseEndEvent: {
          id,
          sinceRequestInit: { seconds: 0, nanos: 0 },
          sinceResponseInit: { seconds: 1, nanos: 0 },
          responseBytes: 0,
          trailers: [],
          grpcStatusCode: 14,
        },
      },
      `end ${head} grpc-status=Unavailable duration=1000000µs response-length=0B\n`,
    ],
  ];
  for (const [event, line] of cases) assert.equal(tapLine({ ...base, ...event }, false), line);
  assert.match(tapLine({ ...base, ...cases[0]?.[0] }, true), / src_tls=true src_pod=web-1\n$/);
});
