/** A response that a client may see. */
export type Answer = { readonly status: number; readonly body: string };

/**
 * What a server of HTTP/1 sends for one request, and what its client can only see of that. `means` absent: the response is refused, by 502
 * with a reason, or, where its head was sound, by an end that cannot be taken for that of the response.
 */
export type ResponseVector = {
  readonly name: string;
  readonly bytes: string; // latin1
  readonly method?: 'HEAD';
  /** The server ends the connection behind it. */
  readonly isClosing?: true;
  readonly means: Answer | undefined;
  /** The head is sound: the client sees it, and a part of the body. */
  readonly begins?: true;
};

/** Text that no client may see as a response, or as a part of one. */
export const SMUGGLED = 'smuggled';
/** What every server under test answers to a request for `/mark`. */
export const MARK = 'answer to /mark';
const ANOTHER = `HTTP/1.1 200 OK\r\ncontent-length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`;

const ok = (lines: string, rest: string): string =>
  `HTTP/1.1 200 OK\r\n${lines}${lines === '' ? '' : '\r\n'}\r\n${rest}`;
const chunked = (rest: string): string => ok('transfer-encoding: chunked', rest);
const HELLO = '5\r\nhello\r\n0\r\n\r\n';
const hello: Answer = { status: 200, body: 'hello' };

export const SOUND: readonly ResponseVector[] = [
  { name: 'a length', bytes: ok('content-length: 5', 'hello'), means: hello },
  { name: 'chunks', bytes: chunked(HELLO), means: hello },
  { name: 'chunks with extensions', bytes: chunked('5;a=b\r\nhello\r\n0;c="d"\r\n\r\n'), means: hello },
  { name: 'trailers', bytes: chunked('5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n'), means: hello },
  { name: 'a body that lasts until the end', bytes: ok('', 'hello'), isClosing: true, means: hello },
  { name: 'a response of HTTP/1.0', bytes: 'HTTP/1.0 200 OK\r\n\r\nhello', isClosing: true, means: hello },
  { name: 'no reason', bytes: 'HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello', means: hello },
  {
    name: 'hints before',
    bytes: `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${ok('content-length: 5', 'hello')}`,
    means: hello,
  },
  { name: 'no content', bytes: 'HTTP/1.1 204 No Content\r\n\r\n', means: { status: 204, body: '' } },
  {
    name: 'the length of what has not changed',
    bytes: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n',
    means: { status: 304, body: '' },
  },
  { name: 'the length for HEAD', method: 'HEAD', bytes: ok('content-length: 5', ''), means: { status: 200, body: '' } },
  {
    name: 'chunks for HEAD',
    method: 'HEAD',
    bytes: ok('transfer-encoding: chunked', ''),
    means: { status: 200, body: '' },
  },
];

/** What is left of these is dropped with the connection; it is nobody's answer. */
export const SURPLUS: readonly ResponseVector[] = [
  { name: 'another response', bytes: ok('content-length: 5', `hello${ANOTHER}`), means: hello },
  { name: 'another response behind chunks', bytes: chunked(`${HELLO}${ANOTHER}`), means: hello },
  {
    name: 'a body without content',
    bytes: `HTTP/1.1 204 No Content\r\n\r\n${ANOTHER}`,
    means: { status: 204, body: '' },
  },
  {
    name: 'a length and a body without content',
    bytes: `HTTP/1.1 204 No Content\r\ncontent-length: ${ANOTHER.length}\r\n\r\n${ANOTHER}`,
    means: { status: 204, body: '' },
  },
  {
    name: 'chunks without content',
    bytes: `HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n5\r\n${SMUGGLED}\r\n0\r\n\r\n${ANOTHER}`,
    means: { status: 204, body: '' },
  },
  {
    name: 'a body of what has not changed',
    bytes: `HTTP/1.1 304 Not Modified\r\ncontent-length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    means: { status: 304, body: '' },
  },
  {
    name: 'a body for HEAD',
    method: 'HEAD',
    bytes: ok(`content-length: ${ANOTHER.length}`, ANOTHER),
    means: { status: 200, body: '' },
  },
  {
    name: 'chunks and a body for HEAD',
    method: 'HEAD',
    bytes: chunked(`8\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    means: { status: 200, body: '' },
  },
];

const refused = (name: string, bytes: string, more: Partial<ResponseVector> = {}): ResponseVector => ({
  name,
  bytes,
  means: undefined,
  ...more,
});

const STATUS_LINES: readonly string[] = [
  'HTTP/2.0 200 OK',
  'HTTP/1.2 200 OK',
  'HTTP/0.9 200 OK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/1.1 099 OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.1\t200 OK',
  'HTTP/1.1 200\tOK',
  ' HTTP/1.1 200 OK',
  'HTTP /1.1 200 OK',
  'http/1.1 200 OK',
  'ICY 200 OK',
  'HTTP/1.1 200 O\0K',
  'HTTP/1.1 200 O\rK',
  'HTTP/1.1 +200 OK',
  'HTTP/1.1 2e2 OK',
  'GET / HTTP/1.1',
  '\r\nHTTP/1.1 200 OK',
  '\0',
];

const LENGTHS: readonly string[] = [
  '+5',
  '-5',
  '5, 5',
  '5, 6',
  '0x5',
  '5 5',
  '5.0',
  '',
  'five',
  '5;a=b',
  '\x0b5',
  '18446744073709551621',
  '99999999999999999999999',
];

const CODINGS: readonly string[] = [
  'identity',
  'xchunked',
  'chunked, chunked',
  'chunked, identity',
  'gzip, chunked',
  'chunked;a=b',
  '\x0bchunked',
  'chun ked',
  '"chunked"',
  'chunked,',
  '',
];

const FIELDS: readonly (readonly [string, string])[] = [
  ['a folded line', 'x-a: b\r\n c\r\ncontent-length: 5'],
  ['a folded length', 'content-length:\r\n 5'],
  ['a space before the colon', 'content-length : 5'],
  ['a space before the colon of the coding', 'content-length: 5\r\ntransfer-encoding : chunked'],
  ['a space before a name', 'x-a: b\r\n content-length: 5'],
  ['a line without colon', 'content-length: 5\r\nx-a'],
  ['an empty name', 'content-length: 5\r\n: x'],
  ['a name with a NUL', 'content-length: 5\r\nx\0a: b'],
  ['a value with a NUL', 'content-length: 5\r\nx-a: b\0c'],
  ['a value with a CR', 'content-length: 5\r\nx-a: b\rcontent-length: 0'],
  ['a line that ends with LF', 'content-length: 5\nx-a: b'],
  ['a coding that a LF hides', 'content-length: 5\r\nx-a: b\ntransfer-encoding: chunked'],
  ['a name with a bracket', 'content-length: 5\r\nx[a]: b'],
];

/** Behind a sound head. */
const CHUNKS: readonly (readonly [string, string])[] = [
  ['a chunk size that is no number', `g\r\nhello\r\n0\r\n\r\n`],
  ['an empty chunk size', `\r\nhello\r\n0\r\n\r\n`],
  ['a negative chunk size', `-5\r\nhello\r\n0\r\n\r\n`],
  ['a chunk size with 0x', `0x5\r\nhello\r\n0\r\n\r\n`],
  ['a space before a chunk size', ` 5\r\nhello\r\n0\r\n\r\n`],
  ['a huge chunk size', `fffffffffffffffff\r\nhello\r\n0\r\n\r\n`],
  ['a chunk size line that ends with LF', `5\nhello\r\n0\r\n\r\n`],
  ['a chunk size line with a CR', `5;a\rb\r\nhello\r\n0\r\n\r\n`],
  ['a chunk that is longer than its size', `3\r\nhello\r\n0\r\n\r\n`],
  ['a chunk that is shorter than its size', `6\r\nhello\r\n0\r\n\r\n`],
  ['a chunk that ends with LF', `5\r\nhello\n0\r\n\r\n`],
  ['an endless chunk extension', `5;${'a'.repeat(100_000)}\r\nhello\r\n0\r\n\r\n`],
  ['endless trailers', `5\r\nhello\r\n0\r\n${'x-a: b\r\n'.repeat(20_000)}\r\n`],
  ['a length among the trailers', `5\r\nhello\r\n0\r\ncontent-length: 0\r\n\r\n`],
  ['a coding among the trailers', `5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n`],
  ['a folded trailer', `5\r\nhello\r\n0\r\nx-a: b\r\n c\r\n\r\n`],
  ['a trailer with a LF', `5\r\nhello\r\n0\r\nx-a: b\nx-c: d\r\n\r\n`],
];

const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
const CLOSING = { isClosing: true } as const;
const BEGINS = { isClosing: true, begins: true } as const;

export const REFUSED: readonly ResponseVector[] = [
  ...STATUS_LINES.map((line) =>
    refused(`the status line ${JSON.stringify(line)}`, `${line}\r\ncontent-length: 5\r\n\r\nhello`, CLOSING),
  ),
  ...LENGTHS.map((value) =>
    refused(`the length ${JSON.stringify(value)}`, ok(`content-length: ${value}`, `hello${ANOTHER}`)),
  ),
  ...CODINGS.flatMap((value) => [
    refused(`the coding ${JSON.stringify(value)}`, ok(`transfer-encoding: ${value}`, HELLO), CLOSING),
    refused(
      `the coding ${JSON.stringify(value)} beside a length`,
      ok(`content-length: 5\r\ntransfer-encoding: ${value}`, `${HELLO}${ANOTHER}`),
    ),
  ]),
  ...FIELDS.map(([name, lines]) => refused(name, ok(lines, `hello${ANOTHER}`), CLOSING)),
  refused('chunks and a length', ok('transfer-encoding: chunked\r\ncontent-length: 5', `${HELLO}${ANOTHER}`)),
  refused('a length and chunks', ok('content-length: 5\r\ntransfer-encoding: chunked', `${HELLO}${ANOTHER}`)),
  refused('two codings', ok('transfer-encoding: chunked\r\ntransfer-encoding: chunked', HELLO), CLOSING),
  refused('two lengths', ok('content-length: 5\r\ncontent-length: 5', `hello${ANOTHER}`)),
  refused('two lengths that differ', ok('content-length: 5\r\ncontent-length: 0', `hello${ANOTHER}`)),
  refused('chunks of HTTP/1.0', `HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${HELLO}`, CLOSING),
  ...CHUNKS.map(([name, rest]) => refused(name, chunked(`${rest}${ANOTHER}`), BEGINS)),
  refused('no response', '', CLOSING),
  refused('half of a status line', 'HTTP/1.1 20', CLOSING),
  refused('half of a head', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n', CLOSING),
  refused('half of a body', ok('content-length: 5', 'he'), BEGINS),
  refused('a head and no body', ok('content-length: 5', ''), BEGINS),
  refused('no last chunk', chunked('5\r\nhello\r\n'), BEGINS),
  refused('half of a chunk', chunked('5\r\nhe'), BEGINS),
  refused('half of a chunk size', chunked('5'), BEGINS),
  refused('a chunk size above 32 bits', chunked('100000005\r\nhello\r\n0\r\n\r\n'), BEGINS),
  refused('half of the trailers', chunked('5\r\nhello\r\n0\r\nx-a: b\r\n'), BEGINS),
  refused('a switch of protocols that nobody asked for', `${SWITCH}${ANOTHER}`),
  refused('a switch of protocols to nothing', `HTTP/1.1 101 Switching Protocols\r\n\r\n${ANOTHER}`),
  refused('a switch of protocols for HEAD', `${SWITCH}${ANOTHER}`, { method: 'HEAD' }),
  refused('hints and nothing behind', 'HTTP/1.1 103 Early Hints\r\n\r\n', CLOSING),
  refused('hints with a body', `HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\nhello${ANOTHER}`),
  refused('a flood of hints', `${'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(10_000)}${ANOTHER}`),
  refused('a field of 100,000 bytes', ok(`content-length: 5\r\nx-a: ${'b'.repeat(100_000)}`, 'hello')),
  refused('1,000 fields', ok(`content-length: 5\r\n${'x-a: b\r\n'.repeat(1000)}x-a: b`, 'hello')),
  refused('a head without end', ok('x-a: b\r\n'.repeat(100_000), 'hello')),
  refused('no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n', CLOSING),
];
