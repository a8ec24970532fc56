import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { NO_SINK, type ServeRequest } from '../http/exchange.ts';
import { parseResponseHead } from '../http/head.ts';
import { Connection } from '../transport/connection.ts';
import { ErrorCode } from './errors.ts';
import { Flag, Frame, PREFACE } from './frames.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { Http2Servers } from './server.ts';
import { block, frame, get, RawHttp2, SETTINGS, uint32, type ReceivedFrame } from '../testing/raw-http2.ts';
import { seededRandom } from '../../test/harness/random.ts';

const OK = parseResponseHead('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n', 'GET');

const REQUEST = block([
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'web'],
  [':path', '/'],
]);

/** Frames of the server under test, which answers each request at once, until it closes or `isEnough`. */
async function talk(bytes: Buffer, isEnough: (frames: readonly ReceivedFrame[]) => boolean): Promise<ReceivedFrame[]> {
  const servers = new Http2Servers(60_000, () => performance.now());
  const listener = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    const serve: ServeRequest = (_head, _body, _isEnd, response) => {
      response.respond(OK, Buffer.from('ok'), true);
      return NO_SINK;
    };
    servers.serve(new Connection(socket), Buffer.alloc(0), false, serve, () => {});
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = connectTcp((listener.address() as AddressInfo).port, '127.0.0.1');
  const frames: ReceivedFrame[] = [];
  let unread = Buffer.alloc(0);
  await new Promise<void>((resolve, reject) => {
    socket.setTimeout(10_000, () => reject(new Error(`silent after ${frames.length} frames`)));
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
        const end = 9 + unread.readUIntBE(0, 3);
        frames.push({
          type: unread[3] ?? 0,
          flags: unread[4] ?? 0,
          id: unread.readUInt32BE(5),
          payload: unread.subarray(9, end),
        });
        unread = unread.subarray(end);
      }
      if (isEnough(frames)) resolve();
    });
    socket.write(bytes);
  }).finally(() => {
    socket.destroy();
    listener.close();
  });
  return frames;
}

test('requests that a client sends behind its GOAWAY are served', async () => {
  const goAway = frame(Frame.GOAWAY, 0, 0, Buffer.alloc(8));
  const ended = (frames: readonly ReceivedFrame[]): readonly number[] =>
    frames.filter(({ flags, type }) => type === Frame.DATA && (flags & Flag.END_STREAM) !== 0).map(({ id }) => id);
  const bytes = Buffer.concat([PREFACE, SETTINGS, goAway, get(1), get(3)]);
  assert.deepEqual(ended(await talk(bytes, (frames) => ended(frames).length === 2)), [1, 3]);
});

test('the rest of a request is refused when its whole response has left, however long that takes', async () => {
  const listener = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    const serve: ServeRequest = (_head, _body, _isEnd, response) => {
      response.respond(OK, Buffer.from('ok'), true);
      return NO_SINK;
    };
    const servers = new Http2Servers(60_000, () => performance.now());
    servers.serve(new Connection(socket), Buffer.alloc(0), false, serve, () => {});
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  using client = await RawHttp2.connect((listener.address() as AddressInfo).port);
  const window = Buffer.from([0, 4, 0, 0, 0, 1]); // INITIAL_WINDOW_SIZE of one byte
  client.send(frame(Frame.SETTINGS, 0, 0, window), frame(Frame.HEADERS, Flag.END_HEADERS, 1, REQUEST));
  await client.until(() => client.content(1) === 'o');
  client.send(frame(Frame.DATA, 0, 1, Buffer.from('more')), frame(Frame.WINDOW_UPDATE, 0, 1, uint32(10)));
  const reset = (): ReceivedFrame | undefined => client.frames.find(({ type }) => type === Frame.RST_STREAM);
  await client.until(() => reset() !== undefined);
  listener.close();
  assert.equal(client.content(1), 'ok');
  assert.equal(reset()?.payload.readUInt32BE(0), ErrorCode.NO_ERROR);
});

const goAwayCode = (frames: readonly ReceivedFrame[]): number | undefined =>
  frames.find(({ type }) => type === Frame.GOAWAY)?.payload.readUInt32BE(4);

test('requests on several streams are answered, interleaved with PING and SETTINGS', async () => {
  const ping = frame(Frame.PING, 0, 0, Buffer.from('12345678'));
  const bytes = Buffer.concat([PREFACE, SETTINGS, get(1), ping, get(3), get(5)]);
  const frames = await talk(bytes, (seen) => seen.filter(({ type }) => type === Frame.DATA).length === 3);
  assert.deepEqual(
    frames.filter(({ type }) => type === Frame.DATA).map(({ id, flags, payload }) => [id, flags, payload.toString()]),
    [
      [1, 1, 'ok'],
      [3, 1, 'ok'],
      [5, 1, 'ok'],
    ],
  );
  assert.ok(
    frames.some(({ type, flags, payload }) => type === Frame.PING && flags === 1 && payload.toString() === '12345678'),
  );
});

const times = (count: number, make: (n: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, n) => make(n)));

/** What ends a connection, and with which code. */
const ENDED: readonly (readonly [string, number, Buffer])[] = [
  ['no SETTINGS first', ErrorCode.PROTOCOL_ERROR, get(1)],
  ['an even stream', ErrorCode.PROTOCOL_ERROR, Buffer.concat([SETTINGS, get(2)])],
  [
    'DATA on an idle stream',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.DATA, 0, 1, Buffer.alloc(1))]),
  ],
  [
    'a frame that is too long',
    ErrorCode.FRAME_SIZE_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.DATA, 0, 1, Buffer.alloc(16_385))]),
  ],
  [
    'WINDOW_UPDATE by 0',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.WINDOW_UPDATE, 0, 0, uint32(0))]),
  ],
  [
    'a window above the maximum',
    ErrorCode.FLOW_CONTROL_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1))]),
  ],
  [
    'an index in no table',
    ErrorCode.COMPRESSION_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.HEADERS, 5, 1, Buffer.from([0xff, 0x7f]))]),
  ],
  ['HEADERS on a stream that has ended', ErrorCode.STREAM_CLOSED, Buffer.concat([SETTINGS, get(1), get(1)])],
  ['HEADERS on a stream that was skipped', ErrorCode.STREAM_CLOSED, Buffer.concat([SETTINGS, get(5), get(3)])],
  [
    'a stream that depends on itself',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.PRIORITY, 0, 1, Buffer.from([0, 0, 0, 1, 0]))]),
  ],
  [
    'PRIORITY of a wrong size',
    ErrorCode.FRAME_SIZE_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.PRIORITY, 0, 1, Buffer.alloc(4))]),
  ],
  ['a push', ErrorCode.PROTOCOL_ERROR, Buffer.concat([SETTINGS, frame(Frame.PUSH_PROMISE, 4, 1, uint32(2))])],
  [
    'padding as long as the frame',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.HEADERS, 13, 1, Buffer.from([9, 0x82]))]),
  ],
  [
    'an interrupted header block',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([SETTINGS, frame(Frame.HEADERS, 1, 1, REQUEST), SETTINGS]),
  ],
  [
    'a flood of CONTINUATION',
    ErrorCode.ENHANCE_YOUR_CALM,
    Buffer.concat([SETTINGS, frame(Frame.HEADERS, 1, 1, REQUEST), times(100, () => frame(Frame.CONTINUATION, 0, 1))]),
  ],
  [
    'a flood of PING',
    ErrorCode.ENHANCE_YOUR_CALM,
    Buffer.concat([SETTINGS, times(1000, () => frame(Frame.PING, 0, 0, Buffer.alloc(8)))]),
  ],
  [
    'extended CONNECT that is announced by 2',
    ErrorCode.PROTOCOL_ERROR,
    frame(Frame.SETTINGS, 0, 0, Buffer.from([0, 8, 0, 0, 0, 2])),
  ],
  [
    'extended CONNECT that is taken back',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([1, 0].map((value) => frame(Frame.SETTINGS, 0, 0, Buffer.from([0, 8, 0, 0, 0, value])))),
  ],
  ['a flood of SETTINGS', ErrorCode.ENHANCE_YOUR_CALM, times(1000, () => SETTINGS)],
  [
    'a flood of empty DATA',
    ErrorCode.ENHANCE_YOUR_CALM,
    Buffer.concat([SETTINGS, frame(Frame.HEADERS, 4, 1, REQUEST), times(1000, () => frame(Frame.DATA, 0, 1))]),
  ],
  [
    'a flood of PRIORITY',
    ErrorCode.ENHANCE_YOUR_CALM,
    Buffer.concat([SETTINGS, times(3000, () => frame(Frame.PRIORITY, 0, 1, Buffer.alloc(5)))]),
  ],
  [
    'rapid resets',
    ErrorCode.ENHANCE_YOUR_CALM,
    Buffer.concat([
      SETTINGS,
      times(3000, (n) => Buffer.concat([get(2 * n + 1), frame(Frame.RST_STREAM, 0, 2 * n + 1, uint32(8))])),
    ]),
  ],
];

for (const [name, code, bytes] of ENDED) {
  test(`a connection ends with code ${code} after ${name}`, async () => {
    const frames = await talk(Buffer.concat([PREFACE, bytes]), (seen) => goAwayCode(seen) !== undefined);
    assert.equal(goAwayCode(frames), code);
  });
}

/** What ends one stream, with which code, while the connection goes on. */
const BROKEN: readonly (readonly [string, number, Buffer])[] = [
  [
    'DATA after its RST_STREAM',
    ErrorCode.STREAM_CLOSED,
    Buffer.concat([
      frame(Frame.HEADERS, Flag.END_HEADERS, 1, REQUEST),
      frame(Frame.RST_STREAM, 0, 1, uint32(8)),
      frame(Frame.DATA, 0, 1, Buffer.alloc(1)),
    ]),
  ],
  [
    'DATA after its end',
    ErrorCode.STREAM_CLOSED,
    Buffer.concat([get(1), frame(Frame.DATA, Flag.END_STREAM, 1, Buffer.alloc(1))]),
  ],
  [
    'a window above the maximum',
    ErrorCode.FLOW_CONTROL_ERROR,
    Buffer.concat([
      frame(Frame.HEADERS, Flag.END_HEADERS, 1, REQUEST),
      frame(Frame.WINDOW_UPDATE, 0, 1, uint32(2 ** 31 - 1)),
    ]),
  ],
  [
    'a pseudo field among its trailers',
    ErrorCode.PROTOCOL_ERROR,
    Buffer.concat([
      frame(Frame.HEADERS, Flag.END_HEADERS, 1, REQUEST),
      frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block([[':path', '/']])),
    ]),
  ],
];

for (const [name, code, bytes] of BROKEN) {
  test(`a stream ends with code ${code} after ${name}, the next is served`, async () => {
    const frames = await talk(Buffer.concat([PREFACE, SETTINGS, bytes, get(3)]), (seen) =>
      seen.some(({ type, id }) => type === Frame.DATA && id === 3),
    );
    const reset = frames.find(({ type, id }) => type === Frame.RST_STREAM && id === 1);
    assert.equal(reset?.payload.readUInt32BE(0), code);
  });
}

test('frames that come late on a stream that this side has reset are no mistake', async () => {
  const bad = frame(Frame.HEADERS, Flag.END_HEADERS, 1, block([[':method', 'GET']]));
  const late = Buffer.concat([
    frame(Frame.DATA, 0, 1, Buffer.from('late')),
    frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block([['x-late', '1']])),
  ]);
  const frames = await talk(Buffer.concat([PREFACE, SETTINGS, bad, late, get(3)]), (seen) =>
    seen.some(({ type, id }) => type === Frame.DATA && id === 3),
  );
  assert.equal(frames.filter(({ type }) => type === Frame.RST_STREAM).length, 1);
  assert.equal(goAwayCode(frames), undefined);
});

/** Requests that are refused while the connection goes on. */
const REFUSED: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    'no authority',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
    ],
  ],
  [
    'host unlike authority',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['host', 'b'],
    ],
  ],
  [
    'an upper-case name',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['X-A', 'b'],
    ],
  ],
  [
    'a connection field',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['connection', 'close'],
    ],
  ],
  [
    'a coding',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['transfer-encoding', 'chunked'],
    ],
  ],
  [
    'a line feed',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['x-a', 'b\r\nc: d'],
    ],
  ],
  [
    'a space in the path',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/ HTTP/1.1'],
    ],
  ],
  [
    'a late pseudo field',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      ['x-a', 'b'],
      [':path', '/'],
    ],
  ],
  [
    'a length without body',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['content-length', '5'],
    ],
  ],
  [
    'two lengths',
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
      ['content-length', '0'],
      ['content-length', '0'],
    ],
  ],
  [
    'CONNECT and a path',
    [
      [':method', 'CONNECT'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'a'],
    ],
  ],
  ['CONNECT without authority', [[':method', 'CONNECT']]],
  [
    'CONNECT and a length',
    [
      [':method', 'CONNECT'],
      [':authority', 'a'],
      ['content-length', '0'],
    ],
  ],
];

for (const [name, fields] of REFUSED) {
  test(`a request with ${name} is answered 400, the next is served`, async () => {
    const bad = frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block(fields));
    const frames = await talk(Buffer.concat([PREFACE, SETTINGS, bad, get(3)]), (seen) =>
      seen.some(({ type, id }) => type === Frame.DATA && id === 3),
    );
    const decoder = new HpackDecoder();
    const answers = frames
      .filter(({ type }) => type === Frame.HEADERS)
      .map(({ payload }) => {
        const seen: string[] = [];
        for (const { name, value } of decoder.decode(payload)) seen.push(`${name} ${value}`);
        return seen[0];
      });
    assert.deepEqual(answers, [':status 400', ':status 200']);
  });
}

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

test(`mutated connections are served or ended, and nothing else breaks (FUZZ_SEED=${seed})`, async () => {
  const random = seededRandom(seed);
  const good = Buffer.concat([
    PREFACE,
    SETTINGS,
    get(1),
    frame(Frame.HEADERS, 4, 3, REQUEST),
    frame(Frame.DATA, 1, 3, Buffer.from('body')),
    get(5),
  ]);
  for (let round = 0; round < 200; round += 1) {
    const bytes = Buffer.from(good);
    for (let n = 0; n < 3; n += 1)
      bytes[PREFACE.length + Math.floor(random() * (bytes.length - PREFACE.length))] = Math.floor(random() * 256);
    const end = frame(Frame.PING, 0, 0, Buffer.from('the end!'));
    // Whatever happens, the server says something: an answer to the PING, or GOAWAY; or the mutation swallowed the PING.
    await talk(
      Buffer.concat([bytes, end, times(2, () => frame(Frame.PING, 0, 0, Buffer.alloc(16_385)))]),
      (seen) => goAwayCode(seen) !== undefined,
    );
  }
});

test(`header blocks are read as they were written, and mutated ones refused or read (FUZZ_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  for (let round = 0; round < 5000; round += 1) {
    if (random() < 0.01) encoder.resize(Math.floor(random() * 6000));
    const fields = Array.from(
      { length: Math.floor(random() * 10) },
      () =>
        [
          `x-${Math.floor(random() * 20)}`,
          'v'.repeat(Math.floor(random() ** 3 * 400)) + Math.floor(random() * 5),
        ] as const,
    );
    encoder.begin();
    for (const [name, value] of fields) encoder.field(name, value);
    const bytes = Buffer.from(encoder.block.subarray(0, encoder.length));
    const read: (readonly [string, string])[] = [];
    for (const { name, value } of decoder.decode(bytes)) read.push([name, value]);
    assert.deepEqual(read, fields, `FUZZ_SEED=${seed}, round ${round}`);
    if (bytes.length === 0) continue;
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      new HpackDecoder().decode(bytes);
    } catch (error) {
      assert.equal((error as Error).name, 'Http2Error', `FUZZ_SEED=${seed}, round ${round}: ${String(error)}`);
    }
  }
});

test('Huffman text of the examples of RFC 7541 is read', () => {
  const read: string[] = [];
  const decoder = new HpackDecoder();
  for (const hex of [
    '828684418cf1e3c2e5f23a6ba0ab90f4ff',
    '828684be5886a8eb10649cbf',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
  ]) {
    for (const { name, value } of decoder.decode(Buffer.from(hex, 'hex'))) read.push(`${name} ${value}`);
  }
  assert.deepEqual(
    read.filter((text) => !text.startsWith(':method') && !text.startsWith(':scheme')),
    [
      ':path /',
      ':authority www.example.com',
      ':path /',
      ':authority www.example.com',
      'cache-control no-cache',
      ':path /index.html',
      ':authority www.example.com',
      'custom-key custom-value',
    ],
  );
  assert.throws(() => decoder.decode(Buffer.from('0085ffffffffff', 'hex')), /Huffman/);
});
