import { Flag, Frame } from '../http2/frames.ts';
import { block, frame, uint32, type Fields } from '../testing/raw-http2.ts';
import { SMUGGLED, type Answer } from './response-vectors.ts';

/** What a server of HTTP/2 sends for one request, and what its client can only see of that; see `ResponseVector`. */
export type Http2ResponseVector = {
  readonly name: string;
  readonly frames: (id: number) => readonly Buffer[];
  readonly method?: 'HEAD';
  readonly means: Answer | undefined;
  readonly begins?: true;
  /** The server ends the connection behind it. */
  readonly isClosing?: true;
};

const OK: Fields = [[':status', '200']];
const HINTS: Fields = [
  [':status', '103'],
  ['link', '</a>'],
];
const hello: Answer = { status: 200, body: 'hello' };

const head = (id: number, fields: Fields): Buffer => frame(Frame.HEADERS, Flag.END_HEADERS, id, block(fields));
const last = (id: number, fields: Fields): Buffer =>
  frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id, block(fields));
const data = (id: number, text: string, isEnd = true): Buffer =>
  frame(Frame.DATA, isEnd ? Flag.END_STREAM : 0, id, Buffer.from(text, 'latin1'));

const sound = (
  name: string,
  frames: (id: number) => readonly Buffer[],
  means: Answer = hello,
  more: Partial<Http2ResponseVector> = {},
): Http2ResponseVector => ({ name, frames, means, ...more });

export const HTTP2_SOUND: readonly Http2ResponseVector[] = [
  sound('a body', (id) => [head(id, OK), data(id, 'hello')]),
  sound('a length', (id) => [head(id, [...OK, ['content-length', '5']]), data(id, 'hel', false), data(id, 'lo')]),
  sound('trailers', (id) => [head(id, OK), data(id, 'hello', false), last(id, [['x-sum', '1']])]),
  sound('hints before', (id) => [head(id, HINTS), head(id, HINTS), head(id, OK), data(id, 'hello')]),
  sound('no body', (id) => [last(id, OK)], { status: 200, body: '' }),
  sound('no content', (id) => [head(id, [[':status', '204']]), data(id, '')], { status: 204, body: '' }),
  sound(
    'the length of what has not changed',
    (id) => [
      last(id, [
        [':status', '304'],
        ['content-length', '5'],
      ]),
    ],
    {
      status: 304,
      body: '',
    },
  ),
  sound(
    'the length for HEAD',
    (id) => [last(id, [...OK, ['content-length', '5']])],
    { status: 200, body: '' },
    {
      method: 'HEAD',
    },
  ),
];

const refused = (
  name: string,
  frames: (id: number) => readonly Buffer[],
  more: Partial<Http2ResponseVector> = {},
): Http2ResponseVector => ({ name, frames, means: undefined, ...more });
const BEGINS = { begins: true } as const;

/** Heads, each before a body. */
const HEADS: readonly (readonly [string, Fields])[] = [
  ['no :status', [['x-a', 'b']]],
  ['no fields', []],
  ['two of :status', [...OK, ...OK]],
  ['a late :status', [['x-a', 'b'], ...OK]],
  ['a path', [...OK, [':path', '/']]],
  ['a method', [[':method', 'GET'], ...OK]],
  ['an unknown pseudo field', [...OK, [':reason', 'OK']]],
  ...['', '20', '2000', '099', '200 OK', '+200', '2e2', 'abc', '101', '200\r\nx: y', '000'].map(
    (status): [string, Fields] => [`the status ${JSON.stringify(status)}`, [[':status', status]]],
  ),
  ...(
    [
      ['connection', 'close'],
      ['keep-alive', 'timeout=5'],
      ['proxy-connection', 'close'],
      ['transfer-encoding', 'chunked'],
      ['upgrade', 'websocket'],
      ['X-A', 'b'],
      ['x a', 'b'],
      ['x-a:', 'b'],
      ['', 'b'],
      ['x-a\r\ncontent-length', '0'],
      ['x-a', 'b\r\ncontent-length: 0'],
      ['x-a', `b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n${SMUGGLED}`],
      ['x-a', 'b\nc'],
      ['x-a', 'b\0c'],
      ['content-length', ''],
      ['content-length', '+5'],
      ['content-length', '5, 5'],
      ['content-length', '0x5'],
      ['content-length', '99999999999999999999999'],
    ] as const
  ).map((field): [string, Fields] => [`the field ${JSON.stringify(field.join(': '))}`, [...OK, field]]),
  ['two lengths', [...OK, ['content-length', '5'], ['content-length', '5']]],
  ['1,000 fields', [...OK, ...Array.from({ length: 1000 }, (): [string, string] => ['x-a', 'b'])]],
];

const TRAILERS: readonly (readonly [string, string])[] = [
  [':status', '200'],
  [':path', '/'],
  ['content-length', '5'],
  ['transfer-encoding', 'chunked'],
  ['connection', 'close'],
  ['X-Sum', '1'],
  ['x-sum', `1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n${SMUGGLED}`],
];

export const HTTP2_REFUSED: readonly Http2ResponseVector[] = [
  ...HEADS.map(([name, fields]) => refused(name, (id) => [head(id, fields), data(id, SMUGGLED)])),
  ...HEADS.map(([name, fields]) => refused(`${name}, and no body`, (id) => [last(id, fields)])),
  ...TRAILERS.map(([name, value]) =>
    refused(
      `the trailer ${JSON.stringify(`${name}: ${value}`)}`,
      (id) => [head(id, OK), data(id, 'hello', false), last(id, [[name, value]])],
      BEGINS,
    ),
  ),
  refused(
    'trailers that do not end the stream',
    (id) => [head(id, OK), data(id, 'hello', false), head(id, [['x-sum', '1']])],
    BEGINS,
  ),
  refused('a body before the head', (id) => [data(id, SMUGGLED, false), head(id, OK), data(id, SMUGGLED)]),
  refused('a body and no head', (id) => [data(id, SMUGGLED)]),
  refused('an empty body and no head', (id) => [data(id, '')]),
  refused('hints and no head', (id) => [last(id, HINTS)]),
  refused('hints and a body', (id) => [head(id, HINTS), data(id, SMUGGLED)]),
  refused('a flood of hints', (id) => [
    ...Array.from({ length: 10_000 }, () => head(id, HINTS)),
    head(id, OK),
    data(id, SMUGGLED),
  ]),
  refused('less than the length', (id) => [head(id, [...OK, ['content-length', '50']]), data(id, 'hello')], BEGINS),
  refused('a length and no body', (id) => [last(id, [...OK, ['content-length', '5']])]),
  refused(
    'more than the length',
    (id) => [head(id, [...OK, ['content-length', '5']]), data(id, `hello${SMUGGLED}`)],
    BEGINS,
  ),
  refused(
    'more than the length, in pieces',
    (id) => [head(id, [...OK, ['content-length', '5']]), data(id, 'hello', false), data(id, SMUGGLED)],
    BEGINS,
  ),
  refused('a body without content', (id) => [head(id, [[':status', '204']]), data(id, SMUGGLED)], BEGINS),
  refused('a body of what has not changed', (id) => [head(id, [[':status', '304']]), data(id, SMUGGLED)], BEGINS),
  refused('a body for HEAD', (id) => [head(id, OK), data(id, SMUGGLED)], { ...BEGINS, method: 'HEAD' }),
  refused('a reset', (id) => [frame(Frame.RST_STREAM, 0, id, uint32(2))]),
  refused('a reset without error', (id) => [frame(Frame.RST_STREAM, 0, id, uint32(0))]),
  refused(
    'a reset in the body',
    (id) => [head(id, OK), data(id, 'he', false), frame(Frame.RST_STREAM, 0, id, uint32(2))],
    BEGINS,
  ),
  refused(
    'a reset without error in the body',
    (id) => [head(id, OK), data(id, 'he', false), frame(Frame.RST_STREAM, 0, id, uint32(0))],
    BEGINS,
  ),
  refused('a GOAWAY that denies the request', () => [frame(Frame.GOAWAY, 0, 0, Buffer.alloc(8))]),
  refused('an end of the connection', () => [], { isClosing: true }),
  refused('an end of the connection in the body', (id) => [head(id, OK), data(id, 'he', false)], {
    ...BEGINS,
    isClosing: true,
  }),
  refused('half of a frame', (id) => [head(id, OK), data(id, 'hello').subarray(0, 11)], { ...BEGINS, isClosing: true }),
  refused('half of a header block', (id) => [frame(Frame.HEADERS, Flag.END_STREAM, id, block(OK))], {
    isClosing: true,
  }),
  refused('an index in no table', (id) => [frame(Frame.HEADERS, 5, id, Buffer.from([0xff, 0x7f]))]),
  refused('a frame that is too long', (id) => [frame(Frame.DATA, 0, id, Buffer.alloc(20_000))]),
  refused('padding as long as the frame', (id) => [frame(Frame.HEADERS, 13, id, Buffer.from([9, 0x82]))]),
  refused('a push', (id) => [
    frame(
      Frame.PUSH_PROMISE,
      4,
      id,
      Buffer.concat([
        uint32(2),
        block([
          [':method', 'GET'],
          [':path', '/w'],
        ]),
      ]),
    ),
  ]),
  refused('a stream that the server opens', () => [last(2, OK)]),
  refused('a body on no stream', () => [data(0, SMUGGLED)]),
  refused('CONTINUATION of nothing', (id) => [frame(Frame.CONTINUATION, 4, id, block(OK))]),
  refused('another frame within a header block', (id) => [frame(Frame.HEADERS, 0, id, block(OK)), data(id, SMUGGLED)]),
  refused('a flood of CONTINUATION', (id) => [
    frame(Frame.HEADERS, 0, id, block(OK)),
    ...Array.from({ length: 10_000 }, () => frame(Frame.CONTINUATION, 0, id, block([['x-a', 'b']]))),
  ]),
];

/** Behind a whole response: it stands, and what follows is nobody's. */
export const HTTP2_SURPLUS: readonly Http2ResponseVector[] = [
  sound('a head', (id) => [head(id, OK), data(id, 'hello'), last(id, OK)]),
  sound('a body', (id) => [head(id, OK), data(id, 'hello'), data(id, SMUGGLED)]),
  sound('another response', (id) => [head(id, OK), data(id, 'hello'), head(id, OK), data(id, SMUGGLED)]),
  sound('a response on a stream to come', (id) => [
    head(id, OK),
    data(id, 'hello'),
    head(id + 2, OK),
    data(id + 2, SMUGGLED),
  ]),
  sound('a reset', (id) => [head(id, OK), data(id, 'hello'), frame(Frame.RST_STREAM, 0, id, uint32(2))]),
];
