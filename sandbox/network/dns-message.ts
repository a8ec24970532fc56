import { addressBytes, be16, be32 } from '#netlink/bytes.ts';

/** DNS messages (RFC 1035, EDNS RFC 6891): queries in, responses out. Reading never throws, whatever the bytes. */

export const TYPE = {
  a: 1,
  cname: 5,
  soa: 6,
  ptr: 12,
  txt: 16,
  aaaa: 28,
  srv: 33,
  opt: 41,
  axfr: 252,
  any: 255,
} as const;
export const RCODE = { ok: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5, badVersion: 16 } as const;
const CLASS_IN = 1;
const CLASS_ANY = 255;

/** Labels in lower case, outermost last: `['web', 'shop', 'svc', 'cluster', 'local']`. The root is empty. */
export type Name = readonly string[];

export type Query = {
  readonly id: number;
  readonly wantsRecursion: boolean;
  readonly name: Name;
  readonly type: number;
  readonly question: Buffer; // as it came: letter case is echoed
  readonly edns?: { readonly payloadBytes: number };
};

/** What to do with a datagram. `fail` is answered with the code alone, `ignore` with nothing. */
export type Parsed =
  | { readonly kind: 'query'; readonly query: Query }
  | { readonly kind: 'fail'; readonly response: Buffer }
  | { readonly kind: 'ignore' };

export type ResourceRecord = { readonly name: Name; readonly ttlSeconds: number } & RecordData;
type RecordData =
  | { readonly type: 'A'; readonly address: string }
  | { readonly type: 'CNAME' | 'PTR'; readonly target: Name }
  | { readonly type: 'TXT'; readonly text: string } // up to 255 bytes
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: Name;
    }
  | { readonly type: 'SOA'; readonly primary: Name; readonly mailbox: Name; readonly negativeTtlSeconds: number };

export type Response = {
  readonly code: number; // RCODE
  readonly isAuthoritative: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
};

const HEADER_BYTES = 12;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
/** A query has at most an OPT record and a signature beside its question. */
const ADDITIONAL_MAX = 4;
/** RFC 6891 recommends to stay below what may be fragmented. */
const UDP_BYTES_MAX = 1232;
const UDP_BYTES_MIN = 512;
const TCP_BYTES_MAX = 65_535;
const FLAG = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, wantsRecursion: 0x0100, recursion: 0x0080 };
const OPCODE_MASK = 0x7800;
const POINTER = 0xc000;
const POINTER_OFFSET_MAX = 0x3fff;
const NUMBER_OF = { A: TYPE.a, CNAME: TYPE.cname, PTR: TYPE.ptr, TXT: TYPE.txt, SRV: TYPE.srv, SOA: TYPE.soa } as const;

/** @param bytes  one message as received, at most 64 KiB */
export function parseQuery(bytes: Buffer): Parsed {
  if (bytes.length < HEADER_BYTES) return { kind: 'ignore' };
  const flags = bytes.readUInt16BE(2);
  // Answering answers would let two servers talk to each other for ever.
  if ((flags & FLAG.response) !== 0) return { kind: 'ignore' };
  const fail = (code: number): Parsed => ({ kind: 'fail', response: bareResponse(bytes.readUInt16BE(0), flags, code) });
  if ((flags & OPCODE_MASK) !== 0) return fail(RCODE.notImp);
  const [questions, answers, authority, additional] = [4, 6, 8, 10].map((offset) => bytes.readUInt16BE(offset));
  if (questions !== 1 || answers !== 0 || authority !== 0) return fail(RCODE.formErr);
  if (additional === undefined || additional > ADDITIONAL_MAX) return fail(RCODE.formErr);

  const parsed = parseName(bytes, HEADER_BYTES);
  if (parsed === undefined || parsed.end + 4 > bytes.length) return fail(RCODE.formErr);
  const type = bytes.readUInt16BE(parsed.end);
  const queryClass = bytes.readUInt16BE(parsed.end + 2);
  const end = parsed.end + 4;
  const options = parseAdditional(bytes, end, additional);
  if (options === undefined) return fail(RCODE.formErr);
  if (options.version !== 0) return fail(RCODE.badVersion);
  if (queryClass !== CLASS_IN && queryClass !== CLASS_ANY) return fail(RCODE.refused);
  const { payloadBytes } = options;
  return {
    kind: 'query',
    query: {
      id: bytes.readUInt16BE(0),
      wantsRecursion: (flags & FLAG.wantsRecursion) !== 0,
      name: parsed.name,
      type,
      question: bytes.subarray(HEADER_BYTES, end),
      ...(payloadBytes === undefined ? {} : { edns: { payloadBytes } }),
    },
  };
}

/**
 * @param transport  a UDP response that is too long goes out empty and marked: the client asks again by TCP
 */
export function encodeResponse(query: Query, response: Response, transport: 'udp' | 'tcp'): Buffer {
  const limit =
    transport === 'tcp'
      ? TCP_BYTES_MAX
      : Math.min(UDP_BYTES_MAX, Math.max(UDP_BYTES_MIN, query.edns?.payloadBytes ?? UDP_BYTES_MIN));
  const whole = encode(query, response, 0);
  if (whole.length <= limit) return whole;
  const withoutAdditional = encode(query, { ...response, additional: [] }, 0);
  if (withoutAdditional.length <= limit) return withoutAdditional;
  return encode(query, { ...response, answers: [], authority: [], additional: [] }, FLAG.truncated);
}

/** A response without records, for queries that were parsed but cannot be answered. */
export function encodeFailure(query: Query, code: number): Buffer {
  return encode(query, { code, isAuthoritative: false, answers: [], authority: [], additional: [] }, 0);
}

/** `a.b.` and `a.b` are the same. */
export function nameOf(text: string): Name {
  return text.toLowerCase().split('.').filter(Boolean);
}

function parseName(bytes: Buffer, start: number): { name: Name; end: number } | undefined {
  const name: string[] = [];
  for (let offset = start; offset < bytes.length;) {
    const length = bytes[offset] ?? 0;
    // Compression has nothing to point at in a query. The upper bits also mark it.
    if (length > LABEL_BYTES_MAX || offset + 1 + length - start > NAME_BYTES_MAX) return undefined;
    if (length === 0) return { name, end: offset + 1 };
    if (offset + 1 + length > bytes.length) return undefined;
    name.push(bytes.toString('latin1', offset + 1, offset + 1 + length).toLowerCase());
    offset += 1 + length;
  }
  return undefined;
}

/** What the OPT record says, if there is one. Undefined if the records are malformed. */
function parseAdditional(
  bytes: Buffer,
  start: number,
  count: number,
): { payloadBytes?: number; version: number } | undefined {
  let found: { payloadBytes?: number; version: number } = { version: 0 };
  let offset = start;
  for (let index = 0; index < count; index += 1) {
    const owner = parseName(bytes, offset);
    if (owner === undefined || owner.end + 10 > bytes.length) return undefined;
    const type = bytes.readUInt16BE(owner.end);
    if (type === TYPE.opt) {
      if (found.payloadBytes !== undefined || owner.name.length > 0) return undefined;
      found = { payloadBytes: bytes.readUInt16BE(owner.end + 2), version: bytes[owner.end + 5] ?? 0 };
    }
    offset = owner.end + 10 + bytes.readUInt16BE(owner.end + 8);
    if (offset > bytes.length) return undefined;
  }
  return found;
}

function bareResponse(id: number, queryFlags: number, code: number): Buffer {
  const flags = FLAG.response | (queryFlags & (OPCODE_MASK | FLAG.wantsRecursion)) | (code & 0xf);
  const isExtended = code > 0xf;
  const counts = [be16(0), be16(0), be16(0), be16(isExtended ? 1 : 0)];
  return Buffer.concat([be16(id), be16(flags), ...counts, ...(isExtended ? [optRecord(code)] : [])]);
}

function optRecord(code: number): Buffer {
  return Buffer.concat([Buffer.of(0), be16(TYPE.opt), be16(UDP_BYTES_MAX), Buffer.of(code >> 4, 0, 0, 0), be16(0)]);
}

function encode(query: Query, response: Response, extraFlags: number): Buffer {
  const { code, isAuthoritative, answers, authority, additional } = response;
  const flags =
    FLAG.response |
    FLAG.recursion |
    extraFlags |
    (isAuthoritative ? FLAG.authoritative : 0) |
    (query.wantsRecursion ? FLAG.wantsRecursion : 0) |
    (code & 0xf);
  const opt = query.edns === undefined ? [] : [optRecord(code)];
  return Buffer.concat([
    be16(query.id),
    be16(flags),
    ...[1, answers.length, authority.length, additional.length + opt.length].map(be16),
    query.question,
    ...[...answers, ...authority, ...additional].map((record) => encodeRecord(record, query.name)),
    ...opt,
  ]);
}

function encodeRecord(record: ResourceRecord, asked: Name): Buffer {
  const data = encodeData(record, asked);
  const fixed = [be16(NUMBER_OF[record.type]), be16(CLASS_IN), be32(record.ttlSeconds), be16(data.length)];
  return Buffer.concat([encodeName(record.name, asked), ...fixed, data]);
}

function encodeData(record: ResourceRecord, asked: Name): Buffer {
  switch (record.type) {
    case 'A':
      return addressBytes(record.address);
    case 'CNAME':
    case 'PTR':
      return encodeName(record.target, asked);
    case 'TXT':
      return Buffer.concat([Buffer.of(Buffer.byteLength(record.text)), Buffer.from(record.text)]);
    case 'SRV': {
      // RFC 2782 forbids compression of the target.
      const numbers = [record.priority, record.weight, record.port].map(be16);
      return Buffer.concat([...numbers, encodeName(record.target, [])]);
    }
    case 'SOA': {
      const times = [1, 7200, 1800, 86_400, record.negativeTtlSeconds].map(be32); // serial, refresh, retry, expire
      return Buffer.concat([encodeName(record.primary, asked), encodeName(record.mailbox, asked), ...times]);
    }
  }
}

/** Ends in a pointer into the question where the endings are the same. */
function encodeName(name: Name, asked: Name): Buffer {
  let common = 0;
  while (common < Math.min(name.length, asked.length) && name.at(-1 - common) === asked.at(-1 - common)) common += 1;
  const labels = name.slice(0, name.length - common).map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  });
  if (common === 0) return Buffer.concat([...labels, Buffer.of(0)]);
  const before = asked.slice(0, asked.length - common).reduce((sum, label) => sum + 1 + label.length, HEADER_BYTES);
  return Buffer.concat([...labels, be16(POINTER | Math.min(before, POINTER_OFFSET_MAX))]);
}
