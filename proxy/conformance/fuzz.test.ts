import { test } from 'node:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DecodeError } from '#api/decode/decode-error.ts';
import { decodeEndpointUpdate, decodeProfile } from '#api/decode/destination.ts';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { DestinationProfile, Update } from '#api/gen/destination.ts';
import { Server } from '#api/gen/inbound.ts';
import { OutboundPolicy } from '#api/gen/outbound.ts';
import { parseClientHello } from '../accept/client-hello.ts';
import { detectProtocol } from '../accept/detect.ts';
import { ProxyError } from '../errors.ts';
import { normalTarget } from '../http/path.ts';
import { Http2Error } from '../http2/errors.ts';
import { FrameReader } from '../http2/frame-reader.ts';
import { HpackDecoder } from '../http2/hpack-decoder.ts';
import { decodeTransportHeader, TransportHeaderError } from '../transport/transport-header.ts';
import { fuzz, fuzzRounds, fuzzSeed } from '../../test/harness/fuzz.ts';

/** Inputs that were interesting once, in hexadecimal, one a line, by the name of the target. */
const CORPUS = join(import.meta.dirname, 'corpus');
const seed = fuzzSeed();

type Target = { readonly parse: (bytes: Buffer) => void; readonly isRefusal: (error: unknown) => boolean };

/** What a reader of protobuf refuses is no message; what it reads the decoder refuses with a reason, or understands. */
function message<M>(read: (bytes: Buffer) => M, decode: (message: M) => unknown): Target {
  return {
    parse: (bytes) => {
      let read_: M;
      try {
        read_ = read(bytes);
      } catch {
        return;
      }
      decode(read_);
    },
    isRefusal: (error) => error instanceof DecodeError,
  };
}

const TARGETS: Readonly<Record<string, Target>> = {
  'client-hello': { parse: (bytes) => void parseClientHello(bytes), isRefusal: () => false },
  detect: { parse: (bytes) => void detectProtocol(bytes), isRefusal: () => false },
  'transport-header': {
    parse: (bytes) => void decodeTransportHeader(bytes),
    isRefusal: (error) => error instanceof TransportHeaderError,
  },
  target: {
    parse: (bytes) => {
      const once = normalTarget(bytes.toString('latin1'));
      if (normalTarget(once) !== once) throw new Error(`${once} has another normal form`);
    },
    isRefusal: (error) => error instanceof ProxyError,
  },
  hpack: {
    parse: (bytes) => void new HpackDecoder().decode(bytes),
    isRefusal: (error) => error instanceof Http2Error,
  },
  frames: {
    parse: (bytes) => {
      const sink = { onDataBegin() {}, onDataPart() {}, onBlock() {}, onFrame() {} };
      const reader = new FrameReader(sink, false);
      const middle = bytes.length >> 1;
      reader.read(bytes.subarray(0, middle), 0);
      reader.read(bytes.subarray(middle), 0);
    },
    isRefusal: (error) => error instanceof Http2Error,
  },
  'inbound-policy': message((bytes) => Server.decode(bytes), decodeInboundServer),
  'outbound-policy': message((bytes) => OutboundPolicy.decode(bytes), decodeOutboundPolicy),
  profile: message((bytes) => DestinationProfile.decode(bytes), decodeProfile),
  endpoints: message((bytes) => Update.decode(bytes), decodeEndpointUpdate),
};

for (const [name, { parse, isRefusal }] of Object.entries(TARGETS)) {
  test(`${name}: every input is understood or refused (FUZZ_SEED=${seed})`, () => {
    const corpus = readFileSync(join(CORPUS, `${name}.hex`), 'latin1')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => Buffer.from(line, 'hex'));
    fuzz(corpus, fuzzRounds(3000), seed, parse, isRefusal);
  });
}

test('every corpus has its target', () => {
  const unknown = readdirSync(CORPUS).filter((file) => !(file.replace(/\.hex$/, '') in TARGETS));
  if (unknown.length > 0) throw new Error(`no target for ${unknown.join(', ')}`);
});
