import type { Fields } from '../testing/raw-http2.ts';
import type { Meaning } from './http1-vectors.ts';

/**
 * One request of an HTTP/2 client as it stands in frames, and what it can only mean. Among those that are refused: what an application
 * may have understood before the rest was; nothing, where it must not arrive.
 */
export type Http2Vector = {
  readonly name: string;
  readonly fields: Fields;
  /** DATA frames; absent: HEADERS ends the stream. */
  readonly data?: readonly string[];
  readonly trailers?: Fields;
  readonly means: Meaning | undefined;
  /** An application that does not take it, though it should. */
  readonly refusedBy?: string;
};

const GET: Fields = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'web'],
  [':path', '/v'],
];
const POST: Fields = [[':method', 'POST'], ...GET.slice(1)];
const got: Meaning = { method: 'GET', path: '/v', host: 'web', body: '' };
const posted = (body: string): Meaning => ({ method: 'POST', path: '/v', host: 'web', body });
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n';
const LINES = `\r\n\r\n${SMUGGLED}`;

/** GET with one pseudo field changed. */
const having = (name: string, value: string): Fields => GET.map(([n, v]) => [n, n === name ? value : v]);
const without = (name: string): Fields => GET.filter(([n]) => n !== name);

export const SOUND: readonly Http2Vector[] = [
  { name: 'a GET', fields: GET, means: got },
  { name: 'a POST', fields: POST, data: ['hel', 'lo'], means: posted('hello') },
  {
    name: 'a POST with a length',
    fields: [...POST, ['content-length', '5']],
    data: ['hello'],
    means: posted('hello'),
  },
  {
    name: 'a POST with trailers',
    fields: POST,
    data: ['hello'],
    trailers: [['x-sum', '1']],
    means: posted('hello'),
    refusedBy: 'nginx',
  },
  { name: 'a request inside of a body', fields: POST, data: [SMUGGLED], means: posted(SMUGGLED) },
  {
    name: 'a chunked body inside of a body',
    fields: POST,
    data: [`0\r\n\r\n${SMUGGLED}`],
    means: posted(`0\r\n\r\n${SMUGGLED}`),
  },
  { name: 'a host equal to the authority', fields: [...GET, ['host', 'web']], means: got },
  { name: 'a host instead of the authority', fields: [...without(':authority'), ['host', 'web']], means: got },
  { name: 'te: trailers', fields: [...GET, ['te', 'trailers']], means: got },
  { name: 'a field with a colon in its value', fields: [...GET, ['x-a', 'b: c']], means: got },
  {
    name: 'names with underscores',
    fields: [...GET, ['content_length', '50'], ['transfer_encoding', 'chunked']],
    means: got,
  },
];

const refused = (name: string, fields: Fields, rest: Partial<Http2Vector> = {}): Http2Vector => ({
  name,
  fields,
  means: undefined,
  ...rest,
});

const CONNECTION: Fields = [
  ['connection', 'close'],
  ['connection', 'host'],
  ['keep-alive', 'timeout=5'],
  ['proxy-connection', 'keep-alive'],
  ['transfer-encoding', 'chunked'],
  ['transfer-encoding', 'identity'],
  ['upgrade', 'websocket'],
  ['te', 'chunked'],
  ['te', 'trailers, chunked'],
];

const NAMES: readonly string[] = [
  'X-A',
  'Transfer-Encoding',
  'x-a ',
  ' x-a',
  'x a',
  'x-a:',
  'x\ta',
  'x-a\r\ntransfer-encoding',
  'x-a\ntransfer-encoding',
  'x-a: b\r\nhost',
  'x\0a',
  'x\x7fa',
  'x\x80a',
  '',
  ':x-a',
  ':status',
  ':protocol',
];

const VALUES: readonly string[] = [
  `b${LINES}`,
  'b\r\ntransfer-encoding: chunked',
  'b\nhost: evil',
  'b\rhost: evil',
  'b\0c',
  'b\x0bc',
  'b\x7f',
  '\r\n',
];

const PATHS: readonly string[] = [
  '',
  'v',
  'http://evil/v',
  '/v HTTP/1.1',
  `/v HTTP/1.1${LINES}`,
  '/v\r\nhost: evil',
  '/v\nx: y',
  '/v\0',
  '/v\tx',
  '/v\x7f',
  '/v#w',
  '*',
  ' /v',
];

const AUTHORITIES: readonly string[] = [
  '',
  'web evil',
  'web/evil',
  'web@evil',
  'web#evil',
  'web:80:81',
  'w%65b',
  'web\r\nx: y',
  'web\nx: y',
  'web\0',
  'web, evil',
  '[::1',
];

const METHODS: readonly string[] = [
  '',
  'GET /smuggled HTTP/1.1\r\nhost: web\r\n\r\nGET',
  'GET ',
  'G\0T',
  'GET\n',
  'CONNECT',
  'get',
  'Post',
];

const TRAILERS: Fields = [
  [':protocol', 'websocket'],
  [':path', '/w'],
  ['content-length', '100'],
  ['transfer-encoding', 'chunked'],
  ['host', 'evil'],
  ['connection', 'close'],
  ['x-a', `b${LINES}`],
  ['x-a\r\nhost', 'evil'],
];

/** An extended CONNECT (RFC 8441). */
const extended = (protocol: string, path = '/v'): Fields => [
  [':method', 'CONNECT'],
  [':protocol', protocol],
  [':scheme', 'http'],
  [':authority', 'web'],
  [':path', path],
];
const WEBSOCKET = extended('websocket');
const PROTOCOLS: readonly string[] = [
  '',
  'web socket',
  'websocket\r\nx: y',
  'websocket/',
  'a/b/c',
  'websocket, h2c',
  'w\0',
];

export const REFUSED: readonly Http2Vector[] = [
  ...CONNECTION.map(([name, value]) => refused(`${name}: ${value}`, [...GET, [name, value]])),
  ...NAMES.map((name) => refused(`a field by the name ${JSON.stringify(name)}`, [...GET, [name, 'chunked']])),
  ...VALUES.map((value) => refused(`a field with the value ${JSON.stringify(value)}`, [...GET, ['x-a', value]])),
  ...PATHS.map((path) => refused(`the path ${JSON.stringify(path)}`, having(':path', path))),
  ...AUTHORITIES.map((host) => refused(`the authority ${JSON.stringify(host)}`, having(':authority', host))),
  ...METHODS.map((method) => refused(`the method ${JSON.stringify(method)}`, having(':method', method))),
  ...[':method', ':scheme', ':authority', ':path'].map((name) => refused(`no ${name}`, without(name))),
  ...GET.map(([name, value]) => refused(`two of ${name}`, [...GET, [name, value]])),
  ...GET.map(([name, value]) => refused(`a late ${name}`, [...without(name), ['x-a', 'b'], [name, value]])),
  refused('a protocol without CONNECT', [...GET, [':protocol', 'websocket']]),
  refused('a protocol of POST', [[':protocol', 'websocket'], ...POST], { data: [SMUGGLED] }),
  refused('a protocol among the fields', [...GET, ['x-a', 'b'], [':protocol', 'websocket']]),
  ...[':scheme', ':authority', ':path'].map((name) =>
    refused(
      `an extended CONNECT without ${name}`,
      WEBSOCKET.filter(([one]) => one !== name),
      { data: [SMUGGLED] },
    ),
  ),
  ...PROTOCOLS.map((protocol) =>
    refused(`the protocol ${JSON.stringify(protocol)}`, extended(protocol), { data: [SMUGGLED] }),
  ),
  ...PATHS.map((path) => refused(`an extended CONNECT to ${JSON.stringify(path)}`, extended('websocket', path))),
  refused('two protocols', [...WEBSOCKET.slice(0, 2), ...WEBSOCKET.slice(1)], { data: [SMUGGLED] }),
  refused('an extended CONNECT with a length', [...WEBSOCKET, ['content-length', '5']], { data: ['hello'] }),
  refused('an extended CONNECT with chunks', [...WEBSOCKET, ['transfer-encoding', 'chunked']], { data: [SMUGGLED] }),
  refused('an extended CONNECT with Upgrade', [...WEBSOCKET, ['upgrade', 'websocket']], { data: [SMUGGLED] }),
  refused('CONNECT with a path', [...WEBSOCKET.slice(0, 1), ...WEBSOCKET.slice(2)], { data: [SMUGGLED] }),
  refused('another host', [...GET, ['host', 'evil']]),
  refused('two hosts', [...GET, ['host', 'web'], ['host', 'web']]),
  refused('a host with lines', [...without(':authority'), ['host', 'web\r\nx: y']]),
  refused('a scheme with lines', having(':scheme', 'http\r\nx: y')),
  refused('two lengths', [...POST, ['content-length', '5'], ['content-length', '5']], { data: ['hello'] }),
  refused('two lengths that differ', [...POST, ['content-length', '5'], ['content-length', '6']], { data: ['hello'] }),
  refused('a length with a sign', [...POST, ['content-length', '+5']], { data: ['hello'] }),
  refused('a length of two', [...POST, ['content-length', '5, 5']], { data: ['hello'] }),
  refused('an empty length', [...POST, ['content-length', '']], { data: ['hello'] }),
  refused('a length with a space', [...POST, ['content-length', ' 5']], { data: ['hello'] }),
  refused('more than the length', [...POST, ['content-length', '0']], { data: [SMUGGLED] }),
  // With so many bytes the request is complete for an application of HTTP/1.
  refused('more than the length, in pieces', [...POST, ['content-length', '5']], {
    data: ['hello', SMUGGLED],
    means: posted('hello'),
  }),
  refused('less than the length', [...POST, ['content-length', '50']], { data: ['hello'] }),
  refused('less than the length before trailers', [...POST, ['content-length', '50']], {
    data: ['hello'],
    trailers: [['x-sum', '1']],
  }),
  refused('a length and no body', [...POST, ['content-length', '5']]),
  ...TRAILERS.map(([name, value]) =>
    refused(`a trailer ${JSON.stringify(`${name}: ${value}`)}`, POST, { data: ['hello'], trailers: [[name, value]] }),
  ),
];
