import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Status } from '../../status-error.ts';
import { drained } from '../drained.ts';
import {
  PENDING_BYTES_MAX,
  RESIZE,
  STATUS,
  STDERR,
  STDIN,
  STDOUT,
  type ChannelHandler,
  type RemoteChannels,
} from '../remote-command.ts';
import { SpdyConnection, type SpdyStream } from './connection.ts';

/** The form of exec before WebSockets: one SPDY stream for each channel. Source: remotecommand protocol v4. */
export const SPDY_EXEC_PROTOCOL = 'v4.channel.k8s.io';

const STREAMS_TIMEOUT_MS = 30_000;
const RESIZE_BYTES_MAX = 1024; // of one line

const streamTypes: Readonly<Record<string, number>> = {
  stdin: STDIN,
  stdout: STDOUT,
  stderr: STDERR,
  error: STATUS,
  resize: RESIZE,
};

/**
 * Waits until the client has opened the streams it announced in its query, then runs the command on them.
 *
 * @param wanted  channels the client will open; the status channel always is
 */
export async function serveSpdyChannels(
  transport: Duplex,
  wanted: readonly number[],
  run: (channels: RemoteChannels) => Promise<void>,
): Promise<void> {
  const streams = new Map<number, SpdyStream>();
  const expected = [STATUS, ...wanted];
  const timer = setTimeout(() => transport.destroy(), STREAMS_TIMEOUT_MS);
  const connection = new SpdyConnection(transport, (stream) => {
    const channel = streamTypes[stream.headers.get('streamtype') ?? ''];
    if (channel === undefined || !expected.includes(channel) || streams.has(channel)) {
      stream.destroy();
      return;
    }
    streams.set(channel, stream);
    if (streams.size < expected.length) return;
    clearTimeout(timer);
    run(new SpdyChannels(streams)).catch(() => transport.destroy());
  });
  await connection.serve();
  clearTimeout(timer);
}

class SpdyChannels implements RemoteChannels {
  readonly #streams: ReadonlyMap<number, SpdyStream>;

  constructor(streams: ReadonlyMap<number, SpdyStream>) {
    this.#streams = streams;
  }

  receive(handler: ChannelHandler): void {
    for (const [channel, stream] of this.#streams) {
      if (channel === RESIZE) receiveLines(stream, (line) => handler.data(channel, line));
      else if (channel === STDIN) receiveBytes(channel, stream, handler);
      else stream.resume(); // nothing is said on the others, but their end must be seen
    }
  }

  async pipe(channel: number, source: Readable): Promise<void> {
    const stream = this.#streams.get(channel);
    if (stream === undefined) source.resume();
    else await pipeline(source, stream).catch(() => undefined); // the exit status says what happened
  }

  finish(status: Status | { readonly status: string }): Promise<void> {
    for (const [channel, stream] of this.#streams) {
      if (channel === STATUS) stream.end(JSON.stringify(status));
      else stream.end();
    }
    return Promise.resolve(); // the client closes the connection when it has read everything
  }
}

function receiveBytes(channel: number, stream: SpdyStream, handler: ChannelHandler): void {
  stream.on('data', (bytes: Buffer) => {
    const target = handler.data(channel, bytes);
    if (target === undefined || target.writableLength <= PENDING_BYTES_MAX) return;
    stream.pause();
    void drained(target).then(() => stream.resume());
  });
  stream.once('end', () => handler.end(channel));
}

/** Sizes come one JSON object to a line, cut into frames anywhere. */
function receiveLines(stream: SpdyStream, take: (line: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
      take(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    if (rest.length > RESIZE_BYTES_MAX) stream.destroy();
  });
}
