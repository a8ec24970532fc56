/** A request that a message can only mean. */
export type Meaning = {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly body: string; // latin1
};

/**
 * Bytes of a client, and the requests that they can only mean. An application may see these, the first of them, or none: then
 * the rest was refused. It may never see anything else.
 */
export type Http1Vector = { readonly name: string; readonly bytes: string; readonly means: readonly Meaning[] };

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n';

const get = (path = '/v'): Meaning => ({ method: 'GET', path, host: 'web', body: '' });
const post = (body: string): Meaning => ({ method: 'POST', path: '/v', host: 'web', body });

/** A head of POST /v with these lines, and what follows it. */
const posted = (lines: string, rest: string): string => `POST /v HTTP/1.1\r\nHost: web\r\n${lines}\r\n\r\n${rest}`;
const chunked = (rest: string): string => posted('Transfer-Encoding: chunked', rest);

const HELLO = '5\r\nhello\r\n0\r\n\r\n';

/** Sound requests: they must arrive. */
export const SOUND: readonly Http1Vector[] = [
  { name: 'a GET', bytes: 'GET /v HTTP/1.1\r\nHost: web\r\n\r\n', means: [get()] },
  {
    name: 'two requests at once',
    bytes: 'GET /v HTTP/1.1\r\nHost: web\r\n\r\nGET /w HTTP/1.1\r\nHost: web\r\n\r\n',
    means: [get(), get('/w')],
  },
  {
    name: 'a request behind a body of known length',
    bytes: `${posted('Content-Length: 5', 'hello')}GET /w HTTP/1.1\r\nHost: web\r\n\r\n`,
    means: [post('hello'), get('/w')],
  },
  {
    name: 'a request behind a chunked body',
    bytes: `${chunked(HELLO)}GET /w HTTP/1.1\r\nHost: web\r\n\r\n`,
    means: [post('hello'), get('/w')],
  },
  {
    name: 'a request inside of a body',
    bytes: posted(`Content-Length: ${SMUGGLED.length}`, SMUGGLED),
    means: [post(SMUGGLED)],
  },
  {
    name: 'a length with spaces around',
    bytes: posted('Content-Length:  5  ', 'hello'),
    means: [post('hello')],
  },
  { name: 'a length with leading zeros', bytes: posted('Content-Length: 005', 'hello'), means: [post('hello')] },
  { name: 'CHUNKED', bytes: posted('TRANSFER-ENCODING: CHUNKED', HELLO), means: [post('hello')] },
  { name: 'a chunk extension', bytes: chunked('5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'), means: [post('hello')] },
  { name: 'chunk sizes with zeros', bytes: chunked('0005\r\nhello\r\n000\r\n\r\n'), means: [post('hello')] },
  { name: 'trailers', bytes: chunked('5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n'), means: [post('hello')] },
  {
    name: 'an empty line before the request',
    bytes: '\r\nGET /v HTTP/1.1\r\nHost: web\r\n\r\n',
    means: [get()],
  },
  {
    name: 'a target with authority',
    bytes: 'GET http://web/v HTTP/1.1\r\nHost: web\r\n\r\n',
    means: [get()],
  },
  {
    name: 'a GET with a body',
    bytes: 'GET /v HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello',
    means: [{ ...get(), body: 'hello' }],
  },
  {
    name: 'HTTP/1.0 without a length',
    bytes: `POST /v HTTP/1.0\r\nHost: web\r\n\r\n${SMUGGLED}`,
    means: [post('')],
  },
  {
    name: 'HTTP/1.0 that keeps alive',
    bytes: 'GET /v HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n',
    means: [get()],
  },
  {
    name: 'names with underscores',
    bytes: posted('Content_Length: 50\r\nTransfer_Encoding: chunked\r\nContent-Length: 5', 'hello'),
    means: [post('hello')],
  },
  {
    name: 'an Upgrade that nobody takes up',
    bytes: `GET /v HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: nothing\r\n\r\nGET /w HTTP/1.1\r\nHost: web\r\n\r\n`,
    means: [get(), get('/w')],
  },
  {
    name: 'an upgrade to h2c',
    bytes:
      'GET /v HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n',
    means: [get()],
  },
  {
    name: 'Connection names a field',
    bytes: `GET /v HTTP/1.1\r\nHost: web\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n`,
    means: [get()],
  },
];

/** What cannot be told apart in one way only: nothing of it may arrive. */
const TE_NAMES: readonly string[] = [
  'Transfer-Encoding ',
  'Transfer-Encoding\t',
  ' Transfer-Encoding',
  '\tTransfer-Encoding',
  'Transfer-Encoding\0',
  'Transfer-Encoding\x0b',
  'Transfer\0-Encoding',
  '\0Transfer-Encoding',
  'X: y\nTransfer-Encoding',
  'X: y\rTransfer-Encoding',
  'X: y\n\nTransfer-Encoding',
  'X:\r\n Transfer-Encoding',
  '"Transfer-Encoding"',
  'Transfer-Encoding\r',
];
const TE_VALUES: readonly string[] = [
  ' chunked, identity',
  ' identity, chunked',
  ' chunked, chunked',
  ' gzip, chunked',
  ' identity',
  ' chunked;q=1',
  ' "chunked"',
  ' xchunked',
  ' chunkedx',
  ' chunk',
  ' , chunked',
  ' chunked ,',
  '\x0bchunked',
  ' \x00chunked',
  ' chunked\0',
  ' chunked\x0b',
  ' \xa0chunked',
  '\r\n chunked',
  '\n chunked',
  '',
];
const LENGTHS: readonly string[] = [
  '5\r\nContent-Length: 5',
  '5\r\nContent-Length: 6',
  '5, 5',
  '5,6',
  '+5',
  '-5',
  '0x5',
  '5.0',
  '5e0',
  '5_0',
  '5 0',
  '5\0',
  '5;a',
  '"5"',
  '\x0b5',
  '5\r\n 0',
  '99999999999999999999',
  '18446744073709551621',
  '',
  '\xb2',
];

/** The usual smuggling body: a whole chunked body to one reader, a longer one to another. */
const DESYNC = `0\r\n\r\n${SMUGGLED}`;

const nothing = (name: string, bytes: string): Http1Vector => ({ name, bytes, means: [] });

const CHUNKS: readonly (readonly [string, string])[] = [
  ['a size with a space behind', `5 \r\nhello\r\n${DESYNC}`],
  ['a size with a space before', ` 5\r\nhello\r\n${DESYNC}`],
  ['a size with a tab', `5\t\r\nhello\r\n${DESYNC}`],
  ['a size with 0x', `0x5\r\nhello\r\n${DESYNC}`],
  ['a size with a sign', `+5\r\nhello\r\n${DESYNC}`],
  ['a negative size', `-1\r\n${DESYNC}`],
  ['a size beyond 64 bits', `10000000000000005\r\nhello\r\n${DESYNC}`],
  ['a size of many zeros', `${'0'.repeat(40)}5\r\nhello\r\n${DESYNC}`],
  ['a size with an underscore', `5_0\r\nhello\r\n${DESYNC}`],
  ['an empty size', `\r\nhello\r\n${DESYNC}`],
  ['a size line that ends in LF', `5\nhello\r\n${DESYNC}`],
  ['a size line that ends in CR', `5\rhello\r\n${DESYNC}`],
  ['a size line that ends in CR CR LF', `5\r\r\nhello\r\n${DESYNC}`],
  ['an extension with LF', `5;\nhello\r\n${DESYNC}`],
  ['an extension with CR', `5;a\rb\r\nhello\r\n${DESYNC}`],
  ['an extension with NUL', `5;a\0b\r\nhello\r\n${DESYNC}`],
  ['an extension with a quoted line end', `5;a="\r\n"\r\nhello\r\n${DESYNC}`],
  ['a comma behind a size', `5,5\r\nhello\r\n${DESYNC}`],
  ['a chunk that is longer than its size', `4\r\nhello\r\n${DESYNC}`],
  ['a chunk without its end', `5\r\nhello${DESYNC}`],
  ['a chunk that ends in LF', `5\r\nhello\n${DESYNC}`],
  ['a chunk that ends in CR', `5\r\nhello\r${DESYNC}`],
  ['a last chunk that ends in LF', `5\r\nhello\r\n0\n\r\n${SMUGGLED}`],
  ['an end of LF', `5\r\nhello\r\n0\r\n\n${SMUGGLED}`],
  ['a trailer that is folded', `5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n${SMUGGLED}`],
  ['a trailer without a colon', `5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n${SMUGGLED}`],
  ['a trailer with a space before its colon', `5\r\nhello\r\n0\r\nX : 1\r\n\r\n${SMUGGLED}`],
  ['a trailer that ends in LF', `5\r\nhello\r\n0\r\nX: 1\n\r\n${SMUGGLED}`],
  ['a trailer with CR', `5\r\nhello\r\n0\r\nX: 1\r2\r\n\r\n${SMUGGLED}`],
  ['a length among the trailers', `5\r\nhello\r\n0\r\nContent-Length: 100\r\n\r\n${SMUGGLED}`],
  ['a coding among the trailers', `5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED}`],
  ['a Host among the trailers', `5\r\nhello\r\n0\r\nHost: evil\r\n\r\n${SMUGGLED}`],
  ['an identity among the trailers', `5\r\nhello\r\n0\r\nl5d-client-id: evil\r\n\r\n${SMUGGLED}`],
  ['Connection among the trailers', `5\r\nhello\r\n0\r\nConnection: close\r\n\r\n${SMUGGLED}`],
];

const HEADS: readonly (readonly [string, string])[] = [
  ['lines that end in LF', 'GET /v HTTP/1.1\nHost: web\n\n'],
  ['one line that ends in LF', 'GET /v HTTP/1.1\r\nHost: web\nX: 1\r\n\r\n'],
  ['an end of LF LF', `GET /v HTTP/1.1\r\nHost: web\n\n${SMUGGLED}`],
  ['an end of CR LF LF', `GET /v HTTP/1.1\r\nHost: web\r\n\n${SMUGGLED}`],
  ['an end of LF CR LF', `GET /v HTTP/1.1\r\nHost: web\n\r\n${SMUGGLED}`],
  ['lines that end in CR', 'GET /v HTTP/1.1\rHost: web\r\r'],
  ['CR inside of a value', 'GET /v HTTP/1.1\r\nHost: web\r\nX: a\rHost: evil\r\n\r\n'],
  ['NUL inside of a value', 'GET /v HTTP/1.1\r\nHost: web\r\nX: a\0b\r\n\r\n'],
  ['a folded Host', 'GET /v HTTP/1.1\r\nHost: web\r\n .evil\r\n\r\n'],
  ['a field before the first line', ' X: 1\r\nGET /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a folded request line', 'GET /v HTTP/1.1\r\n Host: web\r\nHost: web\r\n\r\n'],
  ['a line without a colon', 'GET /v HTTP/1.1\r\nHost: web\r\nX\r\n\r\n'],
  ['a field without a name', 'GET /v HTTP/1.1\r\nHost: web\r\n: x\r\n\r\n'],
  ['no Host', 'GET /v HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'GET /v HTTP/1.1\r\nHost: web\r\nHost: evil\r\n\r\n'],
  ['two equal Hosts', 'GET /v HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n'],
  ['two Hosts in one', 'GET /v HTTP/1.1\r\nHost: web, evil\r\n\r\n'],
  ['a Host with a space', 'GET /v HTTP/1.1\r\nHost: web evil\r\n\r\n'],
  ['a Host with a path', 'GET /v HTTP/1.1\r\nHost: web/evil\r\n\r\n'],
  ['a Host with a user', 'GET /v HTTP/1.1\r\nHost: web@evil\r\n\r\n'],
  ['a Host with a fragment', 'GET /v HTTP/1.1\r\nHost: web#evil\r\n\r\n'],
  ['a Host with two ports', 'GET /v HTTP/1.1\r\nHost: web:80:81\r\n\r\n'],
  ['a Host with an escape', 'GET /v HTTP/1.1\r\nHost: w%65b\r\n\r\n'],
  ['a space before the colon of Host', 'GET /v HTTP/1.1\r\nHost : evil\r\nHost: web\r\n\r\n'],
  ['a target of another authority', 'GET http://evil/v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target with a user', 'GET http://web@evil/v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target with a back slash before its host', 'GET http:\\\\evil/v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target without a slash', 'GET v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target with a space', 'GET /v /w HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target with a tab', 'GET /v\t/w HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target with NUL', 'GET /v\0 HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a target with a fragment', 'GET /v#w HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a GET of *', 'GET * HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['two spaces', 'GET  /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['tabs between the words', 'GET\t/v\tHTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a space at the end of the line', 'GET /v HTTP/1.1 \r\nHost: web\r\n\r\n'],
  ['a space before the method', ' GET /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a method in lower case', 'get /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['a method with NUL', 'GE\0T /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['lower-case http', 'GET /v http/1.1\r\nHost: web\r\n\r\n'],
  ['HTTP/1.10', 'GET /v HTTP/1.10\r\nHost: web\r\n\r\n'],
  ['HTTP/01.1', 'GET /v HTTP/01.1\r\nHost: web\r\n\r\n'],
  ['HTTP/2.0', 'GET /v HTTP/2.0\r\nHost: web\r\n\r\n'],
  ['HTTP/1.1 with a plus', 'GET /v HTTP/+1.1\r\nHost: web\r\n\r\n'],
  ['two empty lines before the request', '\r\n\r\nGET /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['line feeds before the request', '\n\nGET /v HTTP/1.1\r\nHost: web\r\n\r\n'],
  ['Connection names Host', 'GET /v HTTP/1.1\r\nHost: web\r\nConnection: host\r\n\r\n'],
  ['Connection names the length', posted('Connection: content-length\r\nContent-Length: 5', 'hello')],
  ['Connection names the coding', posted('Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked', HELLO)],
  ['HTTP/1.0 with a coding', `POST /v HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n${DESYNC}`],
  ['a length and a coding', posted(`Content-Length: ${DESYNC.length}\r\nTransfer-Encoding: chunked`, DESYNC)],
  ['a coding and a length', posted(`Transfer-Encoding: chunked\r\nContent-Length: ${DESYNC.length}`, DESYNC)],
  ['a coding and no length', posted('Transfer-Encoding: chunked\r\nContent-Length: 0', DESYNC)],
];

export const REFUSED: readonly Http1Vector[] = [
  ...HEADS.map(([name, bytes]) => nothing(name, bytes)),
  ...TE_NAMES.map((name) =>
    nothing(
      `a coding by the name ${JSON.stringify(name)}`,
      posted(`Content-Length: ${DESYNC.length}\r\n${name}: chunked`, DESYNC),
    ),
  ),
  ...TE_VALUES.flatMap((value) => [
    nothing(
      `a coding of ${JSON.stringify(value)} beside a length`,
      posted(`Content-Length: ${DESYNC.length}\r\nTransfer-Encoding:${value}`, DESYNC),
    ),
    nothing(`a coding of ${JSON.stringify(value)}`, posted(`Transfer-Encoding:${value}`, DESYNC)),
    nothing(
      `a coding of ${JSON.stringify(value)} beside chunked`,
      posted(`Transfer-Encoding: chunked\r\nTransfer-Encoding:${value}`, DESYNC),
    ),
  ]),
  ...LENGTHS.map((value) =>
    nothing(`a length of ${JSON.stringify(value)}`, posted(`Content-Length: ${value}`, `hello${SMUGGLED}`)),
  ),
  ...CHUNKS.map(([name, rest]) => nothing(name, chunked(rest))),
];
