import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { constants, deflateRawSync } from 'node:zlib';
import { WebSocketServer } from 'ws';
import { identityOf, meshed, TestApp, TestMesh, unmeshed } from '../testing/mesh.ts';

// First octets of frames (RFC 6455, section 5.2): 0x80 ends a message, 0x70 is reserved, the rest is the opcode.
const TEXT = 0x81;
const BINARY = 0x82;
const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;
const FIRST_TEXT = 0x01;
const NEXT = 0x00;
const LAST = 0x80;
const DEFLATED = 0x40; // RFC 7692

const MIB = 1024 * 1024;
const MAX_MESSAGE_BYTES = 8 * MIB;
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
/** Ends what every case sends; what comes after an error or a close is no news. */
const GOODBYE = frame(CLOSE, status(1000));

type Sent = Buffer | 'end' | 'reset';

type Case = {
  readonly name: string;
  /** What the client sends once switched, each a write of its own. */
  readonly sent: readonly Sent[];
  /** In the close frame of the server; undefined: it sends none. */
  readonly closes: number | undefined;
  /** Of the handshake. */
  readonly fields?: string;
  /** Octets of a write; what is sent is one run of octets then. */
  readonly pieceBytes?: number;
  /** Sent with the handshake, without awaiting its answer. */
  readonly isEarly?: boolean;
};

/** A frame of a client; one without mask is an error. `extended` forces the octets of its length. */
function frame(first: number, payload: Buffer | string = '', isMasked = true, extended?: 2 | 8): Buffer {
  const bytes = Buffer.from(payload);
  const octets = extended ?? (bytes.length < 126 ? 0 : bytes.length < 65_536 ? 2 : 8);
  const head = Buffer.alloc(2 + octets);
  head[0] = first;
  head[1] = (isMasked ? 0x80 : 0) | (octets === 0 ? bytes.length : octets === 2 ? 126 : 127);
  if (octets > 0) head.writeUIntBE(bytes.length, octets === 2 ? 2 : 4, octets === 2 ? 2 : 6);
  if (!isMasked) return Buffer.concat([head, bytes]);
  for (let n = 0; n < bytes.length; n += 1) bytes[n] = (bytes[n] ?? 0) ^ (MASK[n & 3] ?? 0);
  return Buffer.concat([head, MASK, bytes]);
}

function status(code: number, reason: Buffer | string = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
}

/** Octets that neither repeat soon nor are text. */
function octets(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let n = 0, state = 1; n < length; n += 1)
    bytes[n] = (state = (Math.imul(state, 1_103_515_245) + 12_345) | 0) >>> 16;
  return bytes;
}

function deflated(text: string, windowBits = 15): Buffer {
  const bytes = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH, windowBits });
  return bytes.subarray(0, -4); // the empty block, which is understood
}

const VALID_UTF8 = [
  'ceba e1bdb9 cf83 cebc ceb5', '00', 'c280', 'e0a080', 'f0908080', '7f', 'dfbf', 'efbfbf', 'f48fbfbf', 'ed9fbf',
  'ee8080', 'efbfbd', 'efb790', 'f09fbfbe',
]; // prettier-ignore
const INVALID_UTF8 = [
  // Continuations alone, beginnings alone, cut short
  '80', 'bf', '8080', 'c220', 'c2', 'e0a0', 'f09080', 'e0a020', 'f0908020',
  // Longer than need be, surrogates, beyond U+10FFFF, octets that never occur
  'c080', 'c1bf', 'e08080', 'e09fbf', 'f0808080', 'f08fbfbf', 'eda080', 'edbfbf', 'eda080edb080', 'f4908080', 'f8888080 80',
  'fc8480808080', 'fe', 'ff', 'cebae1bdb9cf83cebcceb5eda080656469746564',
]; // prettier-ignore

const DEFLATE = 'sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n';
const HELLO = frame(TEXT, 'hello');

function* cases(): Generator<Case> {
  function of(name: string, closes: number | undefined, ...sent: readonly Sent[]): Case {
    return { name, closes, sent };
  }
  for (const length of [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537]) {
    yield of(`text of ${length}`, 1000, frame(TEXT, '*'.repeat(length)));
    yield of(`binary of ${length}`, 1000, frame(BINARY, octets(length)));
    if (length < 200)
      yield { ...of(`text of ${length} octet by octet`, 1000, frame(TEXT, '*'.repeat(length))), pieceBytes: 1 };
  }
  yield of('lengths longer than need be', 1000, frame(TEXT, 'two', true, 2), frame(TEXT, 'eight', true, 8));
  yield of('length beyond 2^53', 1009, Buffer.from('82ff8000000000000000', 'hex'), MASK);
  yield of('no mask', 1002, HELLO, frame(TEXT, 'bare', false));

  for (const length of [0, 5, 125]) yield of(`ping of ${length}`, 1000, frame(PING, octets(length)));
  yield { ...of('ping octet by octet', 1000, frame(PING, octets(125))), pieceBytes: 1 };
  yield of('ping of 126', 1002, frame(PING, octets(126)), HELLO);
  yield of('pong of 126', 1002, frame(PONG, octets(126)), HELLO);
  yield of('pongs unasked, ping', 1000, frame(PONG), frame(PONG, 'unasked'), frame(PING, 'asked'));
  const pings = Array.from({ length: 10 }, (_, n) => frame(PING, `ping ${n}`));
  yield of('10 pings', 1000, ...pings);
  yield of('10 pings in a write', 1000, Buffer.concat(pings));
  yield { ...of('10 pings octet by octet', 1000, ...pings), pieceBytes: 1 };

  for (let bits = 0x10; bits <= 0x70; bits += 0x10) {
    yield of(`reserved bits ${bits} of text`, 1002, HELLO, frame(TEXT | bits, 'hello'), frame(PING));
    yield of(`reserved bits ${bits} of ping`, 1002, HELLO, frame(PING | bits, 'hello'), HELLO);
  }
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
    yield of(`opcode ${opcode}`, 1002, HELLO, frame(0x80 | opcode), frame(PING));
    yield { ...of(`opcode ${opcode} octet by octet`, 1002, HELLO, frame(0x80 | opcode, 'x')), pieceBytes: 1 };
  }

  const inParts = [frame(FIRST_TEXT, 'one '), frame(NEXT), frame(NEXT, 'two '), frame(LAST, 'three')];
  yield of('text in parts', 1000, ...inParts);
  yield of('text in parts in a write', 1000, Buffer.concat(inParts));
  yield { ...of('text in parts octet by octet', 1000, ...inParts), pieceBytes: 1 };
  yield of('parts of nothing', 1000, frame(FIRST_TEXT), frame(NEXT), frame(LAST));
  yield of('pings between parts', 1000, ...inParts.flatMap((part) => [frame(PING, 'between'), part]));
  yield of('ping in parts', 1002, frame(PING & 0x0f, 'a'), frame(LAST, 'b'));
  yield of('close between parts', 1000, frame(FIRST_TEXT, 'one'), GOODBYE, frame(LAST, 'two'));
  yield of('next without first', 1002, frame(NEXT, 'x'), HELLO);
  yield of('last without first', 1002, frame(LAST, 'x'), HELLO);
  yield of('next after last', 1002, ...inParts, frame(NEXT, 'x'), HELLO);
  yield of('first within a message', 1002, frame(FIRST_TEXT, 'one'), frame(FIRST_TEXT, 'two'), frame(LAST, 'three'));
  yield of('text within a message', 1002, frame(FIRST_TEXT, 'one'), HELLO);

  for (const [texts, closes] of [
    [VALID_UTF8, 1000],
    [INVALID_UTF8, 1007],
  ] as const) {
    // prettier-ignore
    for (const hex of texts) {
      const text = Buffer.from(hex.replaceAll(' ', ''), 'hex');
      yield of(`text ${hex}`, closes, HELLO, frame(TEXT, text), HELLO);
      yield { ...of(`text ${hex} octet by octet`, closes, frame(TEXT, text), HELLO), pieceBytes: 1 };
      const each = Array.from(text, (_, n) => frame(n === 0 ? FIRST_TEXT : NEXT, text.subarray(n, n + 1)));
      yield of(`text ${hex} in frames of an octet`, closes, ...each, frame(LAST), HELLO);
      yield of(`reason ${hex}`, closes, frame(CLOSE, status(1000, text)));
    }
  }

  yield of('close of nothing', undefined, frame(CLOSE));
  yield of('close of 1 octet', 1002, frame(CLOSE, 'x'));
  yield of('close of 125', 1000, frame(CLOSE, status(1000, '*'.repeat(123))));
  yield of('close of 126', 1002, frame(CLOSE, status(1000, '*'.repeat(124))));
  yield { ...of('close octet by octet', 1000, frame(CLOSE, status(1000, 'reason'))), pieceBytes: 1 };
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
    yield of(`close ${code}`, code, frame(CLOSE, status(code)));
    yield of(`close ${code} for a reason`, code, HELLO, frame(CLOSE, status(code, 'reason')));
  }
  for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
    yield of(`close ${code}`, 1002, HELLO, frame(CLOSE, status(code, 'reason')));
  yield of('second close', 3000, frame(CLOSE, status(3000)), frame(CLOSE, status(3001)));
  yield of('data after close', 3000, frame(CLOSE, status(3000)), HELLO, frame(PING), frame(BINARY, octets(256 * 1024)));
  yield of('data after close in a write', 3000, Buffer.concat([HELLO, frame(CLOSE, status(3000)), HELLO, frame(PING)]));
  yield of('close by the server', 4000, frame(TEXT, 'close'));
  yield of('end by the server', undefined, frame(TEXT, 'end'));
  yield of('reset by the server', undefined, frame(TEXT, 'reset'));
  yield of('end at once', undefined, 'end');
  yield of('end after a message', undefined, HELLO, 'end');
  yield of('end within a message', undefined, HELLO, frame(FIRST_TEXT, 'one'), 'end');
  yield of('end within a frame', undefined, HELLO, frame(TEXT, 'two').subarray(0, -1), 'end');
  yield of('end with the close', 1000, HELLO, GOODBYE, 'end');
  yield of('reset at once', undefined, 'reset');
  yield of('reset within a message', undefined, HELLO, frame(FIRST_TEXT, 'one'), 'reset');

  for (const length of [MIB, MAX_MESSAGE_BYTES]) {
    const message = frame(BINARY, octets(length));
    const parts = Array.from({ length: length / 65_536 }, (_, n) =>
      frame(n === 0 ? 0x02 : n === length / 65_536 - 1 ? LAST : NEXT, octets(65_536)),
    );
    yield of(`message of ${length}`, 1000, message);
    yield { ...of(`message of ${length} in 64 KiB`, 1000, message), pieceBytes: 65_536 };
    yield { ...of(`message of ${length} in 997 octets`, 1000, message), pieceBytes: 997 };
    yield of(`message of ${length} in parts`, 1000, ...parts);
  }
  yield of('message beyond the bound', 1009, frame(BINARY, octets(MAX_MESSAGE_BYTES + 1)));

  for (const length of [0, 16, 1024, 65_536, MIB]) {
    const text = 'deflated '.repeat(length / 9 + 1).slice(0, length);
    const message = frame(TEXT | DEFLATED, deflated(text));
    yield { ...of(`deflated ${length}`, 1000, message, HELLO, message), fields: DEFLATE };
    yield {
      ...of(`deflated ${length} octet by octet`, 1000, message),
      fields: DEFLATE,
      pieceBytes: length > 65_536 ? 97 : 1,
    };
  }
  const text = deflated('in parts '.repeat(100));
  const first = frame(FIRST_TEXT | DEFLATED, text.subarray(0, 7));
  const noContext = DEFLATE.replace('\r\n', '; server_no_context_takeover; client_no_context_takeover\r\n');
  const small = DEFLATE.replace('\r\n', '=9; server_max_window_bits=9\r\n');
  yield { ...of('deflated in parts', 1000, first, frame(PING), frame(LAST, text.subarray(7))), fields: DEFLATE };
  yield { ...of('deflated in turn', 1002, first, frame(LAST | DEFLATED, text.subarray(7))), fields: DEFLATE };
  yield { ...of('deflated ping', 1002, frame(PING | DEFLATED, 'x')), fields: DEFLATE };
  yield { ...of('not deflated', 1007, frame(TEXT | DEFLATED, octets(200))), fields: DEFLATE };
  yield { ...of('no context', 1000, ...Array<Buffer>(3).fill(frame(0xc1, text))), fields: noContext };
  yield { ...of('small window', 1000, frame(0xc1, deflated('window'.repeat(999), 9))), fields: small };
  yield { ...of('subprotocols', 1000, HELLO), fields: 'sec-websocket-protocol: other.v2, chat.v1\r\n' };
  yield { ...of('unknown extension', 1000, HELLO), fields: 'sec-websocket-extensions: x-unknown; a="b"\r\n' };
  yield { ...of('refused extension', undefined), fields: 'sec-websocket-extensions: permessage-deflate; x=1\r\n' };
  yield { ...of('refused version', undefined), fields: 'sec-websocket-version: 7\r\n' };
  yield { ...of('refused', undefined), fields: 'x-refuse: 401\r\n' };
  yield { ...of('early frames', 1000, HELLO, frame(PING, 'early')), isEarly: true };
  yield { ...of('early message of a MiB', 1000, frame(BINARY, octets(MIB))), isEarly: true };
  yield { ...of('early end', undefined, HELLO, 'end'), isEarly: true };
}

/** What a client sees of a case: the answer to its handshake, each frame, and how the connection ends. */
async function converse(port: number, path: string, tried: Case): Promise<readonly string[]> {
  const received: Buffer[] = [];
  const switched = Promise.withResolvers<boolean>();
  const ended = Promise.withResolvers<string>();
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.setTimeout(10_000, () => socket.destroy(new Error('silent')));
  socket.on('data', (bytes: Buffer) => {
    received.push(bytes);
    // Once is enough: what is asked is whether the answer switches.
    if (received.length === 1) switched.resolve(bytes.toString('latin1').startsWith('HTTP/1.1 101 '));
  });
  socket.on('end', () => ended.resolve('end'));
  socket.on('error', (error) => ended.resolve(error.message));
  socket.on('close', () => {
    ended.resolve('gone');
    switched.resolve(false);
  });
  const write = (bytes: Buffer | string): Promise<void> =>
    new Promise((resolve) => void socket.write(bytes, () => resolve()));
  const version = tried.fields?.includes('-version:') === true ? '' : 'sec-websocket-version: 13\r\n';
  const head = `GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${version}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${tried.fields ?? ''}\r\n`;
  const isLast = tried.sent.includes('end') || tried.sent.includes('reset');
  let sent: readonly Sent[] = isLast ? tried.sent : [...tried.sent, GOODBYE];
  if (tried.pieceBytes !== undefined) {
    const { pieceBytes } = tried;
    const whole = Buffer.concat(sent.filter((piece) => typeof piece !== 'string'));
    sent = Array.from({ length: Math.ceil(whole.length / pieceBytes) }, (_, n) =>
      whole.subarray(n * pieceBytes, (n + 1) * pieceBytes),
    );
  }
  if (tried.isEarly === true) {
    const early = sent.filter((piece) => typeof piece !== 'string');
    await write(Buffer.concat([Buffer.from(head), ...early]));
    if (isLast) socket.end();
  } else await write(head);
  // Whether a connection whose handshake is refused serves further requests is for each hop to say.
  if (!(await switched.promise)) socket.end();
  else if (tried.isEarly !== true) {
    for (const piece of sent) {
      if (piece === 'end') socket.end();
      else if (piece === 'reset') socket.resetAndDestroy();
      else if (socket.writable) await write(piece);
      await setImmediate(); // whoever reads gets what was written so far
    }
  }
  const how = await ended.promise;
  socket.end();
  const seen = transcript(Buffer.concat(received));
  // Of a reset only the server can tell.
  return tried.sent.includes('reset') ? [] : [...seen, how];
}

function transcript(bytes: Buffer): string[] {
  const end = bytes.indexOf('\r\n\r\n');
  const [first = '', ...fields] = bytes.toString('latin1', 0, end).split('\r\n');
  const seen = [
    first.slice(0, 12),
    ...fields.map((line) => line.toLowerCase()).filter((line) => line.startsWith('sec-')),
  ];
  if (seen[0] !== 'HTTP/1.1 101') return seen;
  for (let at = end + 4; at < bytes.length;) {
    const short = bytes.readUInt8(at + 1);
    const start = at + 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? bytes.readUIntBE(at + 4, 6) : short;
    const payload = bytes.subarray(start, start + length);
    const code = bytes[at] === CLOSE && length > 1 ? payload.readUInt16BE() : '';
    const hash = createHash('sha256').update(payload).digest('hex');
    seen.push(`${bytes.toString('hex', at, at + 1)} ${payload.length}/${length} ${code} ${hash}`);
    at = start + length;
  }
  return seen;
}

test('a WebSocket behind proxies has the verdict of one without', { timeout: 60_000 }, async () => {
  const ends = new Map<string, (end: string) => void>();
  const clients = new Set<string>();
  const http = createServer();
  const sockets = new WebSocketServer({
    server: http,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: { threshold: 0 },
    verifyClient: ({ req }, accept) => accept(req.headers['x-refuse'] === undefined, 401),
    handleProtocols: (offered) => offered.has('chat.v1') && 'chat.v1',
  });
  sockets.on('connection', (socket, request) => {
    clients.add(`${request.url} of ${String(request.headers['l5d-client-id'])}`);
    socket.on('error', () => {}); // its code is in the close
    socket.on('close', (code, reason) => ends.get(request.url ?? '')?.(`${code} ${reason.toString('hex')}`));
    socket.on('message', (data: Buffer, isBinary) => {
      const command = data.length < 6 ? data.toString() : '';
      if (command === 'close') socket.close(4000, 'as told');
      else if (command === 'end') socket.terminate();
      else if (command === 'reset') request.socket.resetAndDestroy();
      else socket.send(data, { binary: isBinary });
    });
    socket.send('first');
  });
  await using mesh = await TestMesh.start();
  using app = await TestApp.start(http);
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  const table = [...cases()];
  const expected = new Map<Case, readonly string[]>();
  const converseAll = async (path: string, port: number): Promise<void> => {
    const differing: unknown[] = [];
    for (const one of table) {
      const end = Promise.withResolvers<string>();
      ends.set(path, end.resolve);
      const seen = [...(await converse(port, path, one))];
      if (seen[0]?.endsWith(' 101') !== false) seen.push(await end.promise);
      const direct = expected.get(one) ?? seen;
      expected.set(one, direct);
      const close = direct.find((line) => line.startsWith('88 '));
      const code = Number(close?.split(' ')[2]);
      assert.equal(code > 0 ? code : undefined, one.closes, `${one.name}: ${JSON.stringify(direct)}`);
      if (JSON.stringify(seen) !== JSON.stringify(direct)) differing.push({ name: one.name, direct, seen });
    }
    assert.deepEqual(differing, []);
  };
  assert.ok(table.length > 300);
  await converseAll('/direct', app.port);
  mesh.servePort(91, [meshed('web', app.port, server)], false);
  await converseAll('/pair', client.outboundPort);
  mesh.servePort(92, [unmeshed(app.port)], false);
  await converseAll('/alone', client.outboundPort);
  assert.deepEqual([...clients].sort(), [
    '/alone of undefined',
    '/direct of undefined',
    `/pair of ${identityOf('client')}`,
  ]);
});
